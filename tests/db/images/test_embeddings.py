"""Embeddings: each vector stays with its image and its encoder, bit for bit.

Protects: ids travel with vectors whatever the order asked for, encoders never meet, an encoder that
changed its ways is refused, and nothing broken is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.images.embeddings
import db.importing.files
import db.repair.invalid_values
from db.errors import StoreError
from db.store.store import Store
from tests.support.store_rows import add_encoder, add_images, new_store, picture

WIDTH = 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


def vectors_of(ids: list[int]) -> np.ndarray:
    """(n, WIDTH) float32 whose first value is the image id."""
    vectors = np.random.default_rng(5).normal(size=(len(ids), WIDTH)).astype(np.float32)
    vectors[:, 0] = ids
    return vectors


def test_an_encoder_is_registered_once(store: Store) -> None:
    made = db.images.embeddings.register_encoder(store, "lite", WIDTH, False, {"size": (224, 224)})
    again = db.images.embeddings.register_encoder(store, "lite", WIDTH, False, {"size": (224, 224)})
    assert made == again == db.images.embeddings.encoder(store, "lite")
    assert (made.identity, made.width, made.normalised) == ("lite", WIDTH, False)
    assert made.preprocessing == {"size": [224, 224]}
    assert db.images.embeddings.encoder(store, "clip") is None


@pytest.mark.parametrize(
    ("width", "normalised", "preprocessing", "told"),
    [
        (8, False, {"size": 224}, "8 raw values"),
        (WIDTH, True, {"size": 224}, "4 normalised values"),
        (WIDTH, False, {"size": 336}, "336"),
    ],
)
def test_an_encoder_that_changed_is_refused_naming_both_ways(
    store: Store, width: int, normalised: bool, preprocessing: dict, told: str
) -> None:
    db.images.embeddings.register_encoder(store, "lite", WIDTH, False, {"size": 224})
    with pytest.raises(StoreError) as refused:
        db.images.embeddings.register_encoder(store, "lite", width, normalised, preprocessing)
    assert told in str(refused.value)
    assert '4 raw values with preprocessing {"size": 224}' in str(refused.value)


def test_vectors_come_back_with_their_ids_in_the_order_asked_for(store: Store) -> None:
    ids = add_images(store, 5)
    encoder_id = add_encoder(store)
    vectors = vectors_of(ids)
    db.images.embeddings.put(store, encoder_id, np.array(ids[:4]), vectors[:4])
    found_ids, found = db.images.embeddings.get(store, encoder_id, [ids[3], ids[4], ids[0], 999])
    assert found_ids.tolist() == [ids[3], ids[0]]
    assert found.dtype == np.float32
    assert np.array_equal(found, vectors[[3, 0]])
    found[0, 0] = -1  # Writable, as torch wants it.
    assert db.images.embeddings.count(store, encoder_id) == 4


def test_nothing_asked_for_is_an_empty_array_of_the_right_width(store: Store) -> None:
    encoder_id = add_encoder(store)
    db.images.embeddings.put(store, encoder_id, [], np.empty((0, WIDTH), dtype=np.float32))
    found_ids, found = db.images.embeddings.get(store, encoder_id, [])
    assert (found_ids.shape, found.shape) == ((0,), (0, WIDTH))


def test_putting_again_replaces(store: Store) -> None:
    ids = add_images(store, 2)
    encoder_id = add_encoder(store)
    db.images.embeddings.put(store, encoder_id, ids, vectors_of(ids))
    db.images.embeddings.put(store, encoder_id, ids[:1], np.full((1, WIDTH), 9, dtype=np.float32))
    assert db.images.embeddings.get(store, encoder_id, ids)[1][:, 0].tolist() == [9, ids[1]]
    assert db.images.embeddings.count(store, encoder_id) == 2


def test_two_encoders_never_meet(store: Store) -> None:
    ids = add_images(store, 2)
    lite, clip = add_encoder(store), add_encoder(store, "clip", 2)
    db.images.embeddings.put(store, lite, ids, vectors_of(ids))
    assert db.images.embeddings.count(store, clip) == 0
    assert db.images.embeddings.get(store, clip, ids)[1].shape == (0, 2)
    assert [image_id for image_id, _ in db.images.embeddings.missing(store, clip)] == ids
    assert db.images.embeddings.missing(store, lite) == []


def test_missing_are_the_fine_images_without_a_vector_at_a_path_that_is_there(
    store: Store,
) -> None:
    ids = add_images(store, 4)
    encoder_id = add_encoder(store)
    db.images.embeddings.put(store, encoder_id, ids[:1], vectors_of(ids[:1]))
    copy = picture(1, path="/pictures/copy.png")
    db.importing.files.record_files(store, [copy, picture(9, reason="truncated")])
    db.importing.files.mark_missing(store, None, ["/pictures/1.png", "/pictures/2.png"])
    assert db.images.embeddings.missing(store, encoder_id) == [
        (ids[1], "/pictures/copy.png"),
        (ids[3], "/pictures/3.png"),
    ]
    only = db.images.embeddings.missing(store, encoder_id, only=np.array(ids[2:]))
    assert only == [(ids[3], "/pictures/3.png")]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_with_a_broken_vector_is_refused_whole(store: Store, bad: float) -> None:
    ids = add_images(store, 3)
    encoder_id = add_encoder(store)
    vectors = vectors_of(ids)
    vectors[1, 2] = bad
    with pytest.raises(StoreError, match=f"not finite for image {ids[1]}"):
        db.images.embeddings.put(store, encoder_id, ids, vectors)
    assert db.images.embeddings.count(store, encoder_id) == 0


@pytest.mark.parametrize("shape", [(2, WIDTH), (3, WIDTH + 1), (3 * WIDTH,)])
def test_an_array_of_another_shape_is_refused(store: Store, shape: tuple[int, ...]) -> None:
    ids = add_images(store, 3)
    encoder_id = add_encoder(store)
    with pytest.raises(StoreError, match="lite gives 4 values for each image"):
        db.images.embeddings.put(store, encoder_id, ids, np.zeros(shape, dtype=np.float32))


def test_an_encoder_nobody_registered_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="register it first"):
        db.images.embeddings.put(store, 7, [], np.empty((0, WIDTH)))


def test_float64_and_strided_arrays_are_kept_as_float32(store: Store) -> None:
    ids = add_images(store, 3)
    encoder_id = add_encoder(store)
    wide = np.arange(24, dtype=np.float64).reshape(3, 8)
    db.images.embeddings.put(store, encoder_id, ids, wide[:, ::2])
    assert db.images.embeddings.get(store, encoder_id, ids)[1].tolist() == wide[:, ::2].tolist()


def test_wide_embeddings_are_read_a_few_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their bytes: a stranger's store may say that an embedding has a million values."""
    encoder, ids = add_encoder(store), add_images(store, 10)
    kept = vectors_of(ids)
    db.images.embeddings.put(store, encoder, ids, kept)
    monkeypatch.setattr(db.images.embeddings, "_PIECE_BYTES", 3 * WIDTH * 4 + 1)
    assert len(db.images.embeddings.added_since(store, encoder, 0, 10)[0]) == 3
    assert np.array_equal(db.images.embeddings.get(store, encoder, ids)[1], kept)
    assert db.images.embeddings.rows_at_once(1 << 60) == 1
    with store.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE embeddings SET vector = zeroblob(3000) WHERE image_id IN (2, 7)"
        )
    looked: list[int] = []
    assert list(db.repair.invalid_values.bad_embeddings(store, looked.append)) == [
        (encoder, 2),
        (encoder, 7),
    ]
    assert looked == [3, 3, 3, 1]
