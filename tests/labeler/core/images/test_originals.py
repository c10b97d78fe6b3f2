"""Protects the images of a collection as they leave: whatever lies at an image's path by now, only
what was imported is zipped, linked, copied, shown or embedded; what changed is told instead.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import db.images.embeddings
import db.images.locations
import db.images.lookup
from labeler.app.routes import downloads
from labeler.app.routes.zip_stream import stream_zip
from labeler.core.images.originals import copy_known, open_known
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from labeler.prediction.copy_images import Destination, copy_images
from labeler.prediction.filter import Filter, filter_images
from labeler.prediction.predict_files import PredictedImage, predict_paths
from model.errors import UnreadableImage
from model.images.hashing import content_hash
from tests.support.collection import copied, make_collection
from tests.support.heads import add_version_of, spread_head

KINDS = ("imagefolder", "score-folders")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    project = make_collection(folder, images=12, scored=11)
    record = db.images.embeddings.encoder(project.store, "lite")
    assert record is not None
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    vectors = db.images.embeddings.get(project.store, record.id, ids)[1]
    add_version_of(project, spread_head(vectors), record)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made / "project", tmp_path / "project")


@contextmanager
def another_in(file: Path) -> Iterator[bytes]:
    """Another content in a file, as large and as old; put back after."""
    before, stamp = file.read_bytes(), file.stat()
    secret = b"another".ljust(len(before), b"!")
    file.write_bytes(secret)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    try:
        yield secret
    finally:
        file.write_bytes(before)
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def file_of(project: Project) -> Path:
    """That of a scored image."""
    return Path(db.images.lookup.by_ids(project.store, [3])[0].path)


@pytest.fixture
def replaced(project: Project) -> Iterator[tuple[Path, bytes]]:
    file = file_of(project)
    with another_in(file) as secret:
        yield file, secret


def contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_zip_has_nothing_that_was_not_imported(
    project: Project, replaced: tuple[Path, bytes], kind: str
) -> None:
    with TestClient(Starlette(routes=downloads.routes())) as client:
        answer = client.get(f"/api/download/{kind}")
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        held = [archive.read(name) for name in archive.namelist()]
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
    assert replaced[1] not in held
    assert len(pictures) == 10


def test_what_changes_while_it_is_zipped_breaks_it_off(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    known = {}
    for name in ("a", "b"):
        with (tmp_path / name).open("rb") as opened:
            known[name] = content_hash(opened)
    assert b"b" * 1000 in b"".join(stream_zip(tmp_path, known))
    (tmp_path / "b").write_bytes(b"c" * 1000)
    sent = []
    with pytest.raises(UnreadableImage, match="changed"):
        sent.extend(stream_zip(tmp_path, known))
    assert b"c" * 10 not in b"".join(sent)


@pytest.mark.parametrize("link", ["copy", "hard", "sym"])
def test_exports_leave_it_out_and_say_so(
    project: Project, replaced: tuple[Path, bytes], tmp_path: Path, link: str
) -> None:
    out = tmp_path / "out"
    done = export(project, "score-folders", out, Plan(link=link))
    assert [(path, "changed" in why) for path, why in done.left_out] == [(str(replaced[0]), True)]
    assert replaced[1] not in contents(out)
    assert (done.images, len(list(out.rglob("*.png")))) == (10, 10)
    done = export(project, "dataset", tmp_path / "t.csv", Plan(with_images=True, link=link))
    assert len(done.left_out) == 1
    assert replaced[1] not in contents(tmp_path / "images")


@pytest.mark.parametrize("link", ["hard", "sym"])
def test_a_link_that_leads_to_another_by_now_is_no_part_of_the_next_export(
    project: Project, tmp_path: Path, link: str
) -> None:
    out, plan = tmp_path / "out", Plan(link=link)
    export(project, "score-folders", out, plan)
    file = file_of(project)
    with another_in(file):
        done = export(project, "score-folders", out, plan)
    assert [path for path, _ in done.left_out] == [str(file)]


@pytest.mark.parametrize("link", ["copy", "hard", "sym"])
def test_copies_are_of_what_was_predicted(
    project: Project, replaced: tuple[Path, bytes], tmp_path: Path, link: str
) -> None:
    out = tmp_path / "kept"
    wanted = Filter(destination=Destination(out, link))
    done = filter_images(project, [replaced[0].parent], wanted)
    assert done.copies is not None
    assert [path for path, _ in done.copies.lost] == [str(replaced[0])]
    assert replaced[1] not in contents(out)
    assert len(contents(out)) == 11


def test_what_changes_after_it_was_predicted_is_not_copied(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new" / "a.png"
    file.parent.mkdir()
    file.write_bytes(file_of(project).read_bytes())
    [image] = predict_paths(project, [file.parent]).images
    assert isinstance(image, PredictedImage)
    file.write_bytes(b"another")
    copies = copy_images([image], Destination(tmp_path / "kept"), "v1.0")
    assert [(path, "since it was predicted" in why) for path, why in copies.lost] == [
        (str(file), True)
    ]
    assert not list((tmp_path / "kept").glob("*"))


def test_one_place_says_whether_a_file_is_still_what_the_store_knows(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    with file.open("rb") as opened:
        known = content_hash(opened)
    with open_known(file, known) as opened:
        assert opened.read() == b"abc"
        opened.seek(0)
        copy_known(opened, known, io.BytesIO())
    for wrong in ("0" * 64, None):
        with pytest.raises(UnreadableImage, match="changed"):
            open_known(file, wrong)
        with file.open("rb") as opened, pytest.raises(UnreadableImage, match="changed"):
            copy_known(opened, wrong, io.BytesIO())
