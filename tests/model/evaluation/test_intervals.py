"""Protects the intervals: they agree with textbooks on arrays that can be checked by hand, groups
and weights count as they should, none has width 0 or leaves the possible, and they hold the truth
as often as they say.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, t

from model.evaluation import intervals
from model.evaluation.intervals import Bounds, grouped_mean, grouped_share, shrink


def test_a_mean_has_students_interval() -> None:
    found = grouped_mean(np.array([1.0, 2.0, 3.0, 4.0]), np.arange(4))
    assert found.value == 2.5
    reach = t.ppf(0.975, 3) * np.std([1, 2, 3, 4], ddof=1) / 2
    assert (found.low, found.high) == pytest.approx((2.5 - reach, 2.5 + reach))


def test_a_mean_stays_within_its_limits() -> None:
    found = grouped_mean(np.array([0.0, 0.0, 0.0, 0.4]), np.arange(4), limits=(0, 1))
    assert (found.value, found.low) == (pytest.approx(0.1), 0)


def test_a_mean_of_equal_values_is_as_certain_as_a_share_of_as_many_groups() -> None:
    found = grouped_mean(np.full(10, -10.0), np.arange(10), limits=(-10, 10))
    assert (found.value, found.low) == (-10, -10)
    assert found.high == pytest.approx(-10 + 20 * (1 - 0.025 ** (1 / 10)))


def test_a_share_of_single_images_has_nearly_the_exact_interval() -> None:
    hits = np.repeat([True, False], [7, 3])
    found = grouped_share(hits, np.ones(10), np.arange(10))
    assert found is not None
    assert found.value == 0.7
    # Nine trials' worth of variance, less what Student's t of 9 degrees takes.
    trials = 9 * (1.959964 / t.ppf(0.975, 9)) ** 2
    low = beta.ppf(0.025, 0.7 * trials, 0.3 * trials + 1)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.low < beta.ppf(0.025, 7, 4)


def test_a_share_is_of_its_trials_alone_and_none_without() -> None:
    hits, trials = np.array([1, 1, 0, 0, 0.0]), np.array([1, 1, 1, 0, 0.0])
    alone = grouped_share(hits[:3], trials[:3], np.arange(3))
    assert grouped_share(hits, trials, np.arange(5)) == alone
    assert grouped_share(hits, np.zeros(5), np.arange(5)) is None


def test_groups_count_as_one_piece_of_evidence() -> None:
    hits = np.repeat(np.array([1.0, 0, 1, 1, 0, 1]), 5)
    once = grouped_share(hits[::5], np.ones(6), np.arange(6))
    five = grouped_share(hits, np.ones(30), np.repeat(np.arange(6), 5))
    assert once is not None
    assert five is not None
    assert (five.low, five.high) == pytest.approx((once.low, once.high))


def test_a_share_drawn_with_unequal_probabilities_is_that_of_all() -> None:
    """Half of the images are drawn four times as often; weighted, the share is that of all."""
    draw = np.random.default_rng(0)
    truth = 0.5 * 0.8 + 0.5 * 0.2
    covered = []
    for _ in range(300):
        often = draw.random(120) < 0.8
        hits = draw.random(120) < np.where(often, 0.8, 0.2)
        weights = np.where(often, 1.0, 4.0)
        found = grouped_share(hits, np.ones(120), np.arange(120), weights=weights)
        assert found is not None
        covered.append(found.low <= truth <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("groups", [5, 8, 20])
def test_a_mean_of_few_groups_is_covered(groups: int) -> None:
    draw = np.random.default_rng(groups)
    covered = []
    for _ in range(600):
        sizes = draw.integers(1, 5, groups)
        shared = np.repeat(draw.normal(0, 1, groups), sizes)
        values = shared + draw.normal(0, 0.5, len(shared))
        found = grouped_mean(values, np.repeat(np.arange(groups), sizes))
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) >= 0.92  # twice the Monte Carlo error is 0.02


def test_rank_correlation_of_normal_values_has_fishers_width() -> None:
    draw = np.random.default_rng(1)
    first = draw.normal(size=300)
    second = first + draw.normal(size=300)
    found = intervals.rank_correlation(first, second, np.arange(300))
    assert found is not None
    width = np.arctanh(found.high) - np.arctanh(found.low)
    usual = 2 * 1.96 * np.sqrt((1 + found.value**2 / 2) / 297)  # Bonett & Wright 2000
    assert width == pytest.approx(usual, rel=0.15)


def test_a_perfect_order_is_as_uncertain_as_its_number_of_images() -> None:
    few, many = (
        intervals.rank_correlation(np.arange(n), np.arange(n), np.arange(n)) for n in (6, 60)
    )
    assert few is not None
    assert many is not None
    assert few.high == many.high == 1
    assert few.low < 0.8
    assert 0.99 < many.low < 1
    assert intervals.rank_correlation(np.arange(3.0), np.arange(3.0), np.arange(3)) == Bounds(
        pytest.approx(1), -1, 1
    )


def test_average_precision_by_hand_and_of_one_good_image() -> None:
    good = np.array([True, False, True, False])
    found = intervals.average_precision(np.array([4.0, 3, 2, 1]), good, np.arange(4))
    assert found is not None
    assert found.value == pytest.approx((1 + 2 / 3) / 2)
    assert 0 < found.low < 0.5
    assert 0.95 < found.high < 1
    one = intervals.average_precision(
        np.array([4.0, 3, 2, 1]), good & (np.arange(4) < 1), np.arange(4)
    )
    assert one is not None
    assert one == Bounds(1, pytest.approx(0.025), 1)


def test_many_groups_are_left_out_in_blocks() -> None:
    draw = np.random.default_rng(2)
    values = draw.normal(size=1500)
    ranking_of = intervals.Ranking.of(values, values, 0.5, values > 0)
    _, left_out = intervals.jackknife(ranking_of, "mae", np.arange(1500), np.ones(1500))
    assert len(left_out) == intervals.MOST_BLOCKS


def test_estimates_are_pulled_to_their_mean_as_far_as_they_are_uncertain() -> None:
    found = shrink([Bounds(0, -1, 1), Bounds(2, 1, 3), Bounds(1, -3, 5), Bounds(0.5, 0.4, 0.6)])
    values = [each.value for each in found]
    assert 0 < values[0] < 0.5
    assert 0.5 < values[1] < 2
    assert abs(values[2] - values[3]) < 0.45
    assert values[3] == pytest.approx(0.5, abs=0.02)
    assert all(each.low < each.value < each.high for each in found)
    assert shrink([Bounds(2, 1, 3)]) == [Bounds(2, 1, 3)]


def test_the_worst_of_many_is_not_exaggerated() -> None:
    told, true, covered = [], [], []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        truth, errors = draw.normal(0, 0.4, 20), draw.uniform(0.2, 0.45, 20)
        seen = truth + draw.normal(0, errors)
        found = shrink(
            [Bounds(v, v - 1.96 * e, v + 1.96 * e) for v, e in zip(seen, errors, strict=True)]
        )
        worst = int(np.argmax([each.value for each in found]))
        told.append(found[worst].value)
        true.append(truth[worst])
        covered.append(found[worst].low <= truth[worst] <= found[worst].high)
    assert np.mean(told) / np.mean(true) < 1.16  # as seen: 1.27
    assert np.mean(covered) >= 0.92
