"""Numbers of commits: whether a store's file and the log beside it belong together.

Each commit writes its number into the header of the store (SQLite's user_version). While it is new
it stands in the log alone; once the log was moved into the file it stands there, too. So three
numbers tell about any pair of files, whoever copied them: R in the file, F in the log's first copy
of the header and S in its last one. They belong together where F - 1 <= R <= S: all that came
before the log is in the file, and nothing later than it. Upper bits tell copies apart that are used
on (see `new_lineage`).

Nothing here opens a store but through SQLite: whoever closes its file otherwise drops all locks of
its process on it. Nobody locks the log, so that may be read. Formats: sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from db.store.connect import connect

_SEQUENCE_BITS, _LINEAGE_BITS = 20, 11
_SEQUENCES = 1 << _SEQUENCE_BITS
_HEADER, _FRAME = 32, 24  # bytes of the log's header, and of the one before each page
_MAGIC = (0x377F0682, 0x377F0683)
_NUMBER = slice(60, 64)  # of the first page
_O_LOG = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def new_lineage() -> int:
    """Return the number that a new store begins with, or a copy that is to be told from its
    original.
    """
    return (1 + secrets.randbelow((1 << _LINEAGE_BITS) - 1)) << _SEQUENCE_BITS


def following(number: int) -> int:
    """Return the number of the next commit; a store of an older program gets its first one."""
    if number <= 0:
        return new_lineage() + 1
    lineage, sequence = divmod(number, _SEQUENCES)
    return lineage * _SEQUENCES + (sequence + 1) % _SEQUENCES


def ahead(number: int, than: int) -> int | None:
    """Return how many commits `number` is later, negative if earlier; None if of another store.

    A store without numbers yet (0) is one commit before the first one.
    """
    if number == than:
        return 0
    if min(number, than) <= 0:
        if max(number, than) % _SEQUENCES != 1:
            return None
        return 1 if than <= 0 else -1
    if number // _SEQUENCES != than // _SEQUENCES:
        return None
    steps = (number - than) % _SEQUENCES
    return steps if steps < _SEQUENCES // 2 else steps - _SEQUENCES


def belong(in_file: int, first: int | None, last: int) -> bool:
    """Return whether a file with this number belongs to a log that begins and ends with these.

    `first` is None where the log holds no header; then `last` is the number that the store shows.
    """
    if in_file <= 0:  # a store of an older program, and the first numbers on it
        return last <= 0 or (first is not None and (first <= 0 or first % _SEQUENCES == 1))
    behind = ahead(last, in_file)
    if behind is None or behind < 0:
        return False
    if first is None:
        return behind == 0
    begun = ahead(in_file, first)
    return begun is not None and begun >= -1


def number_in(path: Path) -> int | None:
    """Return the number in the file itself, whatever its log holds; None where it is no store."""
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(connect(path, address)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError:
        return None


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


@dataclass(frozen=True, slots=True)
class Log:
    """A store's log as it was at one moment; `salts` are another pair each time it begins anew.

    `tail` is where its last whole commit ended and what stood there; it is written over when the
    log begins anew, and where the writer of that commit was killed before others knew of it. None
    where it can't be told.
    """

    device: int
    inode: int
    size: int
    written: int  # ns
    salts: bytes
    page_size: int
    tail: tuple[int, bytes] | None

    def is_file_of(self, other: Log) -> bool:
        return (self.device, self.inode) == (other.device, other.inode)

    @property
    def state(self) -> tuple[int, int, bytes]:
        return self.size, self.written, self.salts


def read_log(path: Path, old: Log | None = None) -> tuple[Log, bool] | None:
    """Return the log of the store at `path`, and whether the tail of `old` is still in it.

    None where there is no log. Raises `OSError` where it can't be read.
    """
    try:
        descriptor = os.open(log_of(path), _O_LOG)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        salts, page_size = _salts(os.pread(descriptor, _HEADER, 0))
        tail = _tail(descriptor, status.st_size, salts, page_size)
        kept = True
        if old is not None and old.tail is not None:
            at, was = old.tail
            kept = os.pread(descriptor, _FRAME, at) == was
    finally:
        os.close(descriptor)
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return Log(*identity, salts, page_size, tail), kept


def _salts(header: bytes) -> tuple[bytes, int]:
    """Return those of the log with this header and the size of its pages; none and 0 for an empty
    one.
    """
    if len(header) < _HEADER or struct.unpack_from(">I", header)[0] not in _MAGIC:
        return b"", 0
    (page_size,) = struct.unpack_from(">I", header, 8)
    return header[16:24], page_size if 512 <= page_size <= 65536 else 0


def _tail(descriptor: int, size: int, salts: bytes, page_size: int) -> tuple[int, bytes] | None:
    frames = (size - _HEADER) // (_FRAME + page_size) if page_size else 0
    if frames < 1:
        return None
    at = _HEADER + (frames - 1) * (_FRAME + page_size)
    frame = os.pread(descriptor, _FRAME, at)
    ends_commit = frame[4:8] != b"\0\0\0\0"
    return (at, frame) if ends_commit and frame[8:16] == salts else None


def first_number(path: Path) -> int | None:
    """Return the number in the log's first copy of the header; None where it holds none."""
    return next((number for number, _ in _numbers(path)), None)


def last_number(path: Path) -> int | None:
    """Return the number in the last committed copy of the header; None where the log holds none."""
    last = waiting = None
    for number, ends_commit in _numbers(path, commits=True):
        waiting = waiting if number is None else number
        if ends_commit:
            last = waiting
    return last


def _numbers(path: Path, *, commits: bool = False) -> Iterator[tuple[int | None, bool]]:
    """Yield the numbers in the log in their order, and whether a commit ends there.

    With `commits` every frame is given, those of other pages with None.
    """
    try:
        descriptor = os.open(log_of(path), _O_LOG)
    except OSError:
        return
    try:
        salts, page_size = _salts(os.pread(descriptor, _HEADER, 0))
        at = _HEADER
        while page_size:
            frame = os.pread(descriptor, _FRAME + _NUMBER.stop, at)
            if len(frame) < _FRAME + _NUMBER.stop or frame[8:16] != salts:
                return
            page, pages = struct.unpack_from(">II", frame)
            if page == 1:
                yield int.from_bytes(frame[_FRAME:][_NUMBER], "big"), pages != 0
            elif commits:
                yield None, pages != 0
            at += _FRAME + page_size
    finally:
        os.close(descriptor)


def file_and_log_belong(path: Path) -> bool:
    """Return whether the store at `path` and what lies beside it as its log are of the same moment.

    Nothing is opened by SQLite for writing, so a log of another file does no harm. True for files
    that are no stores, which others tell better.
    """
    first = first_number(path)
    if first is None:
        return True
    last = last_number(path)
    if last is None:  # nothing in it was ever committed
        return True
    in_file = number_in(path)
    return in_file is not None and belong(in_file, first, last)
