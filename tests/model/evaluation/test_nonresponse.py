"""Shares where draws were skipped: the worst cases, and that their interval holds the truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from model.evaluation.nonresponse import share_with_skips
from model.evaluation.proportions import exact_count, wilson


def test_the_worst_cases_are_all_and_none_of_the_skipped_draws() -> None:
    found = share_with_skips(5, 88, 12)
    assert found is not None
    assert (found.least, found.most, found.value) == (0.05, 0.17, 5 / 88)
    assert (found.low, found.high) == (wilson(0.05, 100)[0], wilson(0.17, 100)[1])
    assert found.sentence() == (
        "Of 100 draws 12 were skipped; the sample has 5% mistakes if nothing skipped is one, and "
        "17% if everything skipped is."
    )


def test_without_skips_the_bounds_are_the_usual_ones() -> None:
    found, finite = share_with_skips(3, 40, 0), share_with_skips(3, 40, 0, population=500)
    assert found is not None and finite is not None
    assert (found.low, found.high) == wilson(3 / 40, 40)
    assert (finite.low * 500, finite.high * 500) == exact_count(3, 40, 500)
    assert found.sentence() == ""


def test_of_a_finite_population_the_bounds_meet_the_worst_cases_once_all_are_drawn() -> None:
    found = share_with_skips(2, 15, 5, population=20)
    assert found is not None
    assert (found.low, found.high) == (found.least, found.most) == (0.1, 0.35)
    # A collection that has shrunk below the draws is as large as they are.
    assert share_with_skips(2, 15, 5, population=3) == found


def test_extremes() -> None:
    assert share_with_skips(0, 0, 0) is None
    skipped = share_with_skips(0, 0, 1)
    assert skipped is not None
    assert (skipped.value, skipped.least, skipped.most) == (None, 0, 1)
    assert (skipped.low, skipped.high) == (0, 1)
    assert skipped.sentence().startswith("Of 1 draw 1 was skipped")


@pytest.mark.parametrize(("hits", "judged"), [(0, 40), (3, 37), (40, 40)])
def test_each_skip_widens_the_interval(hits: int, judged: int) -> None:
    found = [share_with_skips(hits, judged - k, k) for k in range(judged - hits + 1)]
    for before, after in itertools.pairwise(filter(None, found)):
        assert after.low == before.low
        assert after.high > before.high or after.high == 1


@pytest.mark.parametrize("draws", [60, 150])
@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
def test_it_covers_where_a_third_of_the_mistakes_are_skipped(draws: int, share: float) -> None:
    random = np.random.default_rng(draws)
    mistakes = random.binomial(draws, share, 2000)
    skipped = random.binomial(mistakes, 0.3)
    skipped_others = random.binomial(draws - mistakes, 0.03)
    covered = naive = 0
    for hits, passed in zip(mistakes - skipped, skipped + skipped_others, strict=True):
        found = share_with_skips(int(hits), int(draws - passed), int(passed))
        low, high = wilson(hits / (draws - passed), draws - passed)
        assert found is not None
        covered += found.low <= share <= found.high
        naive += low <= share <= high
    assert covered / 2000 >= 0.95
    assert naive <= covered
