"""Reading CSV files as table programs and people really write them.

A byte order mark, CRLF, quoting, and `;` or tabs between the columns are understood; what the cells
mean is for others to judge. A file is never held as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from labeler.csv_cells import unguarded
from labeler.errors import BadInput

_LONGEST_HEADER = 1 << 20
_LONGEST_LINE = 1 << 24


@dataclass(frozen=True, slots=True)
class Line:
    """One line below the header, with its cells by the column's name in lower case.

    `number` counts from 1, `last` is where a quoted cell ended it; `is_overfull` says that
    something stands beyond the last column: which cell is which is unsure.
    """

    number: int
    last: int
    cells: dict[str, str]
    is_overfull: bool
    has_decimal_commas: bool  # the file's numbers may be written 7,5

    def cell(self, *names: str) -> str:
        """The cell of the first of these columns that the file has; empty without any."""
        return next((self.cells[name] for name in names if name in self.cells), "")

    @property
    def problem(self) -> str | None:
        """Why the cells can't be trusted, as one sentence."""
        if not self.is_overfull:
            return None
        return "there are more cells than columns; quote what holds a comma, and write 7.5 for 7,5."

    @property
    def doubt(self) -> str | None:
        """What may be the reason if a cell means nothing."""
        if self.last == self.number:
            return None
        return f"a quotation mark opened here closes only in line {self.last}."


def read_lines(file: Path, needed: Sequence[Sequence[str]]) -> Iterator[Line]:
    """The lines of `file` below its header, empty ones left out.

    Each of `needed` is the name of a column, or several of which one will do. Raises `BadInput`,
    before the first line, if the file can't be read, isn't UTF-8, or lacks a column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            delimiter = _checked(file, text, needed)
            yield from _lines(text, delimiter)
    except OSError as error:
        raise BadInput(f"Can't read {file}: {error.strerror}; check the path.") from error


def header_of(file: Path) -> list[str]:
    """The names of the columns in lower case; raises as `read_lines` does."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            return _header(_reader(text, _delimiter(text)))
    except UnicodeDecodeError:
        raise _no_text(file) from None
    except csv.Error as error:
        raise BadInput(f"{file} is not a CSV file that can be read: {error}.") from error
    except OSError as error:
        raise BadInput(f"Can't read {file}: {error.strerror}; check the path.") from error


def _checked(file: Path, text: TextIO, needed: Sequence[Sequence[str]]) -> str:
    """Read all of it once, so that nobody takes half of a file; what parts its columns."""
    try:
        delimiter = _delimiter(text)
        reader = _reader(text, delimiter)
        _check_header(file, _header(reader), needed)
        for _ in reader:
            pass
    except UnicodeDecodeError:
        raise _no_text(file) from None
    except csv.Error as error:
        raise BadInput(
            f"{file} is not a CSV file that can be read: {error} in line {reader.line_num}."
        ) from error
    text.seek(0)
    return delimiter


def _lines(text: TextIO, delimiter: str) -> Iterator[Line]:
    reader = _reader(text, delimiter)
    header = _header(reader)
    line = reader.line_num + 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield Line(
                number=line,
                last=reader.line_num,
                cells=_named(header, cells),
                is_overfull=any(cell.strip() for cell in cells[len(header) :]),
                has_decimal_commas=delimiter == ";",
            )
        line = reader.line_num + 1


def _reader(text: TextIO, delimiter: str) -> Any:
    return csv.reader(_short_lines(text), delimiter=delimiter)


def _short_lines(text: TextIO) -> Iterator[str]:
    """Its lines; raises `csv.Error` before one that never ends fills the memory."""
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"there is a line of more than {_LONGEST_LINE:,} characters")
        yield line


def _no_text(file: Path) -> BadInput:
    return BadInput(f"{file} is not UTF-8 text; save it as CSV (UTF-8).")


def _header(reader: Iterator[list[str]]) -> list[str]:
    return [name.strip().lower() for name in next(reader, [])]


def _delimiter(text: TextIO) -> str:
    """What parts the columns: the commonest of comma, semicolon and tab in the first line."""
    first = text.readline(_LONGEST_HEADER)
    text.seek(0)
    return max(",;\t", key=first.count)


def _check_header(file: Path, header: list[str], needed: Sequence[Sequence[str]]) -> None:
    columns = [" or ".join(names) for names in needed]
    for names, column in zip(needed, columns, strict=True):
        if not any(name in header for name in names):
            present = f" (it names {', '.join(header)})" if any(header) else ""
            raise BadInput(
                f"{file} has no column {column}; its first line{present} must name the columns "
                f"{' and '.join(columns)}."
            )


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    """Of columns with the same name the first counts; cells that are missing are empty."""
    filled = [*map(unguarded, cells), *[""] * (len(header) - len(cells))]
    return dict(reversed(list(zip(header, filled, strict=False))))
