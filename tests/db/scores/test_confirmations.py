"""Protects what a person said: "the model is right" is no number, and says nothing that it did not.

A confirmation keeps its bounds whatever happens to the threshold, gives way to a typed score, and
old ones say what they said then. The audit's first blind scores are those typed before a prediction
was seen.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import db.repair.consistency
import db.scores.hand_scores
from db.scores.aggregation import Rule, set_effective_rule
from db.scores.blind_scores import first_blind_scores
from db.scores.confirmations import bounds, bounds_trained_on, effective_confirmations
from db.scores.events import record
from db.store.store import Store
from tests.support.store_rows import add_encoder, add_images, add_version, event, new_store, score

ASSETS = Path(__file__).parents[2] / "assets"
PASSES, FAILS = {"why": "confirmation", "at_least": 5.0}, {"why": "confirmation", "below": 5.0}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as opened:
        add_images(opened, 6)
        yield opened


def counts(store: Store, image_id: int) -> tuple[float, tuple[float | None, float | None] | None]:
    """The hand score that counts, and its bounds where it is a confirmation."""
    value = db.scores.hand_scores.effective_of(store, [image_id])[image_id]
    return value, effective_confirmations(store).get(image_id)


def test_a_confirmation_keeps_its_bounds(store: Store) -> None:
    assert score(store, 1, 7, **PASSES).accepted
    (kept,) = db.scores.hand_scores.history(store, 1)
    assert (kept.value, kept.at_least, kept.below, kept.is_interval) == (7, 5, None, True)
    assert score(store, 2, 4).accepted
    assert not db.scores.hand_scores.history(store, 2)[0].is_interval
    assert counts(store, 1) == (7, (5, None))
    assert counts(store, 2) == (4, None)


@pytest.mark.parametrize(
    ("value", "said"),
    [(4, PASSES), (5, FAILS), (3, {"at_least": 2.0, "below": 2.0}), (3, {"below": 11.0})],
)
def test_a_score_outside_its_bounds_is_refused(
    store: Store, value: float, said: dict[str, Any]
) -> None:
    assert not score(store, 1, value, **said).accepted
    assert db.scores.hand_scores.history(store, 1) == []


@pytest.mark.parametrize("rule", [Rule(), Rule("mean"), Rule("person", "ann")])
def test_a_typed_score_goes_before_a_confirmation(store: Store, rule: Rule) -> None:
    set_effective_rule(store, rule)
    score(store, 1, 3, scorer="ann")
    score(store, 1, 7, scorer="ann", **PASSES)
    score(store, 2, 7, scorer="ann", **PASSES)
    assert counts(store, 2) == (7, (5, None))
    score(store, 2, 3, scorer="ann", event_id="typed")
    assert counts(store, 1) == counts(store, 2) == (3, None)
    assert db.scores.hand_scores.by_scorer(store)["ann"][1].tolist() == [3, 3]
    record(store, [event("back", "undo", undoes="typed")])
    assert counts(store, 2) == (7, (5, None))
    assert not any(
        db.repair.consistency.find(store, each) for each in db.repair.consistency.CONSISTENCY_CHECKS
    )


def test_a_number_that_anybody_typed_goes_before_others_confirmations(store: Store) -> None:
    score(store, 1, 3, scorer="ann")
    score(store, 1, 8, scorer="ben", **PASSES)
    assert counts(store, 1) == (3, None)
    set_effective_rule(store, Rule("mean"))
    assert counts(store, 1) == (3, None)
    set_effective_rule(store, Rule("person", "ben"))
    assert counts(store, 1) == (8, (5, None))


def test_the_mean_of_confirmations_lies_between_the_means_of_their_bounds(store: Store) -> None:
    set_effective_rule(store, Rule("mean"))
    score(store, 1, 8, scorer="ann", **PASSES)
    score(store, 1, 4, scorer="ben", **FAILS)
    assert counts(store, 1) == (6, (2.5, 7.5))
    set_effective_rule(store, Rule())
    assert counts(store, 1) == (4, (None, 5))


def test_bounds_stand_beside_the_scores(store: Store) -> None:
    score(store, 1, 8, **PASSES)
    score(store, 2, 2, **FAILS)
    score(store, 3, 6)
    ids, values = db.scores.hand_scores.effective(store)
    low, high = bounds(store, ids, values)
    assert low.tolist() == [5, 0, 6]
    assert high.tolist() == [np.inf, 5, 6]
    low, high = bounds(store, ids[::-1], values[::-1])
    assert low.tolist() == [6, 0, 5]


def test_a_version_knows_which_of_its_scores_were_confirmations(store: Store) -> None:
    score(store, 1, 8, **PASSES)
    score(store, 2, 6)
    add_encoder(store)
    ids, values = db.scores.hand_scores.effective(store)
    version = add_version(store)
    score(store, 1, 9)  # typed since: the version learnt the confirmation
    low, high = bounds_trained_on(store, version.id, ids, values)
    assert (low.tolist(), high.tolist()) == ([5, 6], [np.inf, 6])


def test_first_blind_scores_are_typed_before_a_prediction_was_seen(store: Store) -> None:
    seen = {"shown_prediction": 0.8}
    review = {"queue": "false-positive", **seen}
    score(store, 1, 3, queue="score")
    score(store, 1, 8, **review)
    score(store, 1, 7, queue="score")
    score(store, 2, 8, **review)  # never blind, later neither
    score(store, 2, 7, queue="score")
    score(store, 3, 6, why="import")
    score(store, 3, 5, queue="score", scorer="ann")
    score(store, 4, 6, queue="score", **seen)
    score(store, 5, 1, queue="score", event_id="slip")
    record(store, [event("back", "undo", undoes="slip")])
    score(store, 5, 2, queue="score")
    score(store, 6, 7, **PASSES)
    ids, values = first_blind_scores(store)
    assert dict(zip(ids.tolist(), values.tolist(), strict=True)) == {1: 3, 3: 5, 5: 2}
    set_effective_rule(store, Rule("person", "ann"))
    assert first_blind_scores(store)[0].tolist() == [3]


OLD = [
    # event, image, value, why, queue, shown prediction, round
    ("right", 9, 7, "confirmation", "false-positive", 0.68, 2),
    ("right.1", 10, 7, "correction-false-negative", "false-negative", 0.3, 2),
    ("typed", 11, 9, "confirmation", "false-positive", 0.68, 2),
    ("below", 12, 4, "confirmation", "false-negative", 0.44, 2),
    ("kept", 13, 3, "confirmation", "hand-score", 0.3, 2),
    ("without a round", 13, 5, "confirmation", "false-positive", 0.46, None),
]


def test_old_confirmations_say_what_they_said_then(tmp_path: Path) -> None:
    """A number that is not the rounded prediction was typed, and stays one."""
    path = tmp_path / "labeler.sqlite"
    shutil.copy(ASSETS / "store-0005.sqlite", path)
    with closing(sqlite3.connect(path)) as connection:
        for given in OLD:
            connection.execute(
                "INSERT INTO hand_scores (event_id, image_id, value, why, queue, shown_prediction,"
                " round_id, at) VALUES (?, ?, ?, ?, ?, ?, ?, '2999-01-01T00:00:00.000000+00:00')",
                given,
            )
        connection.execute("UPDATE rounds SET threshold = 0.45")
        connection.execute("UPDATE versions SET threshold = 0.4")
        connection.execute("UPDATE images SET hand_score = NULL")
        connection.commit()
    with closing(Store.open(path)) as store:
        ids = sorted({image_id for _, image_id, *_ in OLD})
        said = {
            each.event_id: (each.at_least, each.below)
            for each in db.scores.hand_scores.histories(store, ids)
        }
    assert [said[event_id] for event_id, *_ in OLD] == [
        (4.5, None),
        (4.5, None),
        (None, None),
        (None, 4.5),
        (None, None),
        (4.0, None),
    ]


def test_a_migration_lets_typed_scores_count_again(tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    shutil.copy(ASSETS / "store-0005.sqlite", path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM settings WHERE name = 'effective_rule'")
        connection.execute("UPDATE rounds SET threshold = 0.45")
        latest = "(SELECT value FROM hand_scores AS h WHERE h.image_id = images.id AND undone_at IS"
        latest += " NULL ORDER BY id DESC LIMIT 1)"
        connection.execute(
            "INSERT INTO hand_scores (event_id, image_id, value, why, queue, shown_prediction,"
            " round_id, at) VALUES ('right', 1, 7, 'confirmation', 'false-positive', 0.68, 2,"
            " '2999-01-01T00:00:00.000000+00:00')"
        )
        connection.execute(f"UPDATE images SET hand_score = {latest}")
        connection.commit()
        (typed,) = connection.execute(
            "SELECT value FROM hand_scores WHERE image_id = 1 AND undone_at IS NULL"
            " AND why != 'confirmation' ORDER BY id DESC LIMIT 1"
        ).fetchone()
    with closing(Store.open(path)) as store:
        assert db.scores.hand_scores.effective_of(store, [1]) == {1: typed}
        for each in db.repair.consistency.CONSISTENCY_CHECKS:
            assert not db.repair.consistency.find(store, each)
