"""Review: each queue shows the surest mistakes first, says why, and never shows two of a kind."""

from __future__ import annotations

from pathlib import Path

import pytest

import db.versions.rounds
from labeler.core.errors import BadInput, LabelerError
from labeler.core.project import Project
from labeler.review.pages import review_cards, review_page
from labeler.scoring.events import record_events
from tests.support.collection import make_collection
from tests.support.reviewing import add, ids, spread_out

IMAGES, SCORED = 60, 22


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_collection(tmp_path, images=IMAGES, scored=SCORED)


def test_images_near_the_threshold_are_the_likelier_mistakes(project: Project) -> None:
    spread_out(project, [30, 40, 50, 31, 41])
    add(project, {30: 0.9, 40: 0.55, 50: 0.7, 31: 0.1, 41: 0.45})
    assert ids(review_cards(project, "false-positive")) == [40, 50, 30]
    assert ids(review_cards(project, "false-negative")) == [41, 31]
    suspicions = [card.suspicion for card in review_cards(project, "false-positive")]
    assert suspicions == sorted(suspicions, reverse=True)


def test_the_threshold_divides_the_queues(project: Project) -> None:
    spread_out(project, [30, 40, 50])
    add(project, {30: 0.9, 40: 0.55, 50: 0.7})
    assert ids(review_cards(project, "false-negative", threshold=0.6)) == [40]
    project.set_threshold(0.8)
    assert ids(review_cards(project, "false-positive")) == [30]


def test_scored_images_are_no_false_positives(project: Project) -> None:
    spread_out(project, [5, 30])
    add(project, {5: 0.6, 30: 0.6})
    assert ids(review_cards(project, "false-positive")) == [30]


def test_the_second_opinion_counts_and_is_told(project: Project) -> None:
    spread_out(project, [30, 40])
    add(project, {30: 0.62, 40: 0.6}, opinion={30: 2, 40: 7})
    first, second = review_cards(project, "false-positive")
    assert first.image.id == 30
    assert first.second_opinion == pytest.approx(2.0, abs=0.3)
    assert "fails" in first.reasons[-1].words
    assert "passes" in second.reasons[-1].words


def test_near_duplicates_are_not_shown_together(project: Project) -> None:
    # Neighbours in the collection have nearly the same embedding.
    add(project, {30: 0.6, 31: 0.6, 55: 0.6})
    shown = ids(review_cards(project, "false-positive"))
    assert len(shown) == 2
    assert 55 in shown
    page = review_page(project, "false-positive", limit=10, exclude=[30])
    assert ids(page.cards) == [55]


def test_cards_show_the_nearest_scored_images(project: Project) -> None:
    add(project, {23: 0.6})
    near = review_cards(project, "false-positive")[0].near
    assert near
    assert all(neighbour.image.hand_score is not None for neighbour in near)
    assert near[0].image.id in (20, 21, 22)
    assert near[0].similarity > 0.9
    assert [n.similarity for n in near] == sorted((n.similarity for n in near), reverse=True)


def test_a_confirmed_neighbour_is_shown_by_what_was_said(project: Project) -> None:
    add(project, {23: 0.6, 24: 0.7})
    right = {"kind": "confirm", "queue": "false-positive", "score": 7, "threshold": 0.5}
    assert record_events(project, [{"event": "right", "image": 24, **right}])[0].accepted
    (card,) = review_cards(project, "false-positive")
    assert {near.image.id: near.said for near in card.near}[24] == "passes"
    assert any("passes" in reason.words.split("scored")[-1] for reason in card.reasons)
    assert (card.confirm, card.confirm_bounds) == (6, (5, None))


def test_a_hand_score_far_from_its_prediction_is_shown(project: Project) -> None:
    add(project, {}, out_of_fold={4: 0.9})  # image 4 has a hand score of 3
    cards = review_cards(project, "hand-score")
    assert ids(cards)[0] == 4
    assert cards[0].confirm == 9
    assert cards[0].reasons[0].words == "6.0 points from the prediction"
    assert 4 not in [neighbour.image.id for neighbour in cards[0].near]


def test_a_hand_score_that_was_kept_is_not_asked_about_again(project: Project) -> None:
    for _round in range(2):
        add(project, {}, out_of_fold={4: 0.9})
    keep = {"event": "k", "kind": "confirm", "image": 4, "score": 3, "queue": "hand-score"}
    assert record_events(project, [keep])[0].accepted
    assert 4 not in ids(review_cards(project, "hand-score"))
    add(project, {}, out_of_fold={4: 0.9})
    assert 4 not in ids(review_cards(project, "hand-score"))


def test_what_was_handled_is_counted_and_does_not_come_back(project: Project) -> None:
    spread_out(project, [30, 40, 50])
    version = add(project, {30: 0.9, 40: 0.55, 50: 0.7})
    page = review_page(project, "false-positive", limit=10)
    assert page.waiting == 3
    told = {"queue": "false-positive", "version": version.name}
    events = [
        {"event": "a", "kind": "score", "image": 40, "score": 2, **told},
        {"event": "b", "kind": "confirm", "image": 50, "score": 7, **told},
        {"event": "c", "kind": "skip", "image": 30, **told},
    ]
    assert all(receipt.accepted for receipt in record_events(project, events))
    after = review_page(project, "false-positive", limit=10)
    assert (after.cards, after.waiting) == ([], 0)
    assert (after.round.corrected, after.round.confirmed, after.round.skipped) == (1, 1, 1)
    assert after.round.shown == 3
    assert "v1.0" in after.explanation


def test_an_undone_card_can_lead_the_page(project: Project) -> None:
    spread_out(project, [30, 40, 50])
    add(project, {30: 0.9, 40: 0.55, 50: 0.7})
    page = review_page(project, "false-positive", limit=10, first=30)
    assert ids(page.cards)[0] == 30


def test_reviewing_needs_a_version_and_a_queue(project: Project) -> None:
    with pytest.raises(LabelerError, match="labeler train"):
        review_cards(project, "false-positive")
    add(project, {30: 0.9})
    with pytest.raises(BadInput, match="false-negative"):
        review_cards(project, "all")


def test_listing_cards_records_nothing(project: Project) -> None:
    add(project, {30: 0.9})
    review_cards(project, "false-positive")
    assert db.versions.rounds.history(project.store) == []
