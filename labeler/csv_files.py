"""Reading CSV files as table programs and people really write them.

A byte order mark, CRLF, quoting, and `;` or tabs between the columns are understood; what the cells
mean is for others to judge.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labeler.errors import BadInput


@dataclass(frozen=True)
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


def read_lines(file: Path, needed: Sequence[Sequence[str]]) -> Iterator[Line]:
    """The lines of `file` below its header, empty ones left out.

    Each of `needed` is the name of a column, or several of which one will do. Raises `BadInput` if
    the file can't be read, isn't UTF-8, or lacks a column.
    """
    text = _text_of(file)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(file, header, needed)
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
    except csv.Error as error:
        raise BadInput(
            f"{file} is not a CSV file that can be read: {error} in line {reader.line_num}."
        ) from error


def _text_of(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8 text; save it as CSV (UTF-8).") from None
    except OSError as error:
        raise BadInput(f"Can't read {file}: {error.strerror}; check the path.") from error


def _delimiter(text: str) -> str:
    """What parts the columns: the commonest of comma, semicolon and tab in the first line."""
    return max(",;\t", key=text.partition("\n")[0].count)


def _check_header(file: Path, header: list[str], needed: Sequence[Sequence[str]]) -> None:
    columns = [" or ".join(names) for names in needed]
    for names, column in zip(needed, columns, strict=True):
        if not any(name in header for name in names):
            raise BadInput(
                f"{file} has no column {column}; its first line must name the columns "
                f"{' and '.join(columns)}."
            )


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    """Of columns with the same name the first counts; cells that are missing are empty."""
    filled = [*cells, *[""] * (len(header) - len(cells))]
    return dict(reversed(list(zip(header, filled, strict=False))))
