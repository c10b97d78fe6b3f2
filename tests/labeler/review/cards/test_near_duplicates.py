"""Near-duplicates are one card, wherever they lie: nobody is asked twice about the same picture."""

from __future__ import annotations

from pathlib import Path

import pytest

import db.images.lookup
import db.scores.hand_scores
import db.scores.undo_history
import db.versions.rounds
from labeler.core.project import Project
from labeler.review.cards.card import Card
from labeler.review.pages import note_shown, review_cards, review_page
from labeler.scoring.events import record_events
from tests.support.collection import make_collection
from tests.support.reviewing import add, ids, look_alike, scatter, set_look, spread_out

IMAGES, SCORED = 60, 22


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_collection(tmp_path, images=IMAGES, scored=SCORED)
    scatter(project)
    return project


def together(card: Card) -> list[int]:
    return sorted(twin.image.id for twin in card.together)


def conflicts(project: Project) -> list[Card]:
    cards = review_cards(project, "hand-score")
    return [card for card in cards if "near-duplicate" in card.reasons[0].words]


def answer(project: Project, card: Card, score: int, event: str = "e") -> None:
    """What one key does with a card: an event for each of its images."""
    everyone = [(card.image.id, card.queue), *((t.image.id, t.queue) for t in card.together)]
    events = [
        {
            "event": f"{event}.{number}" if number else event,
            "kind": "score",
            "image": image_id,
            "score": score,
            "queue": queue,
            "version": "v1.0",
        }
        for number, (image_id, queue) in enumerate(everyone)
    ]
    assert all(receipt.accepted for receipt in record_events(project, events))


def test_near_duplicates_share_a_card_across_queues_and_without_a_prediction(
    project: Project,
) -> None:
    look_alike(project, [30, 31, 32, 33])
    spread_out(project, [50])
    add(project, {30: 0.6, 31: 0.3, 32: 0.9, 50: 0.7})
    first, second = review_cards(project, "false-positive")
    assert (first.image.id, together(first)) == (30, [31, 32, 33])
    assert {twin.image.id: (twin.queue, twin.prediction) for twin in first.together} == {
        31: ("false-negative", pytest.approx(0.3)),
        32: ("false-positive", pytest.approx(0.9)),
        33: ("false-positive", None),
    }
    assert (second.image.id, together(second)) == (50, [])
    (other,) = review_cards(project, "false-negative")
    assert (other.image.id, together(other)) == (31, [30, 32, 33])


def test_they_are_found_however_far_down_the_queue_they_are(project: Project) -> None:
    look_alike(project, [30, 55])
    add(project, {30: 0.5} | {i: 0.51 + i / 1000 for i in range(31, 60)})
    (card,) = review_cards(project, "false-positive", limit=1)
    assert (card.image.id, together(card)) == (30, [55])


def test_a_near_hash_alone_joins_nothing(project: Project) -> None:
    spread_out(project, [30, 40])
    for image_id in (30, 40):
        set_look(project, image_id, 0x0F0F_3355_0F0F_3355)
    add(project, {30: 0.6, 40: 0.7})
    assert [together(card) for card in review_cards(project, "false-positive")] == [[], []]


def test_scored_near_duplicates_are_told_and_left_alone(project: Project) -> None:
    look_alike(project, [2, 30])  # image 2 has a hand score of 1
    add(project, {30: 0.8})
    (card,) = review_cards(project, "false-positive")
    assert together(card) == []
    reason = next(reason for reason in card.reasons if reason.words.startswith("near-duplicate"))
    assert (reason.words, reason.strong) == ("near-duplicate of one scored 1", True)


def test_one_answer_ends_the_card_in_every_queue(project: Project) -> None:
    look_alike(project, [30, 31, 32])
    spread_out(project, [50])
    add(project, {30: 0.6, 31: 0.3, 32: 0.9, 50: 0.7})
    page = review_page(project, "false-positive", limit=10)
    assert page.waiting == 3
    answer(project, page.cards[0], 2)
    after = review_page(project, "false-positive", limit=10)
    assert (ids(after.cards), after.waiting) == ([50], 1)
    assert review_page(project, "false-negative", limit=10).waiting == 0
    # 31 was predicted to fail, and a 2 fails: nothing was wrong with that.
    whys = [
        db.scores.hand_scores.history(project.store, image_id)[0].why for image_id in (30, 31, 32)
    ]
    assert whys == ["correction-false-positive", "confirmation", "correction-false-positive"]
    assert (after.round.corrected, after.round.confirmed) == (2, 1)


def test_images_on_the_screen_are_on_no_other_card(project: Project) -> None:
    look_alike(project, [30, 31, 32])
    add(project, {30: 0.6, 31: 0.7, 32: 0.8})
    page = review_page(project, "false-positive", limit=10)
    assert page.image_ids() == {30, 31, 32}
    assert review_page(project, "false-positive", limit=10, exclude=[30, 31, 32]).cards == []
    # One that was left out when its card was answered comes by itself.
    page.cards[0].together.pop()
    answer(project, page.cards[0], 2)
    (left,) = review_page(project, "false-positive", limit=10).cards
    assert (left.image.id, together(left)) == (32, [])


def test_what_one_key_did_is_one_act_to_undo(project: Project) -> None:
    look_alike(project, [30, 31, 32])
    add(project, {30: 0.6, 31: 0.3, 32: 0.9})
    (card,) = review_page(project, "false-positive", limit=10).cards
    answer(project, card, 2, event="key")
    (act,) = db.scores.undo_history.recent_events(project.store, ("false-positive",), 10)
    assert (act.event_id, act.image_id) == ("key", 30)
    assert {image_id for _, image_id in act.together} == {31, 32}
    undone = ("key", *(event_id for event_id, _ in act.together))
    undos = [
        {"event": f"undo {name}", "kind": "undo", "image": 30, "undoes": name} for name in undone
    ]
    assert all(receipt.accepted for receipt in record_events(project, undos))
    assert db.scores.undo_history.recent_events(project.store, ("false-positive",), 10) == []
    assert together(review_page(project, "false-positive", limit=10).cards[0]) == [31, 32]


def test_shown_images_are_noted_in_their_own_queues(project: Project) -> None:
    look_alike(project, [30, 31])
    add(project, {30: 0.6, 31: 0.3})
    page = review_page(project, "false-positive", limit=10)
    assert (page.image_ids(), page.round.shown) == ({30, 31}, 0)
    for _twice in range(2):
        note_shown(project, "false-positive", page.image_ids())
    assert db.versions.rounds.history(project.store)[0].shown == 2


def test_conflicting_scores_of_near_duplicates_lead_the_queue(project: Project) -> None:
    # Images 3, 8 and 20 have hand scores of 2, 7 and 8.
    look_alike(project, [3, 8])
    add(project, {}, out_of_fold={20: 0.1})
    first, second, *_ = review_cards(project, "hand-score")
    assert {first.image.id, *together(first)} == {3, 8}
    mine = first.image.hand_score
    words = f"scored {mine:g}, its near-duplicate {9 - mine:g}"
    assert (first.reasons[0].words, first.reasons[0].strong) == (words, True)
    assert second.image.id == 20


def test_a_conflict_ends_with_one_score_or_with_both_kept(project: Project) -> None:
    look_alike(project, [3, 8])
    add(project, {})
    (card,) = conflicts(project)
    answer(project, card, 7)
    assert conflicts(project) == []
    add(project, {})
    assert conflicts(project) == []
    assert [db.images.lookup.get(project.store, i).hand_score for i in (3, 8)] == [7, 7]


def test_kept_conflicts_do_not_come_back(project: Project) -> None:
    look_alike(project, [3, 8])
    add(project, {})
    kept = {"kind": "confirm", "queue": "hand-score"}
    events = [
        {"event": "a", "image": 3, "score": 2, **kept},
        {"event": "b", "image": 8, "score": 7, **kept},
    ]
    record_events(project, events[:1])
    assert len(conflicts(project)) == 1
    record_events(project, events[1:])
    add(project, {})
    assert conflicts(project) == []


def test_a_conflict_needs_no_prediction_of_the_version(project: Project) -> None:
    look_alike(project, [30, 31])
    add(project, {30: 0.8, 31: 0.8})
    scores = [
        {"event": f"s{i}", "kind": "score", "image": i, "score": value}
        for i, value in ((30, 1), (31, 9))
    ]
    record_events(project, scores)
    (card,) = conflicts(project)
    assert {card.image.id, *together(card)} == {30, 31}
