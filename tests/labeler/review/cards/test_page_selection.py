"""Protects the one function that chooses review pages, for the product and for the simulation, on
arrays that can be checked by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from labeler.review.cards.page_selection import PageSelection, select_page
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.mistakes import Answers
from labeler.review.queues.suspects import unscored_candidates
from model.estimators import kernel_ordinal
from model.review import bandit
from tests.support.review_arrays import at, make_arrays

LOOK = 0x0F0F_3355_0F0F_3355
ALL_ROUND = np.arange(0, 360, 6.0)
NOTHING = Answers([], np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool))


def page(arrays: ReviewArrays, scored: tuple[int, ...] = (), **options: Any) -> PageSelection:
    """A page of all images but the `scored` ones."""
    given = np.full(len(arrays.images), np.nan)
    given[list(scored)] = 5.0
    return select_page(
        arrays,
        unscored_candidates(arrays.ranked, given, passing=options.pop("passing", None)),
        among=options.pop("among", np.isnan(given)),
        limit=options.pop("limit", 10),
        **options,
    )


def leads(arrays: ReviewArrays, *scored: int, **options: Any) -> list[int]:
    return page(arrays, scored, **options).leads.ids.tolist()


def around() -> ReviewArrays:
    """Sixty images all around, all predicted 0.8 and more; by the second opinion those of one half
    are 9, of the other (from row 30 on) 1.
    """
    known = np.arange(0, 60, 3)
    opinion = kernel_ordinal.fit(at(ALL_ROUND[known]), np.where(known < 30, 9.0, 1.0))
    return make_arrays(0.8 + np.arange(60) * 1e-3, ALL_ROUND, opinion=opinion)


def answers(evidence: list[tuple[str, bool]], scores: dict[int, float] | None = None) -> Answers:
    given = scores or {}
    passed = np.array([score >= 5 for score in given.values()], dtype=bool)
    return Answers(evidence, np.array(list(given), dtype=np.int64), passed)


def test_a_queue_goes_by_suspicion() -> None:
    arrays = make_arrays([0.9, 0.55, 0.7, 0.1, 0.44], [0, 60, 120, 180, 240])
    assert leads(arrays, passing=True) == [1, 2, 0]
    assert leads(arrays, passing=False) == [4, 3]
    assert leads(arrays, 1) == [4, 2, 0, 3]
    assert leads(arrays, limit=2) == [1, 4]
    assert leads(arrays, limit=2, first=3) == [3, 1]
    # Missed by half a spread: Φ(-0.5).
    assert page(arrays).leads.suspicion[0] == pytest.approx(0.3085, abs=1e-4)


def test_what_a_source_rules_out_leads_but_harmless_ones_fill_a_quarter_at_most() -> None:
    # Rows 1–5 should score 0–1: 1 passes, 2–5 fail as they should. Row 0 is anybody's guess.
    bands = dict.fromkeys(range(1, 6), (0.0, 0.1))
    arrays = make_arrays([0.5, 0.6, 0.4, 0.41, 0.42, 0.3], np.arange(6) * 60, bands=bands)
    found = page(arrays, limit=4, answers=NOTHING)
    assert found.leads.ids.tolist()[:3] == [1, 4, 0]
    assert found.leads.suspicion.tolist()[:2] == [1, 1]
    # The person's own word decides, not the evidence that deals the others.
    assert set(found.evidence) == {0}


def test_near_duplicates_share_a_card_and_are_nobody_elses() -> None:
    looks = {0: LOOK, 1: LOOK ^ 1, 2: LOOK ^ 2, 4: LOOK}
    # Row 4 has the same look but another embedding; row 2 fails.
    arrays = make_arrays([0.6, 0.7, 0.3, 0.9, 0.8], [0, 8, 16, 90, 180], looks=looks)
    found = page(arrays, passing=True)
    assert found.leads.ids.tolist() == [0, 4, 3]
    assert [sorted(ids.tolist()) for ids in found.together] == [[1, 2], [], []]
    without = np.array([True, True, False, True, True])
    found = page(arrays, passing=True, among=without)
    assert [sorted(ids.tolist()) for ids in found.together] == [[1], [], []]


def test_nothing_like_what_is_on_the_screen_is_shown() -> None:
    # cos 10° = 0.985, cos 20° = 0.940
    arrays = make_arrays([0.51, 0.52, 0.53], [0, 10, 30])
    assert leads(arrays, 0, shown_ids=[0]) == [2]


def test_before_anything_was_embedded_no_image_is_like_another() -> None:
    from dataclasses import replace

    from labeler.embedding.unit_cache import NoEmbeddings

    arrays = make_arrays([0.6, 0.55], [0, 0], looks={0: LOOK, 1: LOOK})
    found = page(replace(arrays, units=NoEmbeddings()), answers=NOTHING)
    assert sorted(found.leads.ids.tolist()) == [0, 1]
    assert [len(ids) for ids in found.together] == [0, 0]


def test_cards_are_dealt_by_what_found_mistakes() -> None:
    good, bad = bandit.SECOND_OPINION, bandit.PREDICTION
    found = page(around(), limit=4, answers=answers([(good, True), (bad, False)] * 100))
    assert set(found.evidence.values()) <= set(bandit.PRIORS)
    assert [found.evidence[lead] for lead in found.leads.ids.tolist()] == [good] * 4
    # All are predicted to pass, so the suspicious ones are those that the second opinion gives 1.
    assert (found.leads.ids >= 30).all()
    found = page(around(), limit=4, answers=answers([(good, False), (bad, True)] * 100))
    assert [found.evidence[lead] for lead in found.leads.ids.tolist()] == [bad] * 4
    # Nearest to the threshold are the lowest predictions: of 16, those 36° apart, and one between.
    assert found.leads.ids.tolist() == [0, 3, 6, 12]


def test_the_same_answers_and_seed_give_the_same_page() -> None:
    pages = [leads(around(), answers=NOTHING, seed=seed) for seed in (1, 1, 2)]
    assert pages[0] == pages[1] != pages[2]
    assert leads(around(), answers=answers([("gone", True)]), seed=1) != pages[0]


def test_an_answer_changes_at_once_what_is_suspected_of_its_neighbours() -> None:
    def suspicion(*given: tuple[int, float]) -> dict[int, float]:
        found = page(around(), limit=60, answers=answers([], dict(given)))
        return dict(
            zip(
                found.leads.candidates.ids.tolist(),
                found.leads.candidates.suspicion.tolist(),
                strict=True,
            )
        )

    before = suspicion()
    passed, failed = suspicion((46, 9.0)), suspicion((46, 1.0))
    assert passed[47] < before[47] - 0.05
    assert failed[47] > before[47]
    assert abs(passed[16] - before[16]) < 0.02
    assert suspicion((46, 5.0)) == passed  # it just passes
