"""Tars with members that are sparse, nested, larger than the file, or named in megabytes.

Protects against archives whose headers promise much: each is told or read, what lies around it is
taken, and nothing of what headers say is kept in memory.
"""

from __future__ import annotations

import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from labeler.core.archives.archives import look_into
from labeler.core.archives.opening import open_in_memory, open_picture
from model.errors import UnreadableImage
from tests.support.pictures import jpeg_bytes


def odd_header(name: str, kind: bytes, size: int, *, octal: bool = True) -> bytes:
    """A header as a tar has it, whatever size it tells."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    block[124:136] = b"%011o\0" % size if octal else b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(name: str, value: bytes) -> bytes:
    """A header that says something of the next file."""
    length = len(name) + len(value) + 3
    while len(str(length)) + len(name) + len(value) + 3 != length:
        length = len(str(length)) + len(name) + len(value) + 3
    said = f"{length} {name}=".encode() + value + b"\n"
    return odd_header("about", b"x", len(said)) + padded(said)


GOOD = odd_header("good.jpg", b"0", len(jpeg_bytes(1))) + padded(jpeg_bytes(1))
FINE = odd_header("fine.jpg", b"0", len(jpeg_bytes(1))) + padded(jpeg_bytes(1))
END = bytes(1024)
HUGE = (1 << 62, 1 << 80)


@pytest.mark.parametrize(
    ("odd", "note", "problem"),
    [
        (odd_header("a.jpg", b"S", 512) + bytes(512), "1 files in it are sparse", ""),
        (pax("GNU.sparse.realsize", b"9" * 18) + GOOD, "1 files in it are sparse", ""),
        (pax("GNU.sparse.major", b"1") + GOOD, "1 files in it are sparse", ""),
        (odd_header("a.tar", b"0", 1024) + GOOD[:1024], "1 archives in it would have to be", ""),
        (odd_header("a.jpg", b"S", HUGE[0], octal=False), "", "breaks off"),
        (odd_header("a.jpg", b"0", HUGE[1], octal=False), "", "breaks off"),
        (odd_header("a", b"L", 4 << 30), "", "bytes about one file"),
        (odd_header("a", b"x", 1 << 60, octal=False), "", "bytes about one file"),
        (odd_header("a", b"g", 1 << 60, octal=False), "", "breaks off"),
        (pax("size", b"9" * 19) + GOOD, "", "breaks off"),
        (pax("path", b"x" * 500_000) + GOOD, "1 names in it lead out", ""),
        (odd_header("a", b"L", 600_000) + padded(b"x" * 600_000) + GOOD, "1 names", ""),
        (odd_header("a.jpg", b"3", 1 << 40, octal=False), "", ""),
        (odd_header("a.jpg", b"6", 4 << 30), "", ""),
    ],
)
def test_odd_members_are_told_and_cost_nothing(
    tmp_path: Path, odd: bytes, note: str, problem: str
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(GOOD + odd + FINE + END)
    listing = look_into(path)
    assert listing is not None
    assert "good.jpg" in listing.pictures
    assert note in (listing.note or "")
    assert problem in (listing.problem or "")
    if not problem:
        assert listing.problem is None
        assert "fine.jpg" in listing.pictures


def test_what_headers_say_is_not_kept_in_memory(tmp_path: Path) -> None:
    """Records of a megabyte each, of which a file with holes can hold any number."""
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        for number in range(60):
            said = b"1048575 odd%07d=" % number
            file.write(odd_header("about", b"x", 1 << 20) + said)
            file.seek((1 << 20) - len(said), os.SEEK_CUR)
        for number in range(60):
            file.write(odd_header("a", b"L", 1 << 20) + b"%07d" % number + b"x" * ((1 << 20) - 7))
            file.write(GOOD)
        file.write(GOOD + END)
    tracemalloc.start()
    listing = look_into(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listing is not None and list(listing.pictures) == ["good.jpg"]
    assert most < 20 << 20


def test_a_member_of_zeros_is_not_read_into_memory(tmp_path: Path) -> None:
    path, size = tmp_path / "a.tar", 500 << 20
    with path.open("wb") as file:
        file.write(odd_header("a.jpg", b"0", size))
        file.truncate(512 + size + 1024)
    tracemalloc.start()
    with pytest.raises(UnreadableImage):
        open_picture(path / "a.jpg")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 << 20


def test_a_large_picture_in_a_tar_is_the_same_as_beside_it(tmp_path: Path) -> None:
    pixels = os.urandom(64) * ((17 << 20) // 64)
    picture = Image.frombytes("RGB", (2400, 2400), pixels[: 2400 * 2400 * 3])
    for name in ("a.bmp", "a.tif"):
        picture.save(tmp_path / name)
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            tar.add(tmp_path / name, "x/first.bmp")
            tar.add(tmp_path / name, f"x/{name}")
        inside = tmp_path / f"{name}.tar" / "x" / name
        with open_in_memory(inside) as opened:
            assert opened.read() == (tmp_path / name).read_bytes()
        assert open_picture(inside).tobytes() == open_picture(tmp_path / name).tobytes()
