"""Reading a CSV file of hand scores, as table programs and people really write them.

A byte order mark, CRLF, quoting, `;` or tabs between the columns and (with `;`) decimal commas
are understood; the meaning of paths and scores is for `labeler.labels` to judge.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labeler.errors import BadInput

GROUP_COLUMNS = ("split_group", "group")
_NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null"})


@dataclass(frozen=True)
class Row:
    """One line as it stands; `line` counts from 1, `last_line` is where a quoted cell ended it."""

    line: int
    last_line: int
    path: str
    score: str
    group: str | None
    is_overfull: bool  # something stands beyond the last column: which cell is which is unsure

    @property
    def is_blank(self) -> bool:
        """No score given, also where a table program wrote its word for "nothing"."""
        return self.score.lower() in _NOTHING


def read_rows(file: Path) -> Iterator[Row]:
    """The lines of `file` below its header, empty ones left out.

    Raises `BadInput` if it can't be read, isn't UTF-8, or lacks the columns path and score.
    """
    text = _text_of(file)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        columns, width = _columns(file, header), len(header)
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                overfull = any(cell.strip() for cell in cells[width:])
                last = reader.line_num
                yield _row(line, last, cells, columns, comma=delimiter == ";", overfull=overfull)
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


def _columns(file: Path, header: list[str]) -> dict[str, int]:
    for name in ("path", "score"):
        if name not in header:
            raise BadInput(
                f"{file} has no column {name}; its first line must name the columns path and score."
            )
    found = {"path": header.index("path"), "score": header.index("score")}
    group = next((name for name in GROUP_COLUMNS if name in header), None)
    return found if group is None else found | {"group": header.index(group)}


def _row(
    line: int,
    last_line: int,
    cells: list[str],
    columns: dict[str, int],
    *,
    comma: bool,
    overfull: bool,
) -> Row:
    """`comma`: the file's numbers may be written 7,5."""

    def cell(name: str) -> str:
        at = columns.get(name, len(cells))
        return cells[at] if at < len(cells) else ""

    score = cell("score").strip()
    score = score.replace(",", ".") if comma else score
    return Row(line, last_line, cell("path"), score, cell("group").strip() or None, overfull)
