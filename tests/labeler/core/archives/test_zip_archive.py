"""Protects pictures in .zip and .cbz files: read in their place as in a tar, whatever the archive
says of itself; bombs, lies, locked files and names that lead out are told and cost nothing.
"""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import db.images.locations
import db.images.lookup
import db.images.tags
from labeler.collection.importing import import_paths
from labeler.core.archives.archives import look_into, read_member
from labeler.core.archives.opening import open_picture
from labeler.core.project import Project
from labeler.prediction.copy_images import Destination, copy_images
from labeler.prediction.predict_files import PredictedImage
from model.errors import UnreadableImage
from tests.support.pictures import jpeg_bytes
from tests.support.store_rows import tags_of_image
from tests.support.weight_bombs import many_members

MOST = 100 << 20  # bytes of Python's own while an archive is looked through


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def packed(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=how)
    return path


def pictures_in(path: Path) -> list[str]:
    listing = look_into(path)
    assert listing is not None
    return list(listing.pictures)


@pytest.mark.parametrize("name", ["a.zip", "b.CBZ"])
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_taken_as_a_folder(project: Project, tmp_path: Path, name: str, how: int) -> None:
    files = {f"deep/{number}.jpg": jpeg_bytes(number) for number in range(5)}
    texts = {"deep/1.txt": b"cat, dog", "notes.md": b"no picture", "deep/": b""}
    path = packed(tmp_path / "in" / name, files | texts, how)
    summary = import_paths(project, [tmp_path / "in"])
    assert (summary.found, summary.new, summary.in_archives, summary.tagged) == (5, 5, 5, 1)
    assert not summary.closed
    inside = f"{path}/deep/1.jpg"
    image = db.images.lookup.find_by_path(project.store, inside)
    assert image is not None
    assert (image.state, image.size_bytes) == ("fine", len(jpeg_bytes(1)))
    assert tags_of_image(project.store, image.id) == ["cat", "dog"]
    assert open_picture(inside).size == (64, 48)
    assert read_member(str(path), "deep/3.jpg") == jpeg_bytes(3)
    again = import_paths(project, [path])
    assert (again.found, again.known) == (5, 5)
    assert [each.name for each in (tmp_path / "in").iterdir()] == [name]


def test_names_of_other_systems_and_links(project: Project, tmp_path: Path) -> None:
    """Backslashes part folders; what leads out, links elsewhere or is macOS's own is left out."""
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    names = [
        "../out.jpg",
        "..\\out.jpg",
        "/etc/out.jpg",
        "C:\\out.jpg",
        "a/../../out.jpg",
        "x//y.jpg",
    ]
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, jpeg_bytes(number))
        entry = zipfile.ZipInfo("x")
        entry.filename = "folder\\fine.jpg"
        archive.writestr(entry, jpeg_bytes(20))
        link = zipfile.ZipInfo("link.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("__MACOSX/._fine.jpg", b"resource fork")
        archive.writestr("gr\u00fc\u00dfe.jpg", jpeg_bytes(21))
        archive.writestr("picture without extension", jpeg_bytes(22))
        archive.writestr("inner.zip", packed(tmp_path / "i.zip", {"b.jpg": b"x"}).read_bytes())
    summary = import_paths(project, [path.parent])
    taken = sorted(db.images.locations.ids_by_path(project.store))
    inside = ["folder/fine.jpg", "gr\u00fc\u00dfe.jpg", "picture without extension"]
    assert taken == [f"{path}/{name}" for name in inside]
    [(named, why)] = summary.closed
    assert named == str(path)
    assert f"{len(names)} names in it lead out of it" in why
    assert "Archives in it, which would have to be unpacked, are left out: 1." in why
    chosen = [PredictedImage(name, str(Path(name).relative_to(path.parent)), 0.9) for name in taken]
    copies = copy_images(chosen, Destination(tmp_path / "out"), "v1.0")
    assert copies.made == len(taken)


LIES = (
    *("overlap", "count", "size", "packed", "offset", "directory", "longer", "zip64"),
    *("cut", "empty", "text"),
)


def _changed(data: bytes, mark: bytes, at: int, value: bytes) -> bytes:
    """The bytes with other ones `at` bytes behind the beginning of the first such mark."""
    place = data.index(mark) + at
    return data[:place] + value + data[place + len(value) :]


ENTRY, END, LOCAL = b"PK\1\2", b"PK\5\6", b"PK\3\4"
HUGE = struct.pack("<I", 0xFFFFFFF0)


def liars(tmp_path: Path) -> dict[str, bytes]:
    """A sound archive, made to lie."""
    whole = packed(tmp_path / "whole.zip", {"a.jpg": jpeg_bytes(1)}, 0).read_bytes()
    wide = b"\1\0\x18\0" + struct.pack("<3Q", 1 << 60, 1 << 60, 1 << 61)
    entry = whole[whole.index(ENTRY) : whole.index(END)]
    lied = (
        entry[:20] + b"\xff" * 8 + entry[28:30] + struct.pack("<H", len(wide)) + entry[32:] + wide
    )
    lied = lied[:42] + b"\xff" * 4 + lied[46:]
    start = whole.index(ENTRY)
    end = struct.pack("<4s4H2IH", END, 0, 0, 1, 1, len(lied), start, 0)
    return {
        "overlap": many_members(200),
        "count": _changed(whole, END, 10, b"\xff\xfe"),
        "size": _changed(whole, ENTRY, 24, HUGE),
        "packed": _changed(whole, ENTRY, 20, HUGE),
        "offset": _changed(whole, ENTRY, 42, HUGE),
        "directory": _changed(whole, END, 16, HUGE),
        "longer": _changed(whole, END, 12, HUGE),
        "zip64": whole[:start] + lied + end,
        "cut": whole[:-30],
        "empty": b"",
        "text": b"no archive at all" * 100,
    }


@pytest.mark.parametrize("kind", LIES)
def test_an_archive_that_lies_is_told_and_costs_nothing(
    project: Project, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "bad.zip").write_bytes(liars(tmp_path)[kind])
    packed(folder / "good.zip", {"b.jpg": jpeg_bytes(2)})
    tracemalloc.start()
    try:
        summary = import_paths(project, [folder])
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert summary.new == 1
    [(named, why)] = summary.closed
    assert named == str(folder / "bad.zip")
    assert any(word in why for word in ("list of files", "share the same", "no whole zip"))


def test_a_picture_that_unpacks_to_far_more_than_it_takes_is_refused(tmp_path: Path) -> None:
    header = jpeg_bytes(1)
    path = packed(tmp_path / "a.zip", {"a.jpg": header, "bomb.jpg": header + bytes(80 << 20)})
    tracemalloc.start()
    try:
        assert pictures_in(path) == ["a.jpg", "bomb.jpg"]
        with pytest.raises(UnreadableImage, match="far more than pictures do"):
            read_member(str(path), "bomb.jpg")
        assert read_member(str(path), "a.jpg") == header
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_an_archive_that_unpacks_to_far_more_than_it_takes_is_refused(tmp_path: Path) -> None:
    """Many files, each small enough by itself; none is unpacked to know it."""
    one = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = one.compress(bytes(60 << 20)) + one.flush()
    local = struct.pack("<4s5H3I2H", LOCAL, 20, 0, 8, 0, 0, 0, len(data), 60 << 20, 5, 0)
    entries, body = [], b""
    for number in range(80):
        head = struct.pack("<4s6H3I", ENTRY, 20, 20, 0, 8, 0, 0, 0, len(data), 60 << 20)
        entries.append(head + struct.pack("<5H2I", 5, 0, 0, 0, 0, 0, len(body)) + b"%05d" % number)
        body += local + b"%05d" % number + data
    listed = b"".join(entries)
    end = struct.pack("<4s4H2IH", END, 0, 0, 80, 80, len(listed), len(body), 0)
    (tmp_path / "a.zip").write_bytes(body + listed + end)
    listing = look_into(tmp_path / "a.zip")
    assert listing is not None and "far more than pictures do" in (listing.problem or "")


def test_locked_and_oddly_packed_files_are_counted(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", jpeg_bytes(1))
        archive.writestr(zipfile.ZipInfo("b.jpg"), jpeg_bytes(2), zipfile.ZIP_BZIP2)
        archive.writestr("c.jpg", jpeg_bytes(3))
    data = path.read_bytes()
    last = data.rindex(ENTRY)
    path.write_bytes(data[: last + 8] + b"\1\0" + data[last + 10 :])
    summary = import_paths(project, [path.parent])
    assert summary.new == 1
    [(_, why)] = summary.closed
    assert "encrypted: 1;" in why
    assert "not read here: 1;" in why


def test_a_file_damaged_within_its_archive_is_one_that_is_damaged(
    project: Project, tmp_path: Path
) -> None:
    whole = packed(tmp_path / "a.zip", {"a.jpg": jpeg_bytes(1), "b.jpg": jpeg_bytes(2)}, 0)
    data = bytearray(whole.read_bytes())
    data[data.index(jpeg_bytes(1)) + 500] ^= 255
    whole.write_bytes(data)
    summary = import_paths(project, [whole])
    assert summary.new == 1
    [(name, why)] = summary.unreadable
    assert name.endswith("a.jpg")
    assert "damaged within its archive" in why


def test_an_archive_within_another_program_is_found_from_its_end(tmp_path: Path) -> None:
    """A self-extracting archive begins with a program; zip64 fields are read where they are."""
    held = io.BytesIO()
    with (
        zipfile.ZipFile(held, "w") as archive,
        archive.open("a.jpg", "w", force_zip64=True) as file,
    ):
        file.write(jpeg_bytes(4))
    (tmp_path / "a.zip").write_bytes(b"MZ" + bytes(5000) + held.getvalue())
    assert pictures_in(tmp_path / "a.zip") == ["a.jpg"]
    assert read_member(str(tmp_path / "a.zip"), "a.jpg") == jpeg_bytes(4)
