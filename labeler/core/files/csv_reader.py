"""Reading CSV files as table programs and people really write them.

A byte order mark (of UTF-8 or UTF-16), CRLF, quoting, `;`, `|` or tabs between the columns, and a
first line `sep=;` are understood; what the cells mean is for others to judge. A file is never held
as a whole.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from labeler.core.errors import BadInput
from labeler.core.files.csv_escape import unescape_formula
from model.files.bounded import open_plain

_LONGEST_HEADER = 1 << 20
_LONGEST_LINE = 1 << 24
_MOST_COLUMNS = 20_000
_SHOWN_COLUMNS, _SHOWN_NAME = 20, 50  # in a message
_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[\r\n]*', re.IGNORECASE)  # Excel's hint
SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_SPREADSHEET_BEGINS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")  # zip; older Excel


@dataclass(frozen=True, slots=True)
class Line:
    """One line below the header, with its cells by the column's name in lower case.

    `number` counts from 1, `last` is where a quoted cell ended it; `is_overfull` says that
    something stands beyond the last column: which cell is which is unsure.
    """

    number: int
    last: int
    cells: Mapping[str, str]
    is_overfull: bool

    def cell(self, *names: str) -> str:
        """Return the cell in the first of these columns that exists; empty without any."""
        return next((self.cells[name] for name in names if name in self.cells), "")

    @property
    def problem(self) -> str | None:
        """Return why the cells can't be used, as one sentence; None if they can."""
        if not self.is_overfull:
            return None
        return "there are more cells than columns; quote what holds a comma, and write 7.5 for 7,5."

    @property
    def doubt(self) -> str | None:
        """Return a possible reason for a cell without a match; None if there is none."""
        if self.last == self.number:
            return None
        return f"a quotation mark opened here closes only in line {self.last}."


def read_lines(file: Path, needed: Sequence[Sequence[str]]) -> Iterator[Line]:
    """Yield the lines of `file` below its header, without empty ones.

    Each of `needed` is the name of a column, or several of which one will do. Raises `BadInput`,
    before the first line, if the file can't be read, is no text, or lacks a column.
    """
    with _opened(file) as text:
        _check(file, text, needed)
        yield from _lines(text)


def header_of(file: Path) -> list[str]:
    """Return the names of the columns in lower case; raises as `read_lines` does."""
    with _opened(file) as text:
        try:
            return _header(_rows(text)[1])
        except UnicodeError:
            raise _no_text(file) from None
        except csv.Error as error:
            raise BadInput(f"{file} is not a CSV file that can be read: {error}.") from error


def spreadsheet_problem(file: Path) -> str:
    """Return the message for a spreadsheet in place of a text table."""
    return f"{file} is a spreadsheet, not a text table; save it as CSV (UTF-8), and give that file."


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    """The file as text; raises `BadInput` if it can't be read or is a spreadsheet."""
    try:
        with open_plain(file) as opened:
            begins = opened.peek(8)
            if begins.startswith(_SPREADSHEET_BEGINS):
                raise BadInput(spreadsheet_problem(file))
            is_wide = begins.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            encoding = "utf-16" if is_wide else "utf-8-sig"
            yield io.TextIOWrapper(opened, encoding=encoding, newline="")
    except OSError as error:
        raise BadInput(f"Can't read {file}: {error.strerror}; check the path.") from error


def _check(file: Path, text: TextIO, needed: Sequence[Sequence[str]]) -> None:
    """Read all of it once, so that nobody takes half of a file."""
    try:
        before, reader = _rows(text)
        _check_header(file, _header(reader), needed)
        for _ in reader:
            pass
    except UnicodeError:
        raise _no_text(file) from None
    except csv.Error as error:
        raise BadInput(
            f"{file} is not a CSV file that can be read: {error} in line "
            f"{before + reader.line_num}."
        ) from error


def _lines(text: TextIO) -> Iterator[Line]:
    before, reader = _rows(text)
    header = _header(reader)
    places = dict(reversed([(name, place) for place, name in enumerate(header)]))
    line = reader.line_num + 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield Line(
                number=before + line,
                last=before + reader.line_num,
                cells=_Cells(places, cells),
                is_overfull=any(cell.strip() for cell in cells[len(header) :]),
            )
        line = reader.line_num + 1


def _rows(text: TextIO) -> tuple[int, Any]:
    """How many lines stand before the header, and the reader of all from the header on."""
    text.seek(0)
    first = text.readline(_LONGEST_HEADER)
    hint = _SEPARATOR_LINE.fullmatch(first)
    if hint is None:
        text.seek(0)
    # Else the commonest in the first line.
    delimiter = hint[1] if hint else max(_DELIMITERS, key=first.count)
    return int(hint is not None), csv.reader(_short_lines(text), delimiter=delimiter)


def _short_lines(text: TextIO) -> Iterator[str]:
    """Its lines; raises `csv.Error` before one that never ends fills the memory."""
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"there is a line of more than {_LONGEST_LINE:,} characters")
        yield line


def _no_text(file: Path) -> BadInput:
    return BadInput(f"{file} is not UTF-8 text; save it as CSV (UTF-8).")


def _header(reader: Iterator[list[str]]) -> list[str]:
    names = next(reader, [])
    if len(names) > _MOST_COLUMNS:
        raise csv.Error(f"it names {len(names):,} columns, more than {_MOST_COLUMNS:,}")
    return [name.strip().lower() for name in names]


def _check_header(file: Path, header: list[str], needed: Sequence[Sequence[str]]) -> None:
    columns = [" or ".join(names) for names in needed]
    for names, column in zip(needed, columns, strict=True):
        if not any(name in header for name in names):
            present = f" (it names {told_columns(header)})" if any(header) else ""
            raise BadInput(
                f"{file} has no column {column}; its first line{present} must name the columns "
                f"{' and '.join(columns)}."
            )


class _Cells(Mapping[str, str]):
    """A line's cells by their columns; costs what the line takes, however many columns there are.

    Of columns with the same name the first counts; cells that are missing are empty.
    """

    def __init__(self, places: Mapping[str, int], cells: list[str]) -> None:
        self._places, self._cells = places, cells

    def __getitem__(self, name: str) -> str:
        place = self._places[name]
        return unescape_formula(self._cells[place]) if place < len(self._cells) else ""

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def told_columns(names: Sequence[str]) -> str:
    """Return the first names of columns, for a message."""
    shown = [name[:_SHOWN_NAME] for name in names[:_SHOWN_COLUMNS]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
