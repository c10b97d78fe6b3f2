"""A scored image whose row was lost comes back as the file that it was, and as no other.

Protects hand scores after damage: they may wait for their picture, but never count for another one
that has come to lie where it lay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import db.images.lookup
import db.importing.files
import db.repair.consistency
import db.scores.hand_scores
from db.store.store import Store
from tests.support.store_rows import add_images, new_store, picture, score

FIRST, LATER = "/pictures/0.png", "/new/0.png"
MOVED = replace(picture(0), path=LATER)
OTHER = replace(picture(77), path=FIRST)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


@pytest.fixture
def scored(store: Store) -> int:
    """An image that was moved, and then scored; a known one is beside it."""
    image_id = add_images(store, 2)[0]
    db.importing.files.mark_missing(store, None, [FIRST])
    db.importing.files.record_files(store, [MOVED])
    score(store, image_id, 9)
    return image_id


def lose(store: Store, image_id: int) -> None:
    """Its row, as damage and `doctor --repair` leave it."""
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
        connection.commit()
    for each in db.repair.consistency.CONSISTENCY_CHECKS:
        if db.repair.consistency.find(store, each):
            db.repair.consistency.repair(store, each)


def effective(store: Store) -> dict[int, float]:
    return dict(
        zip(*(each.tolist() for each in db.scores.hand_scores.effective(store)), strict=True)
    )


def waits(store: Store, image_id: int) -> bool:
    """Whether it has its score and no file."""
    image = db.images.lookup.get(store, image_id)
    assert image is not None
    return effective(store) == {image_id: 9} and image.state == "missing"


def test_a_picture_where_it_once_lay_is_another(store: Store, scored: int) -> None:
    lose(store, scored)
    (other,) = db.importing.files.record_files(store, [OTHER])
    assert (other.outcome, other.image_id != scored) == ("new", True)
    assert waits(store, scored)
    (came,) = db.importing.files.record_files(store, [MOVED])
    assert came.image_id == scored
    found = db.images.lookup.get(store, scored)
    assert found is not None
    assert (found.state, found.path, found.hand_score) == ("fine", LATER, 9)


@pytest.mark.parametrize("number", [1, 77])
def test_another_picture_in_its_last_place_takes_no_score(
    store: Store, scored: int, number: int
) -> None:
    """A known one (1) would be merged with it, a new one (77) would become it."""
    lose(store, scored)
    db.importing.files.record_files(store, [replace(picture(number), path=LATER)])
    assert waits(store, scored)


def test_nor_does_one_where_it_was_last_seen_before_it_went_missing(
    store: Store, scored: int
) -> None:
    db.importing.files.mark_missing(store, None, [LATER])
    lose(store, scored)
    for each in (OTHER, replace(picture(1), path=LATER)):
        db.importing.files.record_files(store, [each])
    assert waits(store, scored)
