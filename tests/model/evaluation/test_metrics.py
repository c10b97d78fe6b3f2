"""Protects the figures a version is judged by: right values, honest intervals, `None` not NaN."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from model.evaluation.bootstrap import FIGURES, Ranking, Weighted, resample_counts
from model.evaluation.metrics import baseline, measure, precision_recall

SAID = np.array([0.9, 0.8, 0.6, 0.4, 0.2])
TRUTH = np.array([0.8, 0.3, 0.6, 0.7, 0.1])


def test_values_by_hand() -> None:
    found = measure(SAID, TRUTH, 0.5)
    assert found["mae"]["value"] == pytest.approx((0.1 + 0.5 + 0 + 0.3 + 0.1) / 5)
    assert found["precision"]["value"] == pytest.approx(2 / 3)
    assert found["recall"]["value"] == pytest.approx(2 / 3)
    assert found["false_positives"]["value"] == 1
    # Hits at ranks 1, 3 and 4.
    expected = (1 / 1 + 2 / 3 + 3 / 4) / 3
    assert found["average_precision"]["value"] == pytest.approx(expected)
    assert found["rank_correlation"]["value"] == pytest.approx(spearmanr(SAID, TRUTH).statistic)


def test_ties_count_as_ties() -> None:
    draw = np.random.default_rng(0)
    said, truth = draw.integers(0, 4, 60) / 4, draw.integers(0, 11, 60) / 10
    found = measure(said, truth, 0.5)
    assert found["rank_correlation"]["value"] == pytest.approx(spearmanr(said, truth).statistic)
    all_same = measure(np.full(60, 0.7), truth, 0.5)
    assert all_same["average_precision"]["value"] == pytest.approx((truth >= 0.5).mean())


def test_a_score_at_the_threshold_passes_whatever_its_last_bits() -> None:
    truth = np.array([3.0, 2.0]) / 10
    found = measure(np.array([0.9, 0.1]), truth, 0.1 + 0.2)
    assert found["precision"]["value"] == 1


@pytest.mark.parametrize(
    ("said", "truth", "missing"),
    [
        ([0.9, 0.8], [0.1, 0.2], {"recall", "average_precision"}),  # nothing should pass
        ([0.1, 0.2], [0.9, 0.8], {"precision"}),  # nothing passes
        ([0.5, 0.5], [0.1, 0.9], {"rank_correlation"}),  # constant predictions
        ([0.4], [0.9], {"precision", "rank_correlation"}),  # one image
        ([], [], None),
    ],
)
def test_what_has_no_meaning_is_none(
    said: list[float], truth: list[float], missing: set[str] | None
) -> None:
    found = measure(np.array(said), np.array(truth), 0.5)
    absent = {name for name, figure in found.items() if figure["value"] is None}
    assert absent == (set(found) if missing is None else missing)
    assert "NaN" not in json.dumps(found)


def test_interval_holds_the_value_and_narrows_with_more_images() -> None:
    draw = np.random.default_rng(2)
    truth = draw.uniform(0, 1, 400)
    said = np.clip(truth + draw.normal(0, 0.15, 400), 0, 1)
    widths = []
    for count in (40, 400):
        for figure in measure(said[:count], truth[:count], 0.5).values():
            assert figure["low"] <= figure["value"] <= figure["high"]
        mae = measure(said[:count], truth[:count], 0.5)["mae"]
        widths.append(mae["high"] - mae["low"])
    assert widths[1] < widths[0] / 2


def test_copies_of_an_image_are_no_evidence() -> None:
    draw = np.random.default_rng(3)
    truth = draw.uniform(0, 1, 30)
    said = np.clip(truth + draw.normal(0, 0.2, 30), 0, 1)
    groups = np.repeat(np.arange(30), 10)
    once = measure(said, truth, 0.5)["mae"]
    grouped = measure(np.repeat(said, 10), np.repeat(truth, 10), 0.5, groups)["mae"]
    alone = measure(np.repeat(said, 10), np.repeat(truth, 10), 0.5)["mae"]
    assert grouped == pytest.approx(once)
    assert alone["high"] - alone["low"] < 0.6 * (grouped["high"] - grouped["low"])


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    draw = np.random.default_rng(4)
    covered = 0
    for trial in range(60):
        error = np.abs(draw.normal(0, 0.1, 80))
        found = measure(np.full(80, 0.5), 0.5 + error, 0.5, seed=trial)["mae"]
        covered += found["low"] <= 0.1 * np.sqrt(2 / np.pi) <= found["high"]
    assert 50 <= covered <= 60


def test_each_resample_draws_as_many_groups_as_there_are() -> None:
    drawn = resample_counts(9, 0, range(50))
    assert drawn.shape == (50, 9)
    assert (drawn.sum(axis=1) == 9).all()
    assert len(np.unique(drawn, axis=0)) == 50


@pytest.mark.parametrize("step", [0.001, 0.25])  # hardly a tie, and next to nothing but ties
def test_an_image_drawn_twice_counts_as_two(step: float) -> None:
    draw = np.random.default_rng(5)
    said, truth = np.round(draw.random(40) / step) * step, draw.integers(0, 11, 40) / 10
    counts = resample_counts(40, 1, range(3))
    ranking = Ranking.of(said, truth, 0.5, truth >= 0.5)
    weighted = Weighted(ranking, counts[:, ranking.order])
    for place, times in enumerate(counts.astype(int)):
        found = measure(np.repeat(said, times), np.repeat(truth, times), 0.5)
        for name, figure in FIGURES.items():
            assert figure(weighted)[place] == pytest.approx(found[name]["value"])


def test_baseline_says_the_mean() -> None:
    found = baseline(TRUTH, 0.5)
    assert found["mae"]["value"] == pytest.approx(np.abs(TRUTH - 0.5).mean())
    assert found["average_precision"]["value"] == pytest.approx(3 / 5)


def test_precision_and_recall_over_the_cuts() -> None:
    precision, recall = precision_recall(SAID, TRUTH, 0.5, np.array([0.0, 0.5, 0.85, 1.0]))
    np.testing.assert_allclose(precision, [3 / 5, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(recall, [1, 2 / 3, 1 / 3, 0])


def test_a_share_without_a_miss_is_not_certain() -> None:
    scores = np.array([0.9] * 10 + [0.1] * 10)
    found = measure(scores, scores, 0.5)
    bound = 0.025 ** (1 / 10)  # 0.69: ten hits in ten
    assert found["precision"] == pytest.approx({"value": 1, "low": bound, "high": 1})
    assert found["recall"] == pytest.approx({"value": 1, "low": bound, "high": 1})
    assert found["false_positives"] == pytest.approx(
        {"value": 0, "low": 0, "high": 10 * (1 - bound)}
    )
    pairs = measure(scores, scores, 0.5, np.arange(20) // 2)
    assert pairs["precision"]["low"] == pytest.approx(0.025 ** (1 / 5))  # pairs count once
