"""Scores in tables: CSV, Parquet and JSON, with any column names."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from labeler.core.archives.archives import names_of_rows
from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import read_lines, told_columns
from labeler.core.files.typed_paths import path_within
from labeler.scoring.score_files.json_stream import read_list
from labeler.scoring.score_files.statements import (
    BROKEN,
    NAMELESS,
    NO_PATH,
    ReaderNotes,
    ReadOptions,
    Statement,
    StatementError,
    Statements,
    read_score,
    short,
)
from model.files.bounded import open_plain
from model.files.bounded_json import LONGEST, parse_json
from model.images.formats import image_extensions

PATH_COLUMNS = ("path", "file_name")
SCORE_COLUMNS = ("score",)
GROUP_COLUMNS = ("split_group", "group")
_BATCH = 4096
_LONGEST_LINE = LONGEST  # bytes
_MOST_COLUMNS = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number in the file, and its cells by the column's name in lower case.

    `problem` is the reason why the row can't be used, `doubt` what may be wrong if its image is not
    found. `picture` is the path of a picture that is embedded in the row.
    """

    number: int
    cells: Mapping[str, Any]
    problem: str | None = None
    doubt: str | None = None
    picture: str | None = None

    def text(self, names: tuple[str, ...]) -> str:
        """Return the text in the first of these columns that exists, empty without any.

        Raises `StatementError` for a cell that is no text, such as bytes or a list.
        """
        value = next((self.cells[name] for name in names if name in self.cells), None)
        if isinstance(value, dict) and "path" in value:
            value = value["path"]  # of a picture that has its path beside it
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, bytes | list | dict):
            raise StatementError(
                BROKEN, f"{short(value)} is no text, where a path or name is expected."
            )
        return str(value)

    def score(self, names: tuple[str, ...]) -> Any:
        """Return the cell in the first of these columns that exists, None without any."""
        return next((self.cells[name] for name in names if name in self.cells), None)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns, in lower case, that may hold each part of a statement."""

    path: tuple[str, ...]
    score: tuple[str, ...]
    scorer: tuple[str, ...]
    group: tuple[str, ...]

    @classmethod
    def of(cls, reading: ReadOptions) -> Columns:
        """Return the columns that the options name, else the usual ones."""
        return cls(
            _named(reading.path_column, PATH_COLUMNS),
            _named(reading.score_column, SCORE_COLUMNS),
            _named(reading.scorer_column, ()),
            _named(reading.group_column, GROUP_COLUMNS),
        )

    def needed(self, reading: ReadOptions) -> list[tuple[str, ...]]:
        """Return the columns that must exist, one of each tuple."""
        named = ((reading.scorer_column, self.scorer), (reading.group_column, self.group))
        return [self.path, self.score, *(names for given, names in named if given)]


def read_table(file: Path, reading: ReadOptions, notes: ReaderNotes) -> Statements:  # noqa: ARG001
    """Yield the statements in a table; raises `BadInput` if the file can't be read as one."""
    columns = Columns.of(reading)
    for row in table_rows(file, columns.needed(reading)):
        try:
            yield _statement(row, columns, reading)
        except StatementError as error:
            yield error.at(row.number)


def table_rows(
    file: Path, needed: list[tuple[str, ...]], also: Sequence[str] = GROUP_COLUMNS
) -> Iterator[Row]:
    """Yield the rows of a table; its suffix is its format.

    Of each tuple in `needed` one column must exist, in JSON lines in some line. `also` are further
    columns to read. Raises `BadInput`.
    """
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _parquet_rows(file, needed, also)
    if suffix in (".jsonl", ".ndjson"):
        return _json_rows(file, needed)
    if suffix == ".json":
        return _list_rows(file, needed)
    return _csv_rows(file, needed)


def _statement(row: Row, columns: Columns, reading: ReadOptions) -> Statement:
    if row.problem is not None:
        raise StatementError(BROKEN, row.problem)
    path = row.text(columns.path)
    named = (path, path.strip(), row.picture or "")
    images = tuple(dict.fromkeys(each for each in named if each.strip()))
    if not images:
        raise StatementError(NO_PATH, "there is no path in this line; fill in its path column.")
    return Statement(
        place=row.number,
        images=images,
        score=read_score(row.score(columns.score), reading.bounds),
        scorer=row.text(columns.scorer).strip() or NAMELESS if columns.scorer else None,
        group=row.text(columns.group).strip(),
        file_name=PurePath(path_within(path).strip()).name or None if reading.by_name else None,
        doubt=row.doubt,
    )


def _named(column: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    return (column.strip().lower(),) if column else usual


def _csv_rows(file: Path, needed: list[tuple[str, ...]]) -> Iterator[Row]:
    for line in read_lines(file, needed):
        yield Row(line.number, line.cells, line.problem, line.doubt)


def _parquet_rows(file: Path, needed: list[tuple[str, ...]], also: Sequence[str]) -> Iterator[Row]:
    # Imported where they are used: pyarrow takes long to load, and CSV does without it.
    import pyarrow

    from labeler.core.files.parquet import check_columns, open_texts, plain_batch

    number = 0
    try:
        with open_texts(file) as table:
            pictures = names_of_rows(file)
            names = table.schema_arrow.names
            present = [*(name.lower() for name in names), *(PATH_COLUMNS if pictures else ())]
            _check(file, present, needed)
            columns = {name for each in needed for name in each} | set(also)
            read = _without_bytes(
                table.schema_arrow, [name for name in names if name.lower() in columns]
            )
            check_columns(table, file, read)
            for batch in table.iter_batches(batch_size=_BATCH, columns=read):
                lines = plain_batch(batch).to_pylist() if read else [{}] * len(batch)
                for cells in lines:
                    named = pictures.get(number)
                    number += 1
                    picture = f"{file.absolute()}{os.sep}{named}" if named else None
                    yield Row(number, _lower(cells), picture=picture)
    # Also of names that aren't UTF-8, and of times beyond Python's.
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise BadInput(
            f"{file} is not a Parquet file that can be read ({error}); write it anew."
        ) from error
    except OSError as error:
        raise BadInput(
            f"Can't read {file}: {error.strerror or 'it is no Parquet file'}."
        ) from error


def _without_bytes(schema: Any, names: list[str]) -> list[str]:
    """Return the columns without bytes; of a struct with a path only `name.path`."""
    from pyarrow import types

    read = []
    for name in names:
        kind = schema.field(name).type
        parts = {part.name for part in kind} if types.is_struct(kind) else set()
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if parts:
            read += [f"{name}.path"] if "path" in parts else []
        elif not (types.is_binary(kind) or types.is_large_binary(kind)):
            read.append(name)
    return read


def _json_rows(file: Path, needed: list[tuple[str, ...]]) -> Iterator[Row]:
    try:
        with open_plain(file) as lines:
            _check_lines(file, lines, needed)
            lines.seek(0)
            for number, line in enumerate(_short_lines(lines), start=1):
                if not line.strip():
                    continue
                cells = _object(line)
                problem = "this line is not a JSON object." if cells is None else None
                yield Row(number, cells or {}, problem=problem)
    except OSError as error:
        raise BadInput(f"Can't read {file}: {error.strerror}; check the path.") from error


def is_json_table(file: Path, reading: ReadOptions) -> bool:
    """Return whether a JSON file is a list of rows, or an object with a score for each path.

    False also for a file that can't be read.
    """
    path, score, *_ = Columns.of(reading).needed(reading)
    elements = read_list(file)
    try:
        first = next(elements, None)
    except BadInput:
        return False
    finally:
        elements.close()
    if not isinstance(first, dict) or "annotation_id" in first:
        return False
    names = _lower(first).keys()
    named = any(name in names for name in path) and any(name in names for name in score)
    return named or _is_scores(first)


def _is_scores(element: dict[str, Any]) -> bool:
    """Return whether it is an object of scores by path: all keys have a picture's extension."""
    endings = image_extensions()
    return bool(element) and all(
        PurePath(path_within(name).strip()).suffix.lower() in endings
        and (value is None or isinstance(value, int | float | str))
        for name, value in element.items()
    )


def _list_rows(file: Path, needed: list[tuple[str, ...]]) -> Iterator[Row]:
    number = 0
    for element in read_list(file):
        rows: list[Any] = [element]
        if isinstance(element, dict) and _is_scores(element):
            (path, *_), (score, *_), *_ = needed
            rows = [{path: name, score: value} for name, value in element.items()]
        for each in rows:
            number += 1
            cells = _lower(each) if isinstance(each, dict) else None
            if number == 1:
                _check(file, list(cells or ()), needed)
            problem = "this element is not a JSON object." if cells is None else None
            yield Row(number, cells or {}, problem=problem)


def _check_lines(file: Path, lines: BinaryIO, needed: list[tuple[str, ...]]) -> None:
    """Check the columns in JSON lines, up to the line that completes them, mostly the first."""
    present: dict[str, None] = {}
    columns = {name for names in needed for name in names}
    for cells in filter(None, map(_object, _short_lines(lines))):
        # A line may have names of its own without end.
        present |= dict.fromkeys(
            name for name in cells if name in columns or len(present) < _MOST_COLUMNS
        )
        if all(any(name in present for name in names) for names in needed):
            return
    if present:
        _check(file, list(present), needed)


def _short_lines(lines: BinaryIO) -> Iterator[bytes]:
    """Yield the lines; in place of one that is too long, text that is no JSON."""
    while line := lines.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = lines.readline(_LONGEST_LINE)
        yield b"too long"


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        document = parse_json(line.decode("utf-8-sig"))
    except ValueError:
        return None
    return _lower(document) if isinstance(document, dict) else None


def _lower(cells: dict[str, Any]) -> dict[str, Any]:
    """Return the cells by names in lower case; of equal names the first counts."""
    found: dict[str, Any] = {}
    for name, value in cells.items():
        found.setdefault(name.strip().lower(), value)
    return found


def _check(file: Path, present: list[str], needed: list[tuple[str, ...]]) -> None:
    for names in needed:
        if not any(name in present for name in names):
            raise BadInput(
                f"{file} has no column {' or '.join(names)}; it has "
                f"{told_columns(present) or 'none'}."
            )
