"""What is far larger than usual: taken whole, or refused in a sentence, and its neighbours taken.

docs/reliability.md tells the limits that were measured.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import func, select

import db.images.counts
import db.versions.registry
from db.store.schema import ImageTagRow
from labeler.collection.importing import import_paths
from labeler.collection.tags import MOST_TAGS
from labeler.core.project import Project
from labeler.core.status import read_status
from tests.support.collection import draw_pictures
from tests.support.store_rows import add_encoder, add_version

LONGEST_NAME = 255  # bytes, on every usual file system
HUGE = 50 * 2**30


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project.create(tmp_path / "project", encoder="lite")
    yield project
    project.close()


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    return draw_pictures(tmp_path / "drawn", 1)[0].read_bytes()


def test_names_as_long_as_the_system_allows(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "names"
    for path, letter in zip(draw_pictures(folder, 3), ("x", "é", "絵"), strict=True):
        name = letter * ((LONGEST_NAME - 4) // len(letter.encode())) + ".png"
        path.rename(folder / name)
    taken = import_paths(project, [folder], workers=1)
    assert (taken.new, taken.unreadable) == (3, [])


def test_paths_up_to_the_systems_limit_and_beyond(
    project: Project, tmp_path: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = os.pathconf("/", "PC_PATH_MAX") if hasattr(os, "pathconf") else 1024
    monkeypatch.chdir(tmp_path)
    length = len(os.fsencode(tmp_path))
    while length + 201 + len("/in.png") < limit:
        length += down("d" * 200)
    Path("in.png").write_bytes(picture)
    Path(f"{'f' * 250}.png").write_bytes(picture + b"3")  # listed, but too long from the top
    down("e" * 250)
    Path("beyond.png").write_bytes(picture + b"2")  # no path names it from the top
    monkeypatch.chdir(tmp_path)
    taken = import_paths(project, [tmp_path / ("d" * 200)], workers=1)
    assert taken.new == 1
    assert db.images.counts.by_state(project.store)["fine"] == 1
    assert any("fff" in path for path, _ in taken.unreadable), "the file is not told"
    assert taken.closed, "the folder is not told"


def down(name: str) -> int:
    Path(name).mkdir()
    os.chdir(name)
    return len(name) + 1


def test_more_tags_than_anybody_gives(project: Project, tmp_path: Path, picture: bytes) -> None:
    folder = tmp_path / "tagged"
    folder.mkdir()
    (folder / "one.png").write_bytes(picture)
    (folder / "one.txt").write_text(",".join(f"tag {number}" for number in range(100_000)))
    assert import_paths(project, [folder], workers=1).tagged == 1
    with project.store.reading() as session:
        kept = session.scalar(select(func.count()).select_from(ImageTagRow))
    assert kept == MOST_TAGS


def test_a_tar_of_fifty_gigabytes_that_are_not_there(project: Project, tmp_path: Path) -> None:
    archive = tar_around(tmp_path, HUGE, there=0)
    taken = import_paths(project, [archive], workers=1)
    assert taken.new == 0
    [(path, reason)] = taken.closed
    assert path == str(archive)
    assert "the disk holds" in reason


def test_a_member_larger_than_any_picture_is_told_and_the_rest_taken(
    project: Project, tmp_path: Path
) -> None:
    taken = import_paths(project, [tar_around(tmp_path, 600 << 20, there=40 << 20)], workers=1)
    assert taken.new == 2
    [(path, reason)] = taken.unreadable
    assert path.endswith("huge.png")
    assert "more than the limit" in reason
    assert "unpack it" in reason


def tar_around(folder: Path, size: int, there: int) -> Path:
    """A tar of three files, the second of `size` bytes, `there` of which take room on the disk."""
    archive = folder / "huge.tar"
    before, behind = (path.read_bytes() for path in draw_pictures(folder / "drawn", 2))
    with archive.open("wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        add(tar, "before.png", before)
        member = tarfile.TarInfo("huge.png")
        member.size = size
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.write(b"x" * there)
        file.seek(size - there, os.SEEK_CUR)  # a hole
        tar.offset = file.tell()
        add(tar, "behind.png", behind)
    if archive.stat().st_blocks * 512 > there + 2**20:
        pytest.skip("files have no holes here")
    return archive


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, BytesIO(data))


def test_a_hundred_versions_and_a_note_of_a_megabyte(project: Project) -> None:
    note = "n" * 1_000_000
    add_encoder(project.store)
    for number in range(100):
        add_version(project.store, note=note if not number else "")
    history = db.versions.registry.history(project.store)
    assert [history[0].note, history[-1].name] == [note, "v1.99"]
    assert len(read_status(project).versions) == 100
