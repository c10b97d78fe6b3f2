"""How far a person agrees with themselves: by hand, at the edges, and that intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.agreement import FEWEST_REPEATS, repeatability


def test_by_hand() -> None:
    first = np.array([5.0] * 20)
    again = first + np.array([0, 1, -1, 2, 0, 0, 0, 0, 0, 0] * 2)
    found = repeatability(first, again)
    assert found is not None and found.repeats == 20
    assert found.deviation.value == pytest.approx(np.sqrt(12 / 20 / 2))
    assert found.error.value == pytest.approx(8 / 20 / np.sqrt(2))
    # 2 of 20 differ by 2 points: a kurtosis of (4 + 32) / 20 over (12 / 20)² = 5.
    freedom = 2 * 20 / (5 - 1)  # 10: chi-square 3.247 and 20.483
    assert found.deviation.low == pytest.approx(
        found.deviation.value * np.sqrt(freedom / 20.483), 1e-4
    )
    assert found.deviation.high == pytest.approx(
        found.deviation.value * np.sqrt(freedom / 3.247), 1e-4
    )


def test_which_came_first_is_all_the_same_and_points_are_the_scale() -> None:
    random = np.random.default_rng(3)
    first, again = random.uniform(2, 8, 30), random.uniform(2, 8, 30)
    found, turned, tenth = (
        repeatability(first, again),
        repeatability(again, first),
        repeatability(first / 10, again / 10),
    )
    assert found == turned and tenth is not None and found is not None
    assert tenth.deviation.high * 10 == pytest.approx(found.deviation.high)
    assert tenth.error.low * 10 == pytest.approx(found.error.low)


def test_few_pairs_tell_nothing() -> None:
    few = np.arange(FEWEST_REPEATS - 1, dtype=np.float64)
    assert repeatability(few, few) is None


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_no_interval_is_without_width(apart: float) -> None:
    first = np.full(30, 4.0)
    found = repeatability(first, first + apart)
    assert found is not None
    for bounds in (found.deviation, found.error):
        assert bounds.low <= bounds.value <= bounds.high
        assert bounds.high - bounds.low > 0.05


def test_sixty_repeats_tell_the_deviation_within_a_fifth() -> None:
    random = np.random.default_rng(0)
    found = repeatability(random.normal(5, 1, 60), random.normal(5, 1, 60))
    assert found is not None
    assert (found.deviation.high - found.deviation.low) / 2 < 0.21 * found.deviation.value


@pytest.mark.parametrize("repeats", [10, 30, 60])
def test_intervals_hold_the_truth_where_scores_are_whole(repeats: int) -> None:
    random, noise, runs = np.random.default_rng(repeats), 0.8, 1000
    truth = random.uniform(0, 10, (runs, repeats))
    first, again = (
        np.clip(np.round(truth + random.normal(0, noise, truth.shape)), 0, 10) for _ in range(2)
    )
    differences = np.abs(first - again)
    deviation, error = np.sqrt((differences**2).mean() / 2), differences.mean() / np.sqrt(2)
    found = [repeatability(a, b) for a, b in zip(first, again, strict=True)]
    assert (
        np.mean([each.deviation.low <= deviation <= each.deviation.high for each in found]) > 0.93
    )
    assert np.mean([each.error.low <= error <= each.error.high for each in found]) > 0.93


def test_the_error_is_what_the_best_predictions_reach() -> None:
    """They say the median of what the person gives: within 4 % of the mean difference over √2."""
    random = np.random.default_rng(1)
    truth = random.uniform(0, 10, 400)
    scores = np.clip(np.round(truth + random.normal(0, 0.8, (2000, 400))), 0, 10)
    best = np.abs(scores - np.median(scores, axis=0)).mean()
    found = repeatability(scores[:1000].ravel(), scores[1000:].ravel())
    assert found is not None
    assert found.error.value == pytest.approx(best, rel=0.04)
