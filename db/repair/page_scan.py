"""Rows read straight from the pages of a damaged store's file, whatever leads to them being gone.

As https://www.sqlite.org/fileformat2.html describes them: leaf pages of tables, one row a cell. A
page that is not in use any more may hold rows as they once were, so these come after all others.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

Value = int | float | str | bytes | None
_LEAF = 0x0D
_HEADER = 100  # bytes of the file's own header, on the first page
_FREE_LIST = 32  # where the header names the first page of the list of unused pages
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # serial type → bytes
_REAL = 7


class _Unreadable(Exception):
    """What was read is no row."""


def rows_of(path: Path, columns: int) -> Iterator[tuple[int, list[Value]]]:
    """Yield (row number, values) of each row with so many columns; tables may share that number."""
    with path.open("rb") as file:
        page_size = _page_size(file.read(_HEADER))
        pages = range(1, -(-path.stat().st_size // page_size) + 1)
        free = _free_pages(file, page_size, len(pages))
        used = (each for each in _written(file, pages, page_size) if each not in free)
        for number in chain(used, sorted(free)):
            page = _page(file, number, page_size)
            yield from _rows_on(page, _HEADER if number == 1 else 0, columns)


def _written(file: BinaryIO, pages: range, page_size: int) -> Iterator[int]:
    """Yield the pages but for the file's holes, which may be terabytes."""
    number = pages.start
    while number in pages:
        start = (number - 1) * page_size
        try:
            there = os.lseek(file.fileno(), start, os.SEEK_DATA)
            hole = os.lseek(file.fileno(), there, os.SEEK_HOLE)
        except AttributeError:  # not on every system
            there, hole = start, start + page_size
        except OSError:  # no data behind this
            return
        number = there // page_size + 1
        end = min(-(-hole // page_size) + 1, pages.stop)
        yield from range(number, end)
        number = max(end, number + 1)


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    size = 65536 if size == 1 else size
    # Else what every store has (db/store/store.py).
    return 8192 if size < 512 or size & (size - 1) else size


def _page(file: BinaryIO, number: int, size: int) -> bytes:
    """Pages are counted from 1; one behind the end of the file is empty."""
    file.seek((number - 1) * size)
    return file.read(size)


def _free_pages(file: BinaryIO, page_size: int, pages: int) -> set[int]:
    """Return the pages that the file lists as unused, as far as its list can be followed."""
    file.seek(_FREE_LIST)
    trunk = int.from_bytes(file.read(4), "big")
    free: set[int] = set()
    trunks: set[int] = set()
    while 0 < trunk <= pages and trunk not in trunks:
        trunks.add(trunk)
        page = _page(file, trunk, page_size)
        if len(page) < page_size:
            break
        trunk, count = struct.unpack_from(">II", page)
        count = min(count, page_size // 4 - 2)
        listed = struct.unpack_from(f">{count}I", page, 8)
        free.update(each for each in listed if 0 < each <= pages)
    return free


def _rows_on(page: bytes, at: int, columns: int) -> Iterator[tuple[int, list[Value]]]:
    if len(page) < at + 8 or page[at] != _LEAF:
        return
    cells = int.from_bytes(page[at + 3 : at + 5], "big")
    places = range(at + 8, min(at + 8 + 2 * cells, len(page) - 1), 2)
    # Each cell once, and each of its own bytes: more names of one are no more rows.
    for start in dict.fromkeys(int.from_bytes(page[each : each + 2], "big") for each in places):
        try:
            row = _row(page, start, columns)
        except (_Unreadable, IndexError, struct.error, UnicodeDecodeError):
            continue
        yield row


def _row(page: bytes, at: int, columns: int) -> tuple[int, list[Value]]:
    length, at = _number(page, at)
    row, at = _number(page, at)
    if length > len(page) - 35 or at + length > len(page):  # goes on on another page, or nowhere
        raise _Unreadable
    header, behind = _number(page, at)
    kinds: list[int] = []
    body = at + header
    while behind < body and len(kinds) <= columns:
        kind, behind = _number(page, behind)
        kinds.append(kind)
    if len(kinds) != columns:
        raise _Unreadable
    values = []
    for kind in kinds:
        value, body = _value(page, body, kind)
        values.append(value)
    return row, values


def _number(page: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where the next begins."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | page[place] & 0x7F
        if page[place] < 0x80:
            return value, place + 1
    return value << 8 | page[at + 8], at + 9


def _value(page: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in _INTEGERS:
        end = at + _INTEGERS[kind]
        return int.from_bytes(page[at:end], "big", signed=True), end
    if kind == _REAL:
        return struct.unpack(">d", page[at : at + 8])[0], at + 8
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise _Unreadable
    end = at + (kind - 12) // 2
    return (page[at:end].decode() if kind % 2 else page[at:end]), end
