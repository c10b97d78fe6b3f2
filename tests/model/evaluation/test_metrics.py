"""Protects the figures a version is judged by: right values, honest intervals, `None` not NaN.

The intervals themselves: test_intervals.py.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from model.errors import ModelError
from model.evaluation.metrics import baseline, difference, measure, precision_recall, values
from model.evaluation.weighted_figures import FIGURES, Ranking, Weighted

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


@pytest.mark.parametrize("step", [0.001, 0.25])  # hardly a tie, and next to nothing but ties
def test_an_image_drawn_twice_counts_as_two(step: float) -> None:
    draw = np.random.default_rng(5)
    said, truth = np.round(draw.random(40) / step) * step, draw.integers(0, 11, 40) / 10
    counts = draw.integers(0, 3, (3, 40)).astype(np.float64)
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
    cuts = np.array([0.0, 0.5, 0.85, 1.0])
    precision, recall = precision_recall(SAID, TRUTH, 0.5, cuts, np.full(len(TRUTH), 7.0))
    np.testing.assert_allclose(precision, [3 / 5, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(recall, [1, 2 / 3, 1 / 3, 0])


def test_a_heavier_image_counts_as_so_many() -> None:
    predictions, scores = np.array([0.9, 0.8, 0.2]), np.array([1.0, 0.0, 1.0])
    precision, recall = precision_recall(
        predictions, scores, 0.5, np.array([0.5]), np.array([1.0, 3.0, 9.0])
    )
    assert (precision[0], recall[0]) == pytest.approx((1 / 4, 1 / 10))


def test_a_share_without_a_miss_is_not_certain() -> None:
    scores = np.array([0.9] * 10 + [0.1] * 10)
    found = measure(scores, scores, 0.5)
    bound = 0.025 ** (1 / 10)  # 0.69: ten hits in ten
    assert found["precision"] == pytest.approx({"value": 1, "low": bound, "high": 1})
    assert found["recall"] == pytest.approx({"value": 1, "low": bound, "high": 1})
    assert found["average_precision"] == pytest.approx({"value": 1, "low": bound, "high": 1})
    # None of twenty images is a false positive.
    assert found["false_positives"] == pytest.approx(
        {"value": 0, "low": 0, "high": 20 * (1 - 0.025 ** (1 / 20))}
    )
    pairs = measure(scores, scores, 0.5, np.arange(20) // 2)
    assert pairs["precision"]["low"] == pytest.approx(0.025 ** (1 / 5))  # pairs count once


EXACT = np.linspace(0.05, 0.95, 12)


@pytest.mark.parametrize(
    ("said", "truth", "groups"),
    [
        (SAID, TRUTH, np.zeros(5, dtype=int)),  # one group
        (EXACT, EXACT, np.arange(12)),  # all right: errors 0, average precision and rank 1
        (1 - EXACT, EXACT, np.arange(12)),  # all in the reverse order
        (np.full(12, 0.3), EXACT, np.arange(12)),  # nothing passes
        (np.full(12, 0.7), EXACT, np.arange(12)),  # everything passes
        (EXACT, np.full(12, 0.9), np.arange(12)),  # all should pass
        (EXACT, np.array([0.9] + [0.1] * 11), np.arange(12)),  # one should
        (EXACT + 0.01, EXACT, np.arange(12)),  # all off by the same
        (np.array([0.9]), np.array([0.8]), np.arange(1)),  # one image
    ],
)
def test_no_interval_is_certain_or_impossible(
    said: np.ndarray, truth: np.ndarray, groups: np.ndarray
) -> None:
    for name, figure in measure(said, truth, 0.5, groups).items():
        if figure["value"] is not None:
            least = -1 if name == "rank_correlation" else 0
            most = len(said) if name == "false_positives" else 1
            assert least <= figure["low"] <= figure["value"] <= figure["high"] <= most
            assert figure["high"] - figure["low"] > 0.002


def test_weights_count_an_image_as_often() -> None:
    draw = np.random.default_rng(7)
    truth = draw.integers(0, 11, 60) / 10
    said = np.clip(truth + draw.normal(0, 0.2, 60), 0, 1)
    times = draw.integers(1, 4, 60)
    weighted = measure(said, truth, 0.5, weights=times.astype(np.float64))
    repeated = measure(
        np.repeat(said, times), np.repeat(truth, times), 0.5, np.repeat(np.arange(60), times)
    )
    for name in set(FIGURES) - {"false_positives"}:
        assert weighted[name]["value"] == pytest.approx(repeated[name]["value"])
        assert weighted[name]["low"] == pytest.approx(repeated[name]["low"], abs=0.03)


@pytest.mark.parametrize("level", [0.7, 0.9])
def test_float32_that_says_the_threshold_passes(level: float) -> None:
    said = np.full(4, level, dtype=np.float32)
    assert float(said[0]) < level
    found = measure(said, np.full(4, level), level)
    assert (found["precision"]["value"], found["recall"]["value"]) == (1, 1)
    recall = precision_recall(said, np.full(4, level), level, np.array([level]), np.ones(4))[1]
    assert recall == [1]


def test_no_interval_is_told_where_no_group_makes_a_difference() -> None:
    found = difference(SAID, SAID**1.001, TRUTH, 0.5)
    assert found["recall"] == {"value": 0, "low": None, "high": None}
    same = difference(SAID, SAID, TRUTH, 0.5)["recall"]
    assert same == {"value": 0, "low": 0, "high": 0}


def test_a_difference_is_paired() -> None:
    draw = np.random.default_rng(8)
    truth = draw.uniform(0, 1, 50)
    old = np.clip(truth + draw.normal(0, 0.2, 50), 0, 1)
    new = np.clip(truth + (old - truth) * 0.9, 0, 1)  # everywhere a tenth nearer
    found = difference(new, old, truth, 0.5, only=["mae"])["mae"]
    gains = np.abs(new - truth) - np.abs(old - truth)
    assert found["value"] == pytest.approx(gains.mean())
    # Student's t with 49 degrees of freedom, or a few less.
    assert (found["high"] - found["value"]) / (gains.std(ddof=1) / 50**0.5) == pytest.approx(
        2.01, abs=0.06
    )


@pytest.mark.parametrize("where", ["prediction", "hand score"])
def test_nan_is_a_sentence(where: str) -> None:
    said, truth = SAID.copy(), TRUTH.copy()
    (said if where == "prediction" else truth)[2] = np.nan
    for ask in (
        lambda: measure(said, truth, 0.5),
        lambda: values(said, truth, 0.5, ["mae"]),
        lambda: difference(SAID, said, truth, 0.5),
    ):
        with pytest.raises(ModelError, match=f"The {where} in row 2 holds NaN.*leave the image"):
            ask()
