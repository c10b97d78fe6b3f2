"""What is turned, replaced, carried over or deleted leaves nothing behind that must stay for ever.

Protects the truth of what a project says it has: one image for each picture whose file is there,
missing ones only where a file might be found again, and every hand score where its picture is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.images.sources
import db.images.tags
import db.importing.embeddings
import db.importing.files
import db.records
import db.repair.consistency
import db.scores.events
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.images.states import count_replaced, missing_ids
from labeler.cli.main import labeler
from labeler.collection.carry_over import carry_over, carry_overs
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.exports.datasets.image_files import place_image
from model.errors import UnreadableImage
from tests.support.pictures import make_jpeg, noise_image
from tests.support.store_rows import add_encoder, add_version, event, picture, score, tags_of_image

LOSSLESS = Path(__file__).parents[2] / "assets" / "lossless"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    found = {
        each.name: db.repair.consistency.find(made.store, each)
        for each in db.repair.consistency.CONSISTENCY_CHECKS
    }
    made.close()
    assert not any(found.values()), found


def states(project: Project) -> tuple[int, int, int]:
    """Fine, unreadable, missing."""
    counted = db.images.counts.by_state(project.store)
    return counted["fine"], counted["unreadable"], counted["missing"]


def image_at(project: Project, path: Path) -> db.records.Image:
    found = db.images.lookup.find_by_path(project.store, str(path))
    assert found is not None
    return found


def image_by(project: Project, image_id: int) -> db.records.Image:
    found = db.images.lookup.get(project.store, image_id)
    assert found is not None
    return found


def rewrite(path: Path, data: bytes) -> None:
    """As another program does, a moment later."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


@pytest.fixture
def turned(project: Project, tmp_path: Path) -> tuple[int, Path]:
    """A picture with a score, a tag, a group, a version, a card and an embedding, turned in place:
    the id that it had, and its file."""
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    shutil.copy(LOSSLESS / "whole.jpg", path)
    import_paths(project, [path.parent])
    old = image_at(project, path).id
    score(project.store, old, 5, event_id="first")
    db.images.tags.put(project.store, db.images.tags.TABLE, {old: ["sky"]})
    db.images.lookup.set_groups(project.store, {old: "pair"})
    encoder = add_encoder(project.store)
    db.images.embeddings.put(project.store, encoder, [old], np.ones((1, 4), np.float32))
    version = add_version(project.store)
    review = db.versions.rounds.open_round(project.store, version.id, 0.5)
    db.versions.rounds.mark_shown(project.store, review.id, "false-positive", [(old, 0.9)])
    rewrite(path, (LOSSLESS / "whole-turned.jpg").read_bytes())
    import_paths(project, [path.parent])
    return old, path


def test_a_turned_picture_is_one_image_with_all_that_was_done_to_it(
    project: Project, turned: tuple[int, Path]
) -> None:
    old, path = turned
    now = image_at(project, path)
    assert now.id != old and db.images.lookup.get(project.store, old) is None
    assert states(project) == (1, 0, 0)
    assert (now.hand_score, now.group) == (5, "pair")
    assert tags_of_image(project.store, now.id) == ["sky"]
    (version,) = db.versions.registry.history(project.store)
    ids, values = db.versions.predictions.trained_on(project.store, version.id)
    assert (ids.tolist(), values.tolist()) == ([now.id], [5])
    assert db.versions.rounds.history(project.store)[0].shown == 1
    encoder = db.images.embeddings.encoder(project.store, "lite")
    assert encoder is not None
    assert [
        image_id for image_id, *_ in db.images.embeddings.missing(project.store, encoder.id)
    ] == [now.id]


def test_a_page_from_before_the_turn_still_scores_and_undoes(
    project: Project, turned: tuple[int, Path]
) -> None:
    old, path = turned
    assert score(project.store, old, 9, event_id="late").accepted
    assert image_at(project, path).hand_score == 9
    undo = event("undo", "undo", old, undoes="late")
    assert db.scores.events.record(project.store, [undo])[0].accepted
    assert image_at(project, path).hand_score == 5


def test_the_number_of_an_image_that_left_is_given_to_no_other(
    project: Project, tmp_path: Path
) -> None:
    make_jpeg(tmp_path / "photos" / "a.jpg")
    junk = tmp_path / "photos" / "z.jpg"
    junk.write_bytes(b"junk")
    import_paths(project, [junk.parent])
    left = image_at(project, junk).id
    junk.unlink()
    import_paths(project, [junk.parent])
    db.importing.files.record_files(project.store, [picture(1), picture(1, path="/pictures/2.png")])
    vectors = np.ones((1, 4), np.float32)
    encoder = add_encoder(project.store)
    came = db.importing.embeddings.import_embeddings(
        project.store, encoder, 1, ["/elsewhere/3.png"], vectors
    )
    fresh = db.images.lookup.find_by_path(project.store, "/pictures/1.png")
    assert fresh is not None and left < fresh.id < int(came.ids[0])


@pytest.mark.parametrize("moved", [False, True], ids=["deleted", "moved with its folder"])
def test_what_could_not_be_read_leaves_with_its_file(
    project: Project, tmp_path: Path, moved: bool
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    make_jpeg(old / "a.jpg")
    (old / "bad.jpg").write_bytes(b"junk")
    (old / "raw.CR2").write_bytes(b"j")
    import_paths(project, [old])
    if moved:
        old.rename(new)
        assert import_paths(project, [new]).moved == 1
    else:
        (old / "bad.jpg").unlink()
        (old / "raw.CR2").unlink()
        assert import_paths(project, [old]).missing == 0
    assert states(project) == (1, 2 if moved else 0, 0)
    assert [source.name for source in db.images.sources.sources(project.store)] == [
        "new" if moved else "old"
    ]


def test_what_was_done_to_an_unreadable_picture_is_kept(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "photos" / "bad.jpg"
    make_jpeg(path.with_name("a.jpg"))
    path.write_bytes(b"junk")
    import_paths(project, [path.parent])
    score(project.store, image_at(project, path).id, 4)
    path.unlink()
    assert import_paths(project, [path.parent]).missing == 1
    assert image_at(project, path).hand_score == 4


def test_unreadable_pictures_of_a_disk_that_is_away_stay(project: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    make_jpeg(disk / "a.jpg")
    (disk / "bad.jpg").write_bytes(b"junk")
    make_jpeg(tmp_path / "other" / "b.jpg", 5)
    import_paths(project, [disk])
    disk.rename(tmp_path / "unplugged")
    import_paths(project, [tmp_path / "other"])
    assert states(project) == (2, 1, 0)


def test_a_picture_that_was_deleted_can_be_found_again(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg")
    make_jpeg(path.with_name("b.jpg"), 2)
    import_paths(project, [path.parent])
    known = image_at(project, path).id
    data = path.read_bytes()
    path.unlink()
    assert import_paths(project, [path.parent]).missing == 1
    assert missing_ids(project.store) == {known}
    path.write_bytes(data)
    assert import_paths(project, [path.parent]).missing == 0
    assert image_at(project, path).id == known


def test_a_replaced_picture_stays_only_for_what_was_done_to_it(
    project: Project, tmp_path: Path
) -> None:
    first = make_jpeg(tmp_path / "photos" / "a.jpg", 1)
    other = make_jpeg(tmp_path / "photos" / "b.jpg", 2)
    import_paths(project, [first.parent])
    old = image_at(project, first).id
    score(project.store, old, 7)
    for number, path in enumerate((first, other)):
        noise_image(20 + number, (200, 90)).save(path)
    assert import_paths(project, [first.parent]).missing == 0
    assert states(project) == (2, 0, 1)
    assert (count_replaced(project.store), missing_ids(project.store)) == (1, set())
    told = CliRunner().invoke(labeler, ["--project", str(project.folder), "status"])
    assert "2 images, 0 embedded, 0 missing, 0 unreadable, 1 replaced" in told.output
    with pytest.raises(UnreadableImage, match="Another picture has taken its place"):
        place_image(image_by(project, old), tmp_path / "out.jpg", "copy")
    assert carry_over(project, carry_overs(project)) == 1
    assert states(project) == (2, 0, 0) and db.images.lookup.get(project.store, old) is None
    assert image_at(project, first).hand_score == 7


def test_an_emptied_file_is_told_as_empty(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg")
    import_paths(project, [path.parent])
    known = image_at(project, path)
    score(project.store, known.id, 7)
    path.write_bytes(b"")
    import_paths(project, [path.parent])
    for image in (image_by(project, known.id), image_at(project, path)):
        with pytest.raises(UnreadableImage, match="empty"):
            place_image(image, tmp_path / "out.jpg", "copy")


def test_pictures_that_exchanged_their_names_are_what_they_were(
    project: Project, tmp_path: Path
) -> None:
    first, other = (make_jpeg(tmp_path / "photos" / f"{n}.jpg", n) for n in (1, 2))
    import_paths(project, [first.parent])
    before = [image_at(project, path).id for path in (first, other)]
    one, two = first.read_bytes(), other.read_bytes()
    rewrite(first, two)
    rewrite(other, one)
    import_paths(project, [first.parent])
    assert [image_at(project, path).id for path in (other, first)] == before
    assert states(project) == (2, 0, 0)
