"""Protects against files that are almost all holes, and against pictures larger than any: they take
next to nothing on the disk, would be read for hours, and are refused when they are opened.

What begins as a real picture is the worst of them: its header is fine. The files here are only so
large that a program which reads them after all does so within a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.collection.previews import preview_of, thumbnail_of, unkept_preview
from labeler.core.archives import opening
from labeler.core.archives.archives import look_into
from labeler.core.archives.opening import open_picture, open_regular
from labeler.core.files.export_writer import fingerprint
from labeler.core.images.originals import open_known
from labeler.core.project import Project
from labeler.embedding.files.block import Unusable
from labeler.embedding.files.npy import read_header
from labeler.prediction.copy_images import Destination, copy_images
from labeler.prediction.predict_files import PredictedImage
from model.errors import UnreadableImage
from model.files.bounded import TooLarge, open_plain
from model.images import formats
from model.images.hashing import content_hash
from tests.support.bombs import sparse_files
from tests.support.mutations import saved
from tests.support.pictures import jpeg_bytes

SIZE = 600 << 20


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    made = sparse_files(tmp_path / "in", SIZE)[0]
    if made.stat().st_blocks * 512 > SIZE // 16:
        pytest.skip("this disk has no holes")
    return made


def hole(path: Path, begins: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(begins)
        file.truncate(SIZE)
    return path


def test_an_import_says_so_and_takes_the_rest(project: Project, sparse: Path) -> None:
    sparse.with_name("good.jpg").write_bytes(jpeg_bytes(2))
    summary = import_paths(project, [sparse.parent])
    assert summary.new == 1
    assert [path for path, _ in summary.unreadable] == [str(sparse)]
    assert "holes" in summary.unreadable[0][1]
    assert "holes" in ((look_into(sparse.with_suffix(".tar")) or pytest.fail()).problem or "")


def test_nothing_that_gives_bytes_or_pixels_away_reads_it(project: Project, sparse: Path) -> None:
    digest = "a" * 64
    for read in (
        lambda: open_regular(sparse),
        lambda: open_known(sparse, digest),
        lambda: open_picture(sparse),
        lambda: preview_of(project, digest, sparse),
        lambda: thumbnail_of(project, digest, sparse),
        lambda: unkept_preview(digest, sparse, small=True),
        lambda: open_picture(sparse.with_suffix(".tar") / "a.jpg"),
    ):
        with pytest.raises((UnreadableImage, OSError), match="holes"):
            read()


def test_a_picture_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes())
    open_picture(path)
    monkeypatch.setattr(opening, "MOST_BYTES", path.stat().st_size)
    open_picture(path)
    path.write_bytes(jpeg_bytes() + b"!")
    with pytest.raises(UnreadableImage, match=r"larger than [\d,]+ bytes"):
        open_picture(path)


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
def test_what_is_decoded_from_memory_is_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(form))
    open_picture(path)
    monkeypatch.setattr(formats, "_MOST_WHOLE", path.stat().st_size - 1)
    with pytest.raises(UnreadableImage, match="of its kind"):
        open_picture(path)


def test_what_is_small_or_is_there_is_read(tmp_path: Path) -> None:
    """A few holes are in many files, and a small file with nothing else in it is read quickly."""
    small, part = tmp_path / "small", tmp_path / "part"
    with small.open("wb") as file:
        file.truncate(8 << 20)
    with part.open("wb") as file:
        file.write(b"a" * (9 << 20))
        file.truncate(100 << 20)
    for path in (small, part):
        with open_plain(path) as opened:
            assert opened.tell() == 0
            assert len(content_hash(opened)) == 64


def test_a_text_beside_an_image_is_not_copied(sparse: Path, tmp_path: Path) -> None:
    good = sparse.with_name("good.jpg")
    good.write_bytes(jpeg_bytes(2))
    text = hole(good.with_suffix(".txt"), b"a caption")
    image = PredictedImage(str(good), "good.jpg", 0.5)
    copies = copy_images([image], Destination(tmp_path / "kept"), "v1.0", sources=[good.parent])
    assert [path for path, _ in copies.lost] == [str(text)]
    assert "holes" in copies.lost[0][1]
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["good.jpg"]


def test_an_array_is_not_looked_through(sparse: Path) -> None:
    array = np.lib.format.open_memmap(sparse.with_name("a.npy"), "w+", "<f2", (1 << 18, 1280))
    array[0] = 1
    array.flush()
    with pytest.raises(Unusable, match="holes"):
        read_header(sparse.with_name("a.npy"))


def test_no_export_has_left_it(sparse: Path) -> None:
    assert fingerprint(sparse) == ""


def test_backups_neither_hold_nor_are_such_files(
    project: Project, sparse: Path, tmp_path: Path
) -> None:
    kept = hole(project.folder / "models" / "a.safetensors")
    for command in (
        ["backup", str(tmp_path / "b.tar")],
        ["restore", str(sparse.with_suffix(".tar"))],
    ):
        done = CliRunner().invoke(labeler, ["--project", str(project.folder), *command])
        assert done.exit_code == 1, done.output
        assert "holes" in done.output
    assert kept.exists() and not (tmp_path / "b.tar").exists()


def test_the_refusal_is_an_error_of_its_own(sparse: Path) -> None:
    with pytest.raises(TooLarge, match="holes"):
        open_plain(sparse)
    os.truncate(sparse, 1 << 20)
    open_plain(sparse).close()
