"""Backups are whole, as of one moment, and restore to the project that was.

Protects the copy that somebody will need one day: nobody waits for it, nothing is overwritten by
it, a disk that is too small is refused with nothing left, and what the message says restores it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import db.scores.hand_scores
import db.store.snapshot
import db.versions.registry
from db.errors import StoreError
from db.store.store import Store
from labeler.cli.main import labeler
from labeler.collection import uploads
from labeler.core.errors import BadInput, LabelerError, Stopped
from labeler.core.files.atomic import is_scratch
from labeler.core.project import STORE_FILE, Project
from labeler.maintenance.backup import (
    CHECKING,
    COPYING,
    PACKING,
    default_path,
    last_backup,
    write_backup,
)
from tests.support.collection import add_version, make_collection
from tests.support.store_rows import score


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_collection(tmp_path / "made", images=12, scored=6)
    add_version(made, 0.1)
    (made.models / "v1.0.safetensors").write_bytes(b"weights")
    (made.models / "v1.1.safetensors.part").write_bytes(b"unfinished")
    uploads.keep_picture(made, "a picture.png", "PNG", b"bytes of a picture")
    yield made
    made.close()


def told(folder: Path) -> tuple[list[int], list[float], int]:
    with closing(Store.open(folder / STORE_FILE)) as store:
        ids, values = db.scores.hand_scores.effective(store)
        return ids.tolist(), values.tolist(), len(db.versions.registry.history(store))


def run(project: Project, *arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(labeler, ["--project", str(project.folder), *arguments])
    return ended.exit_code, ended.output


def test_a_tar_unpacks_into_a_folder_that_is_the_project(project: Project, tmp_path: Path) -> None:
    before, place = told(project.folder), tmp_path / "taste.tar"
    code, output = run(project, "backup", str(place))
    assert code == 0, output
    with tarfile.open(place) as tar:
        names = tar.getnames()
        tar.extractall(tmp_path / "restored", filter="data")
    (folder,) = (tmp_path / "restored").iterdir()
    assert f"restore {place}" in output
    assert folder.name != project.folder.name, "unpacked beside the project it replaces nothing"
    assert {name.partition("/")[2] for name in names} == {
        STORE_FILE,
        "models/v1.0.safetensors",
        "added/a picture.png",
    }
    assert told(folder) == before
    assert (folder / "added" / "a picture.png").read_bytes() == b"bytes of a picture"
    opened = Project.open(folder)
    assert opened.encoder == project.encoder
    opened.close()


def test_it_is_as_of_one_moment_and_nobody_waits_for_it(project: Project, tmp_path: Path) -> None:
    """A score between any two steps is kept at once, and the copy doesn't begin anew for it."""
    small = db.store.snapshot._PAGES_AT_ONCE
    db.store.snapshot._PAGES_AT_ONCE = 1
    steps: list[int] = []

    def scored_meanwhile(done: int, total: int) -> None:
        steps.append(done)
        if len(steps) < 20:
            with closing(Store.open(project.store.path, patience=0)) as other:
                assert score(other, 7, len(steps) % 11).accepted

    try:
        db.store.snapshot.copy_store(project.store.path, tmp_path / "copy.sqlite", scored_meanwhile)
    finally:
        db.store.snapshot._PAGES_AT_ONCE = small
    assert steps == sorted(set(steps)), "no page is copied twice"
    assert db.store.snapshot.problems_of(tmp_path / "copy.sqlite", resting=True) == []
    with closing(Store.open(tmp_path / "copy.sqlite")) as copy:
        assert db.scores.hand_scores.history(copy, 7) == []
    assert len(db.scores.hand_scores.history(project.store, 7)) == 19


def test_what_other_threads_score_during_a_backup_is_all_there(
    project: Project, tmp_path: Path
) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for value in range(20):
                score(project.store, 8, value % 11)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(3):
        write_backup(project, tmp_path / f"{number}.sqlite")
    writer.join()
    assert failures == []
    assert len(db.scores.hand_scores.history(project.store, 8)) == 20


def test_nothing_is_replaced_unless_one_says_so(project: Project, tmp_path: Path) -> None:
    for place in (tmp_path / "mine.tar", tmp_path / "mine.sqlite"):
        assert run(project, "backup", str(place))[0] == 0
        before = place.stat().st_mtime_ns
        code, output = run(project, "backup", str(place))
        assert (code, place.stat().st_mtime_ns) == (1, before)
        assert "--force" in output
        code, output = run(project, "backup", str(place), "--force")
        assert code == 0, output
        assert place.stat().st_mtime_ns != before


def test_what_is_no_backup_is_never_replaced(project: Project, tmp_path: Path) -> None:
    """Whoever has the app's token may write backups, and nothing over the owner's other files."""
    text, other, packed = (tmp_path / name for name in ("a.sqlite", "b.sqlite", "c.tar"))
    text.write_text("mine")
    with closing(sqlite3.connect(other)) as made:
        made.execute("CREATE TABLE mine (x)")
    with tarfile.open(packed, "w") as tar:
        tar.add(text, "mine.txt")
    (tmp_path / "gone.tar").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.tar")
    for place in (text, other, packed, tmp_path / "gone.tar", tmp_path / "pipe.tar"):
        before = place.read_bytes() if place.is_file() else None
        with pytest.raises(BadInput, match="is no backup"):
            write_backup(project, place, force=True)
        assert before is None or place.read_bytes() == before


@pytest.mark.parametrize("name", ["authorized_keys", "notes.txt", ".bashrc", "taste.tar.gz"])
def test_a_backup_is_called_one(project: Project, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"is a \.tar .* or a \.sqlite"):
        write_backup(project, tmp_path / name, force=True)
    assert not (tmp_path / name).exists()


def test_capitals_in_its_name_make_no_other_backup(project: Project, tmp_path: Path) -> None:
    write_backup(project, tmp_path / "TASTE.TAR")
    assert tarfile.is_tarfile(tmp_path / "TASTE.TAR")


def test_places_that_cannot_be_are_refused(project: Project, tmp_path: Path) -> None:
    store = project.store.path
    (tmp_path / "link.sqlite").symlink_to(store)
    for place, why in (
        (store, "is the store itself"),
        (store.with_name(f"{STORE_FILE}-wal"), "is the store itself"),
        (tmp_path / "link.sqlite", "is the store itself"),
        (tmp_path, "is a folder"),
        (tmp_path / "taste.tar.gz", "is not packed"),
    ):
        with pytest.raises(BadInput, match=why):
            write_backup(project, place, force=True)
    assert told(project.folder)[2] == 1


def test_a_disk_without_room_is_refused_before_anything_is_written(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(LabelerError, match=r"has 0\.0 MB left, and taste\.tar takes .*make room"):
        write_backup(project, tmp_path / "new" / "taste.tar")
    assert not (tmp_path / "new").exists()


def test_a_disk_that_fills_up_half_way_leaves_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "out" / "taste.sqlite"

    def full(_path: Path, to: Path, _watch: object) -> None:
        to.write_bytes(b"half of it")
        raise StoreError(f"The disk that holds {to} is full; make room and try again.")

    monkeypatch.setattr("labeler.maintenance.backup.copy_store", full)
    with pytest.raises(StoreError, match="is full"):
        write_backup(project, place)
    assert list(place.parent.iterdir()) == []
    assert last_backup(project) is None


@pytest.mark.parametrize("phase", [COPYING, CHECKING, PACKING])
def test_one_that_is_stopped_leaves_what_was_there(
    project: Project, tmp_path: Path, phase: str
) -> None:
    place = tmp_path / "out" / "taste.tar"
    write_backup(project, place)
    yesterday = place.read_bytes()

    def stop(_done: int, _total: int, what: str) -> None:
        if what == phase:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        write_backup(project, place, force=True, progress=stop)
    assert place.read_bytes() == yesterday
    assert [each.name for each in place.parent.iterdir()] == [place.name]


def test_a_damaged_store_gives_no_backup_that_looks_good(project: Project, tmp_path: Path) -> None:
    project.close()
    content = bytearray(project.store.path.read_bytes())
    content[8192 * 6 : 8192 * 9] = os.urandom(8192 * 3)
    project.store.path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        write_backup(project, tmp_path / "taste.sqlite")
    assert not any(is_scratch(each) or "taste" in each.name for each in tmp_path.iterdir())


def test_the_last_backup_is_remembered(project: Project, tmp_path: Path) -> None:
    assert last_backup(project) is None
    write_backup(project, tmp_path / "taste.sqlite")
    last = last_backup(project)
    assert last is not None
    assert (last.place, last.hand_scores) == (str(tmp_path / "taste.sqlite"), 6)
    with closing(sqlite3.connect(tmp_path / "taste.sqlite")) as copy:
        assert copy.execute("SELECT count(*) FROM hand_scores").fetchone() == (6,)
    assert default_path(project).parent == project.folder.parent
