"""Protects how cards are dealt: by what has proved itself lately, never one twice, the same for the
same seed, and to the last image.
"""

from __future__ import annotations

import numpy as np
import pytest

from model.review.bandit import (
    FIRST,
    MEMORY,
    PREDICTION,
    PRIORS,
    RANDOM,
    SECOND_OPINION,
    hit_counts,
    thompson_sample,
)

EVEN = {SECOND_OPINION: (1.0, 1.0), PREDICTION: (1.0, 1.0)}


def dealt(orders: dict[str, list[int]], counts: dict, wanted: int, seed: int = 0) -> list:
    rows = {name: np.array(order, dtype=np.int64) for name, order in orders.items()}
    return thompson_sample(rows, counts, wanted, np.random.default_rng(seed))


def credit(name: str, answers: int) -> tuple[float, float]:
    """What an evidence is credited with after so many answers to others."""
    return tuple(  # type: ignore[return-value]
        lasting + MEMORY**answers * first
        for lasting, first in zip(PRIORS[name], FIRST[name], strict=True)
    )


def test_without_answers_suspicion_deals_and_hardly_chance() -> None:
    counts = hit_counts([])
    assert counts == {name: pytest.approx(credit(name, 0)) for name in PRIORS}
    rates = {name: hits / (hits + misses) for name, (hits, misses) in counts.items()}
    assert rates[SECOND_OPINION] > rates[PREDICTION] > rates[RANDOM]


def test_hits_and_misses_by_hand() -> None:
    found = hit_counts([(PREDICTION, True), (PREDICTION, False), (RANDOM, False)])
    hits, misses = credit(PREDICTION, 3)
    assert found[PREDICTION] == pytest.approx((hits + MEMORY**2, misses + MEMORY))
    hits, misses = credit(RANDOM, 3)
    assert found[RANDOM] == pytest.approx((hits, misses + 1))
    assert found[SECOND_OPINION] == pytest.approx(credit(SECOND_OPINION, 3))


def test_a_hit_counts_half_after_some_dozens_of_other_answers() -> None:
    later = round(np.log(0.5) / np.log(MEMORY))
    assert 20 <= later <= 200
    hits, misses = credit(PREDICTION, later + 1)
    found = hit_counts([(PREDICTION, True)] + [(RANDOM, False)] * later)
    assert found[PREDICTION] == pytest.approx((hits + 0.5, misses))
    # An evidence that is no longer among ours counts for nobody, but it has passed time.
    assert (
        hit_counts([(PREDICTION, True)] + [("gone", True)] * later)[PREDICTION] == found[PREDICTION]
    )
    assert "gone" not in hit_counts([("gone", True)])


def test_what_was_good_long_ago_is_forgotten() -> None:
    answers = [(PREDICTION, True)] * 200 + [(PREDICTION, False)] * 400
    hits, misses = hit_counts(answers)[PREDICTION]
    assert misses > 5 * hits
    assert misses < PRIORS[PREDICTION][1] + 1 / (1 - MEMORY)


def test_rows_are_dealt_once_each_evidence_its_surest_first() -> None:
    orders = {SECOND_OPINION: [4, 2, 0, 1], PREDICTION: [2, 3, 4, 5]}
    for seed in range(20):
        cards = dealt(orders, EVEN, 5, seed)
        rows = [row for row, _ in cards]
        assert len(rows) == len(set(rows)) == 5
        for name, order in orders.items():
            own = [row for row, by in cards if by == name]
            assert own == [row for row in order if row in own]


def test_both_deal_where_neither_is_better() -> None:
    orders = {SECOND_OPINION: list(range(100)), PREDICTION: list(range(100, 200))}
    by = [name for _, name in dealt(orders, EVEN, 100)]
    assert 25 < by.count(PREDICTION) < 75


def test_clearly_better_evidence_deals_nearly_all() -> None:
    orders = {SECOND_OPINION: list(range(100)), PREDICTION: list(range(100, 200))}
    counts = {SECOND_OPINION: (10.0, 90.0), PREDICTION: (60.0, 40.0)}
    assert [row for row, _ in dealt(orders, counts, 50)] == list(range(100, 150))


def test_the_seed_decides() -> None:
    orders = {SECOND_OPINION: list(range(30)), PREDICTION: list(range(30, 60))}
    assert dealt(orders, EVEN, 20, 3) == dealt(orders, EVEN, 20, 3)
    assert dealt(orders, EVEN, 20, 3) != dealt(orders, EVEN, 20, 4)


def test_every_row_is_dealt_before_it_ends() -> None:
    orders = {SECOND_OPINION: [0, 1], PREDICTION: [1, 2, 3], RANDOM: [3, 0]}
    cards = dealt(orders, EVEN | {RANDOM: (1.0, 10.0)}, 50)
    assert sorted(row for row, _ in cards) == [0, 1, 2, 3]
    assert dealt(orders, EVEN | {RANDOM: (1.0, 10.0)}, 0) == []


def test_evidence_without_rows_leaves_it_to_the_others() -> None:
    counts = {SECOND_OPINION: (99.0, 1.0), PREDICTION: (1.0, 99.0)}
    cards = dealt({SECOND_OPINION: [], PREDICTION: [7, 8]}, counts, 2)
    assert cards == [(7, PREDICTION), (8, PREDICTION)]
    assert dealt({SECOND_OPINION: [], PREDICTION: []}, counts, 2) == []
