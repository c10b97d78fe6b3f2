"""Tar files read in place: what is in them and where, found by their headers alone.

Nothing is unpacked. Only plain files count: links are never followed, and devices, folders and
sparse files are passed over, the files among them counted. All three ways of writing long names are
understood (ustar, GNU, pax). What is kept of an archive is bounded, whatever its headers say.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

BLOCK = 512
MOST_MEMBERS = 2_000_000
_LONGEST_RECORD = 1 << 20  # bytes of a record about the next member, such as its long name
_LONGEST_NAME = 4096  # bytes; no system has longer paths
_MOST_HEADERS = 8 * MOST_MEMBERS
_PLAIN = (b"0", b"\0", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
_GNU_NAME, _GNU_LINK, _GNU_SPARSE = b"L", b"K", b"S"
_SPARSE = b"GNU.sparse"
_PAX, _PAX_FOR_ALL = (b"x", b"X"), b"g"
_PAX_LINE = re.compile(rb"(\d{1,8}) ([^=\n]{1,200})=")
_PACKED = {
    b"\x1f\x8b": "gzip -d",
    b"BZh": "bzip2 -d",
    b"\xfd7zXZ": "xz -d",
    b"\x28\xb5\x2f\xfd": "zstd -d",
}


class Member(NamedTuple):
    """Where a file's bytes lie in the archive."""

    offset: int
    size: int


@dataclass(slots=True)
class TarIndex:
    """The plain files of an archive by name, of two with one name the last.

    `problem` says why it could not be read to its end; what lies before that is here. `sparse` is
    how many files it has with holes, `nameless` of those whose name no file could have: none of
    them can be read in its place.
    """

    members: dict[str, Member] = field(default_factory=dict)
    sparse: int = 0
    nameless: int = 0
    problem: str | None = None


class _Damaged(Exception):
    """Why the rest of an archive can't be read."""


def index_tar(file: BinaryIO) -> TarIndex:
    """Return what is in the open archive; reads the headers only. Raises `OSError`."""
    index = TarIndex()
    try:
        _Walk(file, index).to_the_end()
    except _Damaged as damage:
        index.problem = str(damage)
    return index


class _Walk:
    """From header to header; `about` is what was said of the member that comes next."""

    def __init__(self, file: BinaryIO, index: TarIndex) -> None:
        self.descriptor = file.fileno()
        self.end = os.fstat(self.descriptor).st_size
        self.found = index
        self.headers = 0
        self.at = 0
        self.about: dict[bytes, bytes] = {}

    def to_the_end(self) -> None:
        """Read all headers into the index."""
        while len(self.found.members) < MOST_MEMBERS and self.headers < _MOST_HEADERS:
            self.headers += 1
            header = self._read(self.at, BLOCK)
            if not any(header):
                if header:
                    return
                raise _Damaged(
                    "It has no end, so it may be cut off; what there is of it is taken. Get it "
                    "again for the rest."
                )
            self._check(header)
            self._step(header)
        raise _Damaged(f"It holds more than {MOST_MEMBERS:,} files; the rest is left out.")

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self.descriptor, size, offset)

    def _check(self, header: bytes) -> None:
        written = _number(header[148:156])
        counted = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if len(header) == BLOCK and written == counted:
            return
        if self.at:
            raise _Damaged(f"It is damaged from byte {self.at:,} on; get it again for the rest.")
        packed = next((how for magic, how in _PACKED.items() if header.startswith(magic)), None)
        raise _Damaged(
            f"It is compressed, so nothing can be read in its place; unpack it with {packed} first."
            if packed
            else "It is not a tar file, whatever its name says; get it again."
        )

    def _step(self, header: bytes) -> None:
        kind, size = header[156:157], _number(header[124:136])
        data = self.at + BLOCK
        if kind in _WITHOUT_DATA and not (kind == b"1" and b"size" in self.about):
            self._next(data, 0)
        elif kind in (_GNU_NAME, _GNU_LINK, *_PAX, _PAX_FOR_ALL):
            self._note(kind, data, size)
            self.at = data + _padded(size)
        else:
            if kind == _GNU_SPARSE:
                data = self._past_sparse_map(header, data)
            size = _decimal(self.about[b"size"]) if b"size" in self.about else size
            if size < 0 or data + size > self.end:
                raise _Damaged(
                    f"It breaks off within one of its files, at byte {self.end:,}; what lies "
                    "before that is taken. Get it again for the rest."
                )
            if kind == _GNU_SPARSE or _SPARSE in self.about:
                self.found.sparse += 1
            elif kind in _PLAIN:
                self._keep(header, Member(data, size))
            self._next(data, size)

    def _next(self, data: int, size: int) -> None:
        self.at = data + _padded(size)
        self.about = {}

    def _note(self, kind: bytes, data: int, size: int) -> None:
        if kind in (_GNU_LINK, _PAX_FOR_ALL):
            if data + size > self.end:
                raise _Damaged("It breaks off within a header; get it again for the rest.")
            return
        if not 0 <= size <= _LONGEST_RECORD:
            raise _Damaged(
                f"It tells {size:,} bytes about one file, which no archive needs; the rest is "
                "left out. Get it again."
            )
        header = self._read(data, size)
        if len(header) < size:
            raise _Damaged("It breaks off within a header; get it again for the rest.")
        if kind == _GNU_NAME:
            self.about[b"path"] = header.split(b"\0", 1)[0][: _LONGEST_NAME + 1]
        else:
            self.about |= _pax_records(header)

    def _past_sparse_map(self, header: bytes, data: int) -> int:
        more = header[482:483]
        while more.strip(b"\0"):
            block = self._read(data, BLOCK)
            if len(block) < BLOCK:
                raise _Damaged("It breaks off within a header; get it again for the rest.")
            more, data = block[504:505], data + BLOCK
        return data

    def _keep(self, header: bytes, member: Member) -> None:
        name = self.about.get(b"path")
        if name is None:
            name = header[:100].split(b"\0", 1)[0]
            prefix = header[345:500].split(b"\0", 1)[0]
            if prefix and header[257:263] == b"ustar\0":
                name = prefix + b"/" + name
        if len(name) > _LONGEST_NAME:
            self.found.nameless += 1
        elif name and not name.endswith(b"/"):  # old archives mark folders so
            self.found.members[os.fsdecode(name)] = member


def _padded(size: int) -> int:
    if size < 0:
        raise _Damaged("It is damaged: one of its files has less than no bytes; get it again.")
    return -(-size // BLOCK) * BLOCK


def _number(field: bytes) -> int:
    """Octal digits, or (first bit set) a big number in binary; -1 for anything else."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        return -1


def _decimal(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) < 20 else -1


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """Of lines of the form `LENGTH NAME=VALUE`, the length being that of the whole line, those that
    matter here; that a file is sparse is said by any that begins so.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while line := _PAX_LINE.match(data, at):
        end = at + int(line[1])
        if not line.end() < end <= len(data) + 1:
            break
        if line[2].startswith(_SPARSE):
            records[_SPARSE] = b""
        elif line[2] in (b"path", b"size"):
            # One more than is allowed tells that it is too long.
            records[line[2]] = data[line.end() : min(end - 1, line.end() + _LONGEST_NAME + 1)]
        at = end
    return records
