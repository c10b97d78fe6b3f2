"""Review: each queue shows the surest mistakes first, says why, and never shows two of a kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from collection import make_collection

import db.embeddings
import db.images
import db.rounds
import db.scores
import db.versions
from db.records import NewVersion, Predictions, Version
from labeler.errors import BadInput, LabelerError
from labeler.project import Project
from labeler.review import review_cards, review_page
from labeler.scoring import take_events

IMAGES, SCORED = 60, 22


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_collection(tmp_path, images=IMAGES, scored=SCORED)


def add(
    project: Project,
    predictions: dict[int, float],
    out_of_fold: dict[int, float] | None = None,
    opinion: dict[int, int] | None = None,
) -> Version:
    """A version with these predictions; out of fold it errs by 0.1 where nothing else is said.

    `opinion` holds hand scores that the second opinion is nearly sure of; without it there is none.
    """
    ids, values = db.scores.effective(project.store)
    usual = {
        i: v / 10 + (0.1 if v < 5 else -0.1) for i, v in zip(ids.tolist(), values, strict=True)
    }
    unseen = np.array(list((usual | (out_of_fold or {})).values()), dtype=np.float32)
    version = db.versions.add(
        project.store,
        NewVersion(
            name=db.versions.next_name(project.store),
            parent=None,
            encoder=project.encoder,
            recipe="quick",
            threshold=0.5,
            file="",
            scored_ids=ids,
            scored_values=values,
            out_of_fold=Predictions(ids, unseen, None, np.arange(len(ids)) % 5),
        ),
    )
    wanted = np.array(sorted(predictions))
    exceed = None
    if opinion is not None:
        exceed = np.full((len(wanted), 10), np.nan, dtype=np.float32)
        for row, image_id in enumerate(wanted.tolist()):
            if image_id in opinion:
                exceed[row] = np.where(np.arange(1, 11) <= opinion[image_id], 0.98, 0.02)
    scores = np.array([predictions[int(i)] for i in wanted], dtype=np.float32)
    db.versions.put_predictions(project.store, version.id, Predictions(wanted, scores, exceed))
    return version


def ids(cards: list) -> list[int]:
    return [card.image.id for card in cards]


def spread_out(project: Project, image_ids: list[int]) -> None:
    """Embeddings that are nothing alike for these images."""
    encoder = db.embeddings.encoder(project.store, project.encoder)
    vectors = np.eye(8, dtype=np.float32)[: len(image_ids)]
    db.embeddings.put(project.store, encoder.id, np.array(image_ids), vectors)


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
    assert first.second == pytest.approx(2.0, abs=0.3)
    assert "fails" in first.reasons[-1].words
    assert "passes" in second.reasons[-1].words


def test_what_the_source_rules_out_goes_first(project: Project) -> None:
    spread_out(project, [30, 40])
    add(project, {30: 0.99, 40: 0.5})
    assert ids(review_cards(project, "false-positive")) == [40, 30]
    source = db.images.sources(project.store)[0]
    db.images.update_source(project.store, source.id, (0, 1))
    cards = review_cards(project, "false-positive")
    assert all(card.reasons[0].strong and "0–1" in card.reasons[0].words for card in cards)
    db.images.update_source(project.store, source.id, (0, 6))  # says nothing about the threshold
    assert not any(card.reasons[0].strong for card in review_cards(project, "false-positive"))


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
    assert take_events(project, [keep])[0].accepted
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
    assert all(receipt.accepted for receipt in take_events(project, events))
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
    assert db.rounds.history(project.store) == []
