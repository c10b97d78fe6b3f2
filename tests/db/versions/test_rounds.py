"""Review rounds: one is open for a version, and it counts what was shown and handled.

Protects: opening a page again goes on with the same round, a card counts once however often it is
shown, the next version closes the round and is named in it. (What events do to cards is in
`db/scores/test_hand_scores.py`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.scores.events
import db.versions.rounds
from db.store.store import Store
from tests.support.store_rows import add_encoder, add_images, add_version, event, new_store, score


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        add_images(made, 4)
        add_encoder(made)
        add_version(made)
        yield made


def test_a_round_stays_open_until_the_next_version(store: Store) -> None:
    review = db.versions.rounds.open_round(store, 1, 0.5)
    assert (review.from_version, review.to_version, review.threshold) == ("v1.0", None, 0.5)
    assert db.versions.rounds.open_round(store, 1, 0.7) == review
    add_version(store, parent="v1.0")
    (closed,) = db.versions.rounds.history(store)
    assert (closed.id, closed.to_version) == (review.id, "v1.1")
    assert closed.finished_at is not None
    again = db.versions.rounds.open_round(store, 1, 0.7)
    assert (again.id != review.id, again.threshold) == (True, 0.7)


def test_rounds_of_two_versions_are_kept_apart(store: Store) -> None:
    add_version(store, parent="v1.0")
    first, second = (
        db.versions.rounds.open_round(store, 1, 0.5),
        db.versions.rounds.open_round(store, 2, 0.5),
    )
    db.versions.rounds.mark_shown(store, first.id, "false-positive", [(1, 0.9)])
    details = {"queue": "false-positive", "shown_version": "v1.0"}
    score(store, 1, 2, **details)
    assert db.versions.rounds.handled(store, first.id, "false-positive") == {1}
    assert db.versions.rounds.handled(store, second.id, "false-positive") == set()
    assert [r.from_version for r in db.versions.rounds.history(store)] == ["v1.0", "v1.1"]


def test_a_card_counts_once_however_often_it_is_shown(store: Store) -> None:
    review = db.versions.rounds.open_round(store, 1, 0.5)
    cards = [(np.int64(1), np.float32(0.9)), (2, 0.8), (3, None)]
    db.versions.rounds.mark_shown(store, review.id, "false-positive", cards)
    score(store, 1, 2, queue="false-positive", shown_version="v1.0")
    db.versions.rounds.mark_shown(store, review.id, "false-positive", cards)
    db.versions.rounds.mark_shown(store, review.id, "hand-score", [(1, 0.9)])
    db.versions.rounds.mark_shown(store, review.id, "hand-score", [])
    (found,) = db.versions.rounds.history(store)
    assert (found.shown, found.corrected, found.confirmed, found.skipped) == (4, 1, 0, 0)
    assert db.versions.rounds.handled(store, review.id, "false-positive") == {1}
    assert db.versions.rounds.handled(store, review.id, "hand-score") == set()


def test_a_skip_for_now_counts_as_handled_until_it_is_undone(store: Store) -> None:
    review = db.versions.rounds.open_round(store, 1, 0.5)
    db.versions.rounds.mark_shown(store, review.id, "false-negative", [(1, 0.2)])
    skip = event("skip", "skip", 1, queue="false-negative")
    db.scores.events.record(store, [skip])
    assert db.versions.rounds.handled(store, review.id, "false-negative") == {1}
    db.scores.events.record(store, [event("undo", "undo", 1, undoes="skip")])
    assert db.versions.rounds.handled(store, review.id, "false-negative") == set()


def test_answers_count_for_what_dealt_the_card_last_in_the_order_given(store: Store) -> None:
    review = db.versions.rounds.open_round(store, 1, 0.5)
    details = {"queue": "false-positive", "shown_version": "v1.0"}
    cards = [(1, 0.9), (2, 0.8), (3, 0.7)]
    db.versions.rounds.mark_shown(store, review.id, "false-positive", cards, {1: "random"})
    db.versions.rounds.mark_shown(
        store, review.id, "false-positive", cards, {1: "prediction", 2: "random"}
    )
    score(store, 2, 1, why="correction-false-positive", **details)
    score(store, 1, 9, why="confirmation", **details)
    score(store, 3, 1, why="correction-false-positive", **details)
    assert db.versions.rounds.answered(store, review.id).tolist() == [2, 1, 3]
    db.versions.rounds.mark_shown(
        store, review.id, "false-positive", cards, {1: "random", 3: "prediction"}
    )
    # Noted after its answer the third one still counts; the first keeps what it was answered as.
    expected = [("random", True), ("prediction", False), ("prediction", True)]
    assert db.versions.rounds.answers(store) == expected
