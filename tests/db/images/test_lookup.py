"""Sources, images and the files that hold them, and which image is shown next.

Protects: one picture is one image whatever happens to its files (copied, moved, changed, gone, come
back, unreadable); every file name survives, also one that is no text; the queues give each image
once, in the order promised, and never one that is scored, excluded, missing or unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.images.counts
import db.images.locations
import db.images.lookup
import db.images.sources
import db.importing.files
import db.scores.events
import db.scores.queue_queries
import db.versions.predictions
from db.errors import StoreError
from db.records import ImportedFile, Predictions
from db.store.store import Store
from tests.support.store_rows import (
    add_encoder,
    add_images,
    add_version,
    event,
    new_store,
    picture,
    score,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        db.images.sources.add_source(made, "drawings", "/pictures", None)
        yield made


def outcomes(store: Store, *files: ImportedFile) -> list[tuple[str, int]]:
    return [(done.outcome, done.image_id) for done in db.importing.files.record_files(store, files)]


def state(store: Store, image_id: int) -> str:
    image = db.images.lookup.get(store, image_id)
    assert image is not None
    return image.state


def test_a_source_is_made_once_and_its_expectation_changes_only_when_given(store: Store) -> None:
    first = db.images.sources.add_source(store, "photos", "/photos", (0, 1))
    again = db.images.sources.add_source(store, "photos", "/elsewhere", None)
    assert again == first
    assert (first.root, first.expect_low, first.expect_high) == ("/photos", 0.0, 1.0)
    assert db.images.sources.add_source(store, "photos", "/photos", (0, 2)).expect_high == 2.0
    assert db.images.sources.update_source(store, first.id, None).expect_low is None
    assert [source.name for source in db.images.sources.sources(store)] == ["drawings", "photos"]


@pytest.mark.parametrize("expect", [(3, 2), (-1, 2), (0, 11), (float("nan"), 1)])
def test_an_impossible_expectation_is_refused(store: Store, expect: tuple[float, float]) -> None:
    with pytest.raises(StoreError, match=r"photos.*LOW:HIGH within 0:10"):
        db.images.sources.add_source(store, "photos", None, expect)
    assert len(db.images.sources.sources(store)) == 1


def test_a_new_image_comes_back_as_it_was_recorded(store: Store) -> None:
    file = picture(3, fingerprint=2**64 - 1)
    ((outcome, image_id),) = outcomes(store, file)
    image = db.images.lookup.get(store, image_id)
    assert outcome == "new"
    assert image is not None
    assert image == db.images.lookup.find_by_path(store, file.path)
    assert (image.content_hash, image.fingerprint) == (file.content_hash, 2**64 - 1)
    assert (image.format, image.width, image.height) == ("PNG", 640, 480)
    assert (image.path, image.source, image.size_bytes) == (file.path, "drawings", 1003)
    assert (image.state, image.reason, image.hand_score, image.group) == ("fine", None, None, None)


def test_unknown_images_are_none_whatever_the_number(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    assert db.images.lookup.get(store, image_id + 1) is None
    assert db.images.lookup.get(store, -1) is None
    assert db.images.lookup.get(store, 10**30) is None
    assert db.images.lookup.find_by_path(store, "/pictures/none.png") is None


def test_the_same_content_twice_is_one_image_with_two_locations(store: Store) -> None:
    copy = picture(1, path="/pictures/copy.png")
    assert outcomes(store, picture(1), copy) == [("new", 1), ("duplicate", 1)]
    paths = [
        (place.path, place.source, place.present)
        for place in db.images.locations.locations(store, 1)
    ]
    assert paths == [("/pictures/1.png", "drawings", True), (copy.path, "drawings", True)]
    assert db.images.locations.ids_by_path(store) == {"/pictures/1.png": 1, copy.path: 1}
    assert db.images.counts.by_state(store) == {"fine": 1, "unreadable": 0, "missing": 0}


def test_importing_again_changes_nothing(store: Store) -> None:
    outcomes(store, picture(1), picture(2))
    before = db.images.lookup.by_ids(store, [1, 2]), db.images.locations.known_locations(store)
    assert outcomes(store, picture(1), picture(2)) == [("known", 1), ("known", 2)]
    assert (
        db.images.lookup.by_ids(store, [1, 2]),
        db.images.locations.known_locations(store),
    ) == before


def test_known_locations_tell_what_the_last_import_saw(store: Store) -> None:
    other = db.images.sources.add_source(store, "photos", None, None)
    outcomes(store, picture(1), picture(2, other.id), picture(3))
    db.importing.files.mark_missing(store, None, ["/pictures/3.png"])
    known = db.images.locations.known_locations(store)
    assert sorted(known) == ["/pictures/1.png", "/pictures/2.png"]
    seen = known["/pictures/2.png"]
    assert (seen.image_id, seen.mtime_ns, seen.size_bytes, seen.state) == (2, 2, 1002, "fine")
    assert list(db.images.locations.known_locations(store, other.id)) == ["/pictures/2.png"]


def test_a_file_that_is_gone_leaves_its_image_missing_until_it_comes_back(store: Store) -> None:
    outcomes(store, picture(1))
    score(store, 1, 7)
    assert (
        db.importing.files.mark_missing(store, 1, ["/pictures/1.png", "/pictures/never.png"]) == 1
    )
    assert db.importing.files.mark_missing(store, 1, ["/pictures/1.png"]) == 0
    image = db.images.lookup.get(store, 1)
    assert image is not None
    assert (image.state, image.path, image.hand_score) == ("missing", "/pictures/1.png", 7.0)
    assert outcomes(store, picture(1)) == [("known", 1)]
    assert state(store, 1) == "fine"


def test_an_image_is_missing_only_when_its_last_file_is(store: Store) -> None:
    copy = picture(1, path="/pictures/copy.png")
    outcomes(store, picture(1), copy)
    assert db.importing.files.mark_missing(store, 1, ["/pictures/1.png"]) == 0
    image = db.images.lookup.get(store, 1)
    assert image is not None
    assert (image.state, image.path) == ("fine", copy.path)
    assert db.importing.files.mark_missing(store, 1, [copy.path]) == 1


def test_marking_one_source_leaves_the_others(store: Store) -> None:
    other = db.images.sources.add_source(store, "photos", None, None)
    outcomes(store, picture(1), picture(2, other.id))
    assert (
        db.importing.files.mark_missing(store, other.id, ["/pictures/1.png", "/pictures/2.png"])
        == 1
    )
    assert (state(store, 1), state(store, 2)) == ("fine", "missing")


def test_a_moved_file_keeps_its_image_and_score(store: Store) -> None:
    outcomes(store, picture(1))
    score(store, 1, 0)
    db.importing.files.mark_missing(store, 1, ["/pictures/1.png"])
    moved = picture(1, path="/pictures/sub/1.png")
    assert outcomes(store, moved) == [("moved", 1)]
    image = db.images.lookup.get(store, 1)
    assert image is not None
    assert (image.state, image.path, image.hand_score) == ("fine", moved.path, 0.0)
    assert [place.present for place in db.images.locations.locations(store, 1)] == [True, False]


def test_a_moved_file_brings_its_new_source(store: Store) -> None:
    other = db.images.sources.add_source(store, "photos", None, None)
    outcomes(store, picture(1))
    db.importing.files.mark_missing(store, 1, ["/pictures/1.png"])
    outcomes(store, picture(1, other.id, path="/photos/1.png"))
    counts = {
        c.source.name: (c.images, c.scored) for c in db.images.sources.counts_by_source(store)
    }
    assert counts == {"drawings": (0, 0), "photos": (1, 0)}


def test_a_changed_file_is_a_new_image_and_the_old_one_is_kept(store: Store) -> None:
    outcomes(store, picture(1))
    score(store, 1, 9)
    changed = picture(2, path="/pictures/1.png")
    assert outcomes(store, changed) == [("changed", 2)]
    old = db.images.lookup.get(store, 1)
    assert old is not None
    assert (old.state, old.path, old.hand_score) == ("missing", "/pictures/1.png", 9.0)
    found = db.images.lookup.find_by_path(store, "/pictures/1.png")
    assert found is not None
    assert (found.id, found.hand_score) == (2, None)
    assert db.images.locations.ids_by_path(store) == {"/pictures/1.png": 2}
    assert outcomes(store, picture(1)) == [("changed", 1)]
    assert (state(store, 1), state(store, 2)) == ("fine", "missing")


def test_two_files_that_swapped_names_swap_their_images(store: Store) -> None:
    outcomes(store, picture(1), picture(2))
    swapped = picture(1, path="/pictures/2.png"), picture(2, path="/pictures/1.png")
    assert outcomes(store, *swapped) == [("changed", 1), ("changed", 2)]
    assert db.images.locations.ids_by_path(store) == {"/pictures/1.png": 2, "/pictures/2.png": 1}
    assert db.images.counts.by_state(store)["fine"] == 2


def test_an_unreadable_file_is_recorded_with_its_reason(store: Store) -> None:
    truncated = picture(1, fingerprint=None, width=None, height=None, reason="truncated")
    denied = picture(2, content_hash=None, reason="permission denied")
    assert outcomes(store, truncated, denied) == [("unreadable", 1), ("unreadable", 2)]
    assert outcomes(store, truncated, denied) == [("unreadable", 1), ("unreadable", 2)]
    found = db.images.lookup.by_ids(store, [2, 1])
    assert [(image.id, image.reason) for image in found] == [
        (2, "permission denied"),
        (1, "truncated"),
    ]
    assert db.images.counts.by_state(store) == {"fine": 0, "unreadable": 2, "missing": 0}
    assert db.scores.queue_queries.unscored(store, order="random", limit=9) == []


def test_a_file_that_can_be_read_at_last_becomes_fine(store: Store) -> None:
    outcomes(store, picture(1, width=None, height=None, reason="no decoder"))
    outcomes(store, picture(2, content_hash=None, reason="permission denied"))
    assert outcomes(store, picture(1), picture(2)) == [("new", 1), ("new", 2)]
    for image in db.images.lookup.by_ids(store, [1, 2]):
        assert (image.state, image.reason, image.width) == ("fine", None, 640)
        assert image.content_hash == f"{image.id:064x}"


def test_a_file_that_can_no_longer_be_opened_keeps_its_place(store: Store) -> None:
    outcomes(store, picture(1))
    ((outcome, _),) = outcomes(store, picture(1, content_hash=None, reason="permission denied"))
    assert outcome == "unreadable"
    assert state(store, 1) == "missing"
    assert outcomes(store, picture(1)) == [("changed", 1)]
    assert state(store, 1) == "fine"


@pytest.mark.parametrize(
    "name", ["\udcff\udc80.png", "<b>![](http://x)'\";--.png", "猫 %20 ñ.png", "\ud800.png"]
)
def test_any_file_name_comes_back_as_it_was(store: Store, name: str) -> None:
    file = picture(1, path=f"/pictures/{name}", reason=f"can't read {name}")
    outcomes(store, file)
    image = db.images.lookup.find_by_path(store, file.path)
    assert image is not None
    assert (image.path, image.reason) == (file.path, file.reason)
    assert list(db.images.locations.known_locations(store)) == [file.path]
    assert db.importing.files.mark_missing(store, 1, [file.path]) == 1


def test_a_batch_is_kept_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(Exception, match="FOREIGN KEY"):
        db.importing.files.record_files(store, [picture(1), picture(2, source_id=77)])
    assert db.images.locations.ids_by_path(store) == {}


def test_images_come_in_the_order_asked_for_also_by_numpy_ids(store: Store) -> None:
    ids = add_images(store, 4)
    wanted = np.array([ids[3], 999, ids[0], ids[2]])
    assert [image.id for image in db.images.lookup.by_ids(store, wanted)] == [
        ids[3],
        ids[0],
        ids[2],
    ]
    assert [image.id for image in db.images.lookup.by_ids(store, list(wanted[:1]))] == [ids[3]]


def test_more_ids_than_sqlite_takes_parameters(store: Store) -> None:
    ids = add_images(store, 3)
    assert len(db.images.lookup.by_ids(store, range(300_000))) == len(ids)


def test_groups_are_set_changed_and_cleared(store: Store) -> None:
    ids = add_images(store, 3)
    db.images.lookup.set_groups(store, {ids[0]: "a", ids[1]: "a", np.int64(ids[2]): "b"})
    db.images.lookup.set_groups(store, {ids[1]: None, ids[2]: "c"})
    assert db.images.lookup.groups(store) == {ids[0]: "a", ids[2]: "c"}


def test_fingerprints_keep_all_their_bits(store: Store) -> None:
    hashes = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    outcomes(store, *(picture(n, fingerprint=h) for n, h in enumerate(hashes)))
    outcomes(store, picture(9, fingerprint=None), picture(10, fingerprint=np.uint64(2**63 + 5)))
    ids, found = db.images.lookup.fingerprints(store)
    assert ids.dtype == np.int64
    assert found.dtype == np.uint64
    assert found[np.argsort(ids)].tolist() == [*hashes, 2**63 + 5]


# What is shown next


def shown(store: Store, order: str, limit: int = 100, **how: object) -> list[int]:
    return [
        image.id
        for image in db.scores.queue_queries.unscored(store, order=order, limit=limit, **how)
    ]


@pytest.mark.parametrize("order", ["random", "newest"])
def test_the_queue_holds_every_waiting_image_once(store: Store, order: str) -> None:
    ids = add_images(store, 30)
    score(store, ids[0], 0)
    db.importing.files.mark_missing(store, None, ["/pictures/1.png"])
    outcomes(store, picture(99, reason="truncated"))
    found = shown(store, order, exclude={ids[2], np.int64(ids[3])})
    assert sorted(found) == ids[4:]
    assert shown(store, order, limit=5, exclude=ids[2:4]) == found[:5]


def test_newest_is_the_last_imported_first(store: Store) -> None:
    ids = add_images(store, 5)
    assert shown(store, "newest", limit=3) == ids[:1:-1]


def test_random_order_stays_the_same_and_is_not_the_order_of_import(store: Store) -> None:
    ids = add_images(store, 40)
    found = shown(store, "random")
    assert found == shown(store, "random")
    assert found != ids
    assert sorted(found) == ids


def test_an_unscored_image_again_waits_after_its_score_is_undone(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    score(store, image_id, 5, event_id="five")
    assert shown(store, "random") == []
    db.scores.events.record(store, [event("undo", "undo", undoes="five")])
    assert shown(store, "random") == [image_id]


def test_one_source_only(store: Store) -> None:
    add_images(store, 3)
    photos = add_images(store, 3, "photos", first=10)
    source_id = db.images.sources.add_source(store, "photos", None, None).id
    assert shown(store, "newest", source_id=source_id) == photos[::-1]
    assert sorted(shown(store, "random", source_id=source_id)) == photos


def test_skipped_images_come_last_and_an_undone_skip_does_not_count(store: Store) -> None:
    ids = add_images(store, 4)
    skips = [event(f"skip-{n}", "skip", ids[n]) for n in (3, 2, 1)]
    other = event("elsewhere", "skip", ids[0], queue="false-positive")
    db.scores.events.record(store, [*skips, other, event("undo", "undo", undoes="skip-2")])
    assert shown(store, "newest") == [ids[2], ids[0], ids[3], ids[1]]
    assert shown(store, "newest", limit=3) == [ids[2], ids[0], ids[3]]


def predicted(store: Store, ids: list[int], values: list[float]) -> int:
    add_encoder(store)
    version = add_version(store)
    new = Predictions(np.array(ids), np.array(values, dtype=np.float32))
    db.versions.predictions.put_predictions(store, version.id, new)
    return version.id


def test_a_band_holds_the_waiting_images_predicted_within_it(store: Store) -> None:
    ids = add_images(store, 6)
    version_id = predicted(store, ids[:5], [0.25, 0.5, 0.75, 0.5, 1.0])
    score(store, ids[3], 5)
    how = {"version_id": version_id, "band": (0.5, 0.75)}
    assert sorted(shown(store, "random-in-band", **how)) == [ids[1], ids[2]]
    db.scores.events.record(store, [event("skip", "skip", ids[1])])
    assert shown(store, "random-in-band", **how) == [ids[2], ids[1]]


def test_a_band_with_thousands_is_as_right_as_one_with_few(store: Store) -> None:
    ids = add_images(store, 5500)
    version_id = predicted(store, ids, [0.75] * 5200 + [0.25] * 300)
    many = shown(store, "random-in-band", 40, version_id=version_id, band=(0.5, 1.0))
    expected = [image_id for image_id in shown(store, "random", 5500) if image_id <= ids[5199]]
    assert many == expected[:40]


def test_an_order_that_nobody_knows_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="random-in-band"):
        db.scores.queue_queries.unscored(store, order="best", limit=1)
    with pytest.raises(StoreError, match="train one first"):
        db.scores.queue_queries.unscored(store, order="random-in-band", limit=1)


def test_scored_images_to_revise_the_last_scored_first(store: Store) -> None:
    ids = add_images(store, 5)
    for position in (2, 0, 3, 1, 0):
        score(store, ids[position], 5)
    found = [image.id for image in db.scores.queue_queries.last_scored(store, limit=9)]
    assert found == [ids[0], ids[1], ids[3], ids[2]]
    rest = db.scores.queue_queries.last_scored(store, limit=2, exclude=[ids[0], ids[3]])
    assert [image.id for image in rest] == [ids[1], ids[2]]
    db.scores.events.record(store, [event("undo", "undo", undoes=f"image-{ids[1]}-0")])
    again = db.scores.queue_queries.last_scored(store, limit=9)
    assert [image.id for image in again] == [ids[0], ids[3], ids[2]]
