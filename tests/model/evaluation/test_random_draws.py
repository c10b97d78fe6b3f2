"""Figures by random draws: each draw stands for what could have been drawn in its place, chosen
images for themselves; intervals hold what they claim, have a width, and stay within the scale."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation import metrics
from model.evaluation.random_draws import RandomDraws, baseline, difference, figures
from model.evaluation.weighted_figures import FIGURES

Floats = np.ndarray


def draws_of(
    predictions: Floats,
    scores: Floats,
    population: int,
    *,
    drawn: Floats | None = None,
    passing: int | None = None,
    groups: Floats | None = None,
) -> RandomDraws:
    drawn = np.ones(len(scores), dtype=bool) if drawn is None else np.asarray(drawn, dtype=bool)
    return RandomDraws(predictions, scores, drawn, population, 0.5, passing, groups)


def sample(seed: int, size: int, noise: float = 0.2) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 11, size) / 10
    return np.clip(scores + generator.normal(0, noise, size), 0, 1), scores


def test_draws_alone_weigh_alike() -> None:
    predictions, scores = sample(0, 30)
    weights = draws_of(predictions, scores, 600).weights()
    assert weights == pytest.approx(np.full(30, 20.0))


def test_what_was_chosen_before_a_draw_stands_for_itself() -> None:
    """Ten chosen ones, then two draws of the other 90: each draw stands for 45."""
    predictions, scores = sample(1, 12)
    weights = draws_of(predictions, scores, 100, drawn=np.arange(12) >= 10).weights()
    assert weights[:10] == pytest.approx(np.ones(10))
    assert weights[10:] == pytest.approx([45, 45])


def test_what_was_chosen_after_the_last_draw_is_stood_for_by_the_draws() -> None:
    predictions, scores = sample(2, 12)
    weights = draws_of(predictions, scores, 100, drawn=np.arange(12) < 2).weights()
    assert weights[2:] == pytest.approx(np.zeros(10))
    assert weights[:2] == pytest.approx([50, 50])


def test_the_weights_follow_what_is_known_to_pass() -> None:
    predictions, scores = np.array([0.9, 0.1, 0.2, 0.3]), np.array([0.9, 0.1, 0.1, 0.1])
    weights = draws_of(predictions, scores, 100, passing=10).weights()
    assert weights == pytest.approx([10, 30, 30, 30])


def test_of_equal_weights_the_values_are_those_of_the_measures() -> None:
    predictions, scores = sample(3, 60)
    found = figures(draws_of(predictions, scores, 600))
    plain = metrics.values(predictions, scores, 0.5, list(FIGURES))
    for name, figure in found.items():
        scale = 10 if name == "false_positives" else 1  # of the population
        expected = plain[name]
        assert expected is not None
        assert figure["value"] == pytest.approx(scale * expected)


@pytest.mark.parametrize("case", ["perfect", "hopeless", "nothing passes", "one group", "constant"])
def test_no_interval_is_without_width_or_beyond_the_scale(case: str) -> None:
    scores = np.array([0.9] * 8 + [0.1] * 22)
    predictions = {
        "perfect": scores,
        "hopeless": 1 - scores,
        "nothing passes": np.full(30, 0.2) + np.arange(30) / 1000,
        "one group": scores * 0.9,
        "constant": np.full(30, 0.7),
    }[case]
    groups = np.zeros(30, dtype=np.int64) if case == "one group" else None
    for name, figure in figures(draws_of(predictions, scores, 3000, groups=groups)).items():
        value, low, high = figure["value"], figure["low"], figure["high"]
        if value is None:
            assert (low, high) == (None, None)
            continue
        assert low is not None
        assert high is not None
        assert low <= value + 1e-9
        assert value <= high + 1e-9
        assert low < high
        if name in ("precision", "recall", "average_precision"):
            assert low >= 0
            assert high <= 1


def test_the_intervals_hold_the_truth_of_the_population() -> None:
    generator = np.random.default_rng(4)
    predictions, scores = sample(5, 3000)
    truth = metrics.values(predictions, scores, 0.5, list(FIGURES))
    passing = int((predictions >= 0.5).sum())
    held: dict[str, list[bool]] = {name: [] for name in FIGURES}
    for _ in range(200):
        rows = generator.permutation(3000)[:60]
        found = figures(draws_of(predictions[rows], scores[rows], 3000, passing=passing))
        for name, figure in found.items():
            low, high = figure["low"], figure["high"]
            assert low is not None
            assert high is not None
            held[name].append(low <= truth[name] <= high)
    assert {name: np.mean(each) > 0.9 for name, each in held.items()} == dict.fromkeys(held, True)


def test_the_baseline_is_of_the_population() -> None:
    """One draw in three stands for most of it: of 100 images 90 fail by it."""
    scores, predictions = np.array([0.9, 0.1, 0.1]), np.array([0.9, 0.1, 0.1])
    found = baseline(draws_of(predictions, scores, 100, passing=10))
    assert found["average_precision"]["value"] == pytest.approx(0.1)
    assert found["mae"]["value"] == pytest.approx(0.1 * 0.72 + 0.9 * 0.08)


def test_nothing_is_said_of_no_draw() -> None:
    predictions, scores = sample(6, 10)
    draws = draws_of(predictions, scores, 100, drawn=np.zeros(10))
    assert difference(draws, predictions, "mae") is None


def test_a_paired_difference_is_sharper_than_both_figures() -> None:
    predictions, scores = sample(7, 80)
    old = np.clip(predictions + 0.02 * np.sign(predictions - scores), 0, 1)
    draws = draws_of(predictions, scores, 2000)
    found = difference(draws, old, "mae")
    assert found is not None
    mae = figures(draws)["mae"]
    assert mae["low"] is not None
    assert mae["high"] is not None
    assert found.value == pytest.approx(found.new - found.old)
    assert found.low is not None
    assert found.high is not None
    assert found.high < 0
    assert found.high - found.low < (mae["high"] - mae["low"]) / 3
    same = difference(draws, predictions, "mae")
    assert same is not None
    assert (same.value, same.low, same.high) == (0, 0, 0)
