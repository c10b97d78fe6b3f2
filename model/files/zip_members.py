"""Read zip archives in place: their directory is validated before anything is unpacked.

An archive may claim anything: how many files it holds, where each lies and what it unpacks to.
The directory is read within bounds, files that share their bytes (bombs are made so) make the whole
archive refused, and a file is unpacked to what the directory said and no further.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

STORED, DEFLATED = 0, 8
MOST_MEMBERS = 2_000_000
_LARGEST_DIRECTORY = 1 << 28  # bytes
_AT_ONCE = 1 << 20

_END = struct.Struct("<4s4H2IH")  # end of the central directory
_END64_PLACE = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_END_MARK, _END64_PLACE_MARK, _END64_MARK = b"PK\5\6", b"PK\6\7", b"PK\6\6"
_ENTRY_MARK, _LOCAL_MARK = b"PK\1\2", b"PK\3\4"
_ZIP64 = 1  # the extra field with sizes of eight bytes
_ALL16, _ALL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_UNIX = 3  # systems whose attributes hold the kind of a file
_MAC = 19


class BadZip(ValueError):
    """Raised for an archive, or a file in it, that can't be read; the message is a sentence."""


class Member(NamedTuple):
    """A file in the archive: where its header lies, what it takes and what it unpacks to."""

    name: str
    header: int
    packed: int
    size: int
    crc: int
    method: int
    is_encrypted: bool
    mode: int  # of Unix, 0 where the archive doesn't tell

    @property
    def is_readable(self) -> bool:
        return not self.is_encrypted and self.method in (STORED, DEFLATED)


@dataclass(frozen=True, slots=True)
class _Directory:
    """Where the central directory lies, and how many bytes lie before the archive."""

    offset: int
    size: int
    count: int
    before: int


def read_members(descriptor: int, most: int = MOST_MEMBERS) -> list[Member]:
    """Read the directory of an open archive, in its order; folders are left out.

    Raises `BadZip` for what is no zip archive, holds more than `most` files, or is made to unpack
    to more than it holds; `OSError`.
    """
    directory = _directory(descriptor, os.fstat(descriptor).st_size)
    if directory.count > most:
        raise BadZip(f"It holds more than {most:,} files; split it up.")
    data = os.pread(descriptor, directory.size, directory.offset)
    members = list(_entries(data, directory, most))
    _check_places(members, directory.offset)
    return [member for member in members if not member.name.endswith("/")]


def is_zip(descriptor: int) -> bool:
    """Return whether the file ends as a zip archive does; it may still be damaged."""
    try:
        _directory(descriptor, os.fstat(descriptor).st_size)
    except BadZip:
        return False
    return True


def read_member(descriptor: int, member: Member, most: int | None = None) -> bytes:
    """Unpack the first `most` bytes of a file (None: all of it, which is then checked).

    Raises `BadZip`, `OSError`.
    """
    if member.is_encrypted:
        raise BadZip("It is encrypted; unpack the archive with its password.")
    if member.method not in (STORED, DEFLATED):
        raise BadZip("It is packed in a way that is not read here; unpack the archive.")
    size = member.size if most is None else min(most, member.size)
    start = _data_begins(descriptor, member)
    if member.method == STORED:
        data = os.pread(descriptor, size, start)
    else:
        data = _inflated(descriptor, start, member, size)
    complete = size == member.size
    if len(data) < size or (complete and zlib.crc32(data) != member.crc):
        raise BadZip("It is damaged within its archive; get the archive again.")
    return data


def data_offset(descriptor: int, member: Member) -> int:
    """Return where the bytes of an uncompressed member begin; raises `BadZip`."""
    if member.method != STORED or member.is_encrypted or member.packed != member.size:
        raise BadZip("It is packed; it can't be read in its place.")
    return _data_begins(descriptor, member)


def _data_begins(descriptor: int, member: Member) -> int:
    header = os.pread(descriptor, _LOCAL.size, member.header)
    if len(header) < _LOCAL.size or not header.startswith(_LOCAL_MARK):
        raise BadZip("It is damaged within its archive; get the archive again.")
    *_, name, extra = _LOCAL.unpack(header)
    return int(member.header + _LOCAL.size + name + extra)


def _inflated(descriptor: int, start: int, member: Member, size: int) -> bytes:
    decompressor, parts, remaining = zlib.decompressobj(-zlib.MAX_WBITS), [], size
    at, end = start, start + member.packed
    pending = b""
    try:
        while remaining and not decompressor.eof:
            pending = decompressor.unconsumed_tail
            if not pending and at < end:
                pending = os.pread(descriptor, min(_AT_ONCE, end - at), at)
                at += len(pending)
            part = decompressor.decompress(pending, min(remaining, _AT_ONCE))
            if not part and not pending:
                break
            parts.append(part)
            remaining -= len(part)
    except zlib.error as error:
        raise BadZip("It is damaged within its archive; get the archive again.") from error
    return b"".join(parts)


def _directory(descriptor: int, size: int) -> _Directory:
    """Find the directory from the end of the file; raises `BadZip`."""
    start = max(0, size - _END.size - _ALL16)
    tail = os.pread(descriptor, size - start, start)
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise BadZip("It is no whole zip archive (cut short, or another file); get it again.")
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, at)
    end = start + at
    # Some programs write the longer form beside the shorter one where that would have sufficed.
    count, length, offset, end = _end64(descriptor, end) or (count, length, offset, end)
    before = end - length - offset
    if before < 0 or length > min(size, _LARGEST_DIRECTORY) or count * _ENTRY.size > length:
        raise BadZip("Its list of files is damaged; get it again.")
    return _Directory(before + offset, length, count, before)


def _end64(descriptor: int, end: int) -> tuple[int, int, int, int] | None:
    place = os.pread(descriptor, _END64_PLACE.size, max(0, end - _END64_PLACE.size))
    if len(place) < _END64_PLACE.size or not place.startswith(_END64_PLACE_MARK):
        return None
    at = end - _END64_PLACE.size - _END64.size
    data = os.pread(descriptor, _END64.size, max(0, at))
    if len(data) < _END64.size or not data.startswith(_END64_MARK):
        raise BadZip("Its list of files is damaged; get it again.")
    *_, count, length, offset = _END64.unpack(data)
    return count, length, offset, at


def _entries(data: bytes, directory: _Directory, limit: int) -> Iterator[Member]:
    at = 0
    for _ in range(min(directory.count, limit)):
        if len(data) - at < _ENTRY.size or data[at : at + 4] != _ENTRY_MARK:
            raise BadZip("Its list of files is damaged; get it again.")
        fields = _ENTRY.unpack_from(data, at)
        _, made_by, _, flags, method, _, _, crc, packed, size = fields[:10]
        names, extras, remarks, _, _, attributes, header = fields[10:]
        at += _ENTRY.size
        name = data[at : at + names]
        extra = data[at + names : at + names + extras]
        at += names + extras + remarks
        size, packed, header = _wide(extra, size, packed, header)
        is_unix = made_by >> 8 in (_UNIX, _MAC)
        yield Member(
            name=_text(name, bool(flags & _UTF8)),
            header=directory.before + header,
            packed=packed,
            size=size,
            crc=crc,
            method=method,
            is_encrypted=bool(flags & _ENCRYPTED),
            mode=attributes >> 16 if is_unix else 0,
        )


def _wide(extra: bytes, *numbers: int) -> tuple[int, ...]:
    """Return the numbers, those too large for four bytes taken from the ZIP64 extra field."""
    if _ALL32 not in numbers:
        return numbers
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64:
            values = extra[at + 4 : at + 4 + length]
            wide_values = iter(
                struct.unpack(f"<{len(values) // 8}Q", values[: len(values) // 8 * 8])
            )
            return tuple(
                next(wide_values, number) if number == _ALL32 else number for number in numbers
            )
        at += 4 + length
    return numbers


def _text(name: bytes, is_utf8: bool) -> str:
    """Decode a name; many programs write UTF-8 without the flag. Backslashes become slashes."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = os.fsdecode(name) if is_utf8 else name.decode("cp437")
    return text.replace("\\", "/")


def _check_places(members: list[Member], directory: int) -> None:
    """Raise `BadZip` for files that share bytes, lie beyond the archive, or unpack to more than any
    packing reaches: deflate makes 1,032 bytes of one.
    """
    end_of_last = 0
    for member in sorted(members, key=attrgetter("header")):
        if member.header < end_of_last:
            raise BadZip("Its files share the same bytes, which only bombs do; it is not read.")
        end_of_last = member.header + _LOCAL.size + member.packed
        most = member.packed if member.method == STORED else 1040 * member.packed + 64
        if end_of_last > directory or (member.method in (STORED, DEFLATED) and member.size > most):
            raise BadZip("Its list of files tells of more than it holds; get it again.")
