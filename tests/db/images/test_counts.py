"""The store's own counts never differ from what counting would say, whatever happens to images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.images.sources
import db.importing.files
import db.scores.events
from db.store.schema import ImageRow
from db.store.store import Store
from tests.support.store_rows import add_encoder, add_images, event, new_store, picture, score


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


def counted(store: Store) -> Counter[tuple[int, str, float | None]]:
    """By going through all images."""
    with store.reading() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT source_id, state, hand_score FROM images"
        )
        return Counter(tuple(row) for row in rows)


def agrees(store: Store) -> bool:
    truth, told = counted(store), db.images.counts.by_hand_score(store)
    states, distribution = Counter[str](), [0] * 11
    for (_, state, value), number in truth.items():
        states[state] += number
        if value is not None:
            distribution[int(value + 0.5)] += number
    waiting = sum(n for (_, state, v), n in truth.items() if state == "fine" and v is None)
    sources = {
        each.source.id: (each.images, each.scored)
        for each in db.images.sources.counts_by_source(store)
    }
    expected = {
        key: (
            sum(n for (source, _, _), n in truth.items() if source == key),
            sum(n for (source, _, v), n in truth.items() if source == key and v is not None),
        )
        for key in sources
    }
    return (
        {state: n for state, n in db.images.counts.by_state(store).items() if n} == dict(states)
        and told == db.images.counts.HandScoreCounts(sum(distribution), waiting, distribution)
        and sources == expected
    )


def test_an_empty_store_counts_nothing(store: Store) -> None:
    assert db.images.counts.by_state(store) == {"fine": 0, "unreadable": 0, "missing": 0}
    assert db.images.counts.by_hand_score(store) == db.images.counts.HandScoreCounts(0, 0, [0] * 11)
    assert db.images.counts.image_stamp(store) == ()


def test_counts_follow_imports_scores_undoing_and_loss(store: Store) -> None:
    ids = add_images(store, 6) + add_images(store, 3, source="photos", first=20)
    assert agrees(store)
    for image_id, value in zip(ids, (0, 10, 7.5, 0.4, 3), strict=False):
        score(store, image_id, value)
    score(store, ids[1], 4)
    score(store, ids[8], 9.5)
    assert agrees(store)
    db.scores.events.record(store, [event("undo", "undo", undoes=f"image-{ids[0]}-0")])
    db.scores.events.record(store, [event("undo2", "undo", undoes=f"image-{ids[1]}-1")])
    assert agrees(store)
    db.importing.files.mark_missing(
        store, None, ["/pictures/1.png", "/pictures/4.png", "/pictures/21.png"]
    )
    db.importing.files.record_files(store, [picture(2, reason="cut off"), picture(4), picture(30)])
    # The same picture in another source, and no longer in its first one.
    db.importing.files.record_files(store, [picture(5, source_id=2, path="/photos/5.png")])
    db.importing.files.mark_missing(store, 1, ["/pictures/5.png"])
    assert agrees(store)
    assert db.images.counts.by_state(store)["missing"] == 2


def test_an_image_that_is_removed_is_not_counted(store: Store) -> None:
    ids = add_images(store, 3)
    with store.transaction() as session:
        connection = session.connection()
        connection.exec_driver_sql("DELETE FROM locations WHERE image_id = ?", (ids[1],))
        connection.exec_driver_sql("DELETE FROM images WHERE id = ?", (ids[1],))
    assert agrees(store)


def test_the_stamp_changes_with_images_but_not_with_scores(store: Store) -> None:
    ids = add_images(store, 4)
    stamp = db.images.counts.image_stamp(store)
    score(store, ids[0], 5)
    assert db.images.counts.image_stamp(store) == stamp
    db.importing.files.mark_missing(store, None, ["/pictures/1.png"])
    missing = db.images.counts.image_stamp(store)
    db.importing.files.record_files(store, [picture(1)])
    db.importing.files.mark_missing(store, None, ["/pictures/2.png"])
    assert len({stamp, missing, db.images.counts.image_stamp(store)}) == 3
    with store.transaction() as session:
        session.execute(update(ImageRow).values(group_name="all"))
    add_images(store, 1, first=9)
    assert db.images.counts.image_stamp(store)[0][2] == 4


def test_images_without_an_embedding_are_counted(store: Store) -> None:
    ids, encoder = add_images(store, 5), add_encoder(store)
    assert db.images.counts.not_embedded(store, encoder) == 5
    db.images.embeddings.put(store, encoder, ids[:3], np.ones((3, 4), dtype=np.float32))
    assert db.images.counts.not_embedded(store, encoder) == 2
    db.importing.files.mark_missing(store, None, ["/pictures/0.png", "/pictures/4.png"])
    assert db.images.counts.not_embedded(store, encoder) == 1
    assert db.images.counts.not_embedded(store, add_encoder(store, "other")) == 3


def test_embeddings_arrive_in_the_order_they_were_kept(store: Store) -> None:
    ids, encoder, other = add_images(store, 4), add_encoder(store), add_encoder(store, "other")
    assert db.images.embeddings.newest_row_id(store) == 0
    vectors = np.arange(16, dtype=np.float32).reshape(4, 4)
    db.images.embeddings.put(store, encoder, ids[2:], vectors[2:])
    db.images.embeddings.put(store, other, ids, vectors)
    db.images.embeddings.put(store, encoder, ids[:2], vectors[:2])
    numbers, found, kept = db.images.embeddings.added_since(store, encoder, 0, 3)
    assert found.tolist() == [3, 4, 1]
    assert kept[:, 0].tolist() == [8, 12, 0]
    before = db.images.embeddings.newest_row_id(store)
    db.images.embeddings.put(store, encoder, ids[2:3], vectors[:1])
    assert db.images.embeddings.newest_row_id(store) > before
    assert db.images.embeddings.added_since(store, encoder, int(numbers[-1]), 9)[1].tolist() == [
        2,
        3,
    ]
    assert (
        db.images.embeddings.added_since(
            store, encoder, db.images.embeddings.newest_row_id(store), 9
        )[2].shape[0]
        == 0
    )


def test_what_cannot_be_read_is_listed_with_its_reason(store: Store) -> None:
    add_images(store, 2)
    db.importing.files.record_files(
        store, [picture(7, reason="cut off"), picture(1, reason="empty")]
    )
    db.importing.files.mark_missing(store, None, ["/pictures/0.png"])
    assert [(i.path, i.reason) for i in db.images.lookup.unreadable(store)] == [
        ("/pictures/1.png", "empty"),
        ("/pictures/7.png", "cut off"),
    ]
