"""Scores in exports of Label Studio: tasks with annotations, each by somebody.

Its JSON, JSON-MIN and CSV are read. Scores are numbers, ratings, and choices that are numbers;
other controls are named. A cancelled annotation is none. Label Studio keeps a rating of 0 as
"nothing", so it is read as unscored; a number of 0 is a score.

A server keeps neither the time nor the author of an annotation that was imported into it. Our own
export says both once more in the `meta` of the result, which it does keep; they count as long as
the score is still the one that they are said of.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from labeler.core.files.csv_reader import header_of, read_lines
from labeler.scoring.score_files.json_stream import read_list
from labeler.scoring.score_files.statements import (
    BROKEN,
    NAMELESS,
    NO_PATH,
    OWN_SCALE,
    TWO_SCORES,
    Place,
    ReaderNotes,
    ReadOptions,
    Refused,
    Statement,
    StatementError,
    Statements,
    read_score,
    short,
    utc_time,
)
from model.files.bounded_json import parse_json

_LOCAL = "/data/local-files"
_UPLOADED = re.compile(
    r"[0-9a-f]{8}-(?=.)"
)  # what Label Studio puts before an uploaded file's name
# What JSON-MIN and CSV say of an annotation beside its results and the data of its task.
_FLAT_COLUMNS = ("annotation_id", "annotator")
_ANNOTATION_COLUMNS = frozenset({"id", *_FLAT_COLUMNS, "created_at", "updated_at", "lead_time"})
_OWN_SCORE = "hand_score"  # in the data of the tasks that we export
_NO_SCORER_NOTE = (
    "JSON-MIN and CSV don't say who gave the scores that were in our tasks; an export as JSON does."
)
_SCORES = ("number", "rating", "choices")  # the controls that are read
_STARS = (
    "Ratings were read as scores from 0 to 10; for five stars give --scale 1:5, for ten --scale "
    "1:10."
)


def read_label_studio(file: Path, reading: ReadOptions, notes: ReaderNotes) -> Statements:
    """Yield a statement for each annotation, those of a task by time.

    The file is read task by task. Raises `BadInput` if it is no list of tasks.
    """
    for place, task in _tasks(file, reading, notes):
        try:
            images, file_name = _images(task, reading)
            unscored = Statement(place, images, None, file_name=file_name)
        except StatementError as error:
            yield error.at(place)
            continue
        annotations = task.get("annotations", task.get("completions")) or []
        if not isinstance(annotations, list) or not all(
            isinstance(each, dict) for each in annotations
        ):
            yield Refused(place, BROKEN, "its annotations are no list of annotations.")
            continue
        valid = [each for each in annotations if not each.get("was_cancelled")]
        notes.cancelled += len(annotations) - len(valid)
        if not valid:
            yield unscored
        for each in _latest(valid, task["data"], notes):
            try:
                yield Statement(
                    place=place,
                    images=images,
                    score=_score(each, reading, notes),
                    scorer=_scorer(each, task["data"], reading),
                    at=None if (at := _annotated_at(each)) == _NEVER else at,
                    file_name=file_name,
                    is_uploaded=any("/data/upload/" in image for image in images),
                )
            except StatementError as error:
                yield error.at(place)


def is_label_studio_table(file: Path) -> bool:
    """Return whether a CSV file is from Label Studio; raises `BadInput` if it can't be read."""
    return set(_FLAT_COLUMNS) <= set(header_of(file))


def _tasks(file: Path, reading: ReadOptions, notes: ReaderNotes) -> Iterator[tuple[Place, Any]]:
    """Yield each task with its place; a row of CSV or JSON-MIN is a task with one annotation."""
    if file.suffix.lower() != ".json":
        for line in read_lines(file, [(name,) for name in _FLAT_COLUMNS]):
            yield line.number, _unflatten(line.cells, reading, notes)
        return
    for number, task in enumerate(read_list(file), start=1):
        place = _place(task, number)
        is_flat = isinstance(task, dict) and "data" not in task and set(_FLAT_COLUMNS) <= set(task)
        yield place, _unflatten(task, reading, notes) if is_flat else task


def _unflatten(row: Mapping[str, Any], reading: ReadOptions, notes: ReaderNotes) -> dict[str, Any]:
    """Return the task of a row of CSV or JSON-MIN, as far as the row has its parts.

    The names of a CSV file's columns come in lower case.
    """
    control = reading.score_column or "score"
    results: list[dict[str, Any]] = []
    for name, cell in row.items():
        if name in _ANNOTATION_COLUMNS:
            continue
        is_control = name.lower() == control.lower()
        from_name = control if is_control else name
        found = list(_flat_results(cell))
        if not found and is_control and isinstance(cell, int | float | str) and cell != "":
            found = [("number", cell)]  # a lone choice stands there as it is
        results += [
            {"from_name": from_name, "type": kind, "value": {kind: value}} for kind, value in found
        ]
    annotation = {name: row.get(name) for name in ("created_at", "updated_at")}
    annotation |= {"id": row["annotation_id"], "completed_by": row["annotator"], "result": results}
    is_annotated = row["annotation_id"] not in (None, "")
    if is_annotated and not results:
        notes.note(
            "There are annotations without a number; name their column: --score-column NAME."
        )
    if is_annotated and _OWN_SCORE in row:
        notes.note(_NO_SCORER_NOTE)
    return {"data": dict(row), "annotations": [annotation] if is_annotated else []}


def _flat_results(cell: Any) -> Iterator[tuple[str, Any]]:
    """Yield kind and value of each result in a cell; none for a cell of the task's own data."""
    if isinstance(cell, str) and cell.lstrip().startswith(("[{", "{")):
        try:
            cell = parse_json(cell)
        except ValueError:
            return
    for one in cell if isinstance(cell, list) else [cell]:
        for kind in _SCORES if isinstance(one, dict) else ():
            if kind in one:
                yield kind, one[kind]


_NEVER = datetime.min.replace(tzinfo=UTC)
_REVISED = "Where a person annotated an image again, only the latest is taken."


def _latest(
    annotations: list[dict[str, Any]], data: Mapping[str, Any], notes: ReaderNotes
) -> list[dict[str, Any]]:
    """Return the annotations by time, of each person the last one, and all without a time."""
    untimed: list[dict[str, Any]] = []
    kept: dict[str, dict[str, Any]] = {}
    for each in sorted(annotations, key=_annotated_at):
        if _annotated_at(each) == _NEVER:
            untimed.append(each)
            continue
        scorer = _scorer(each, data)
        if kept.pop(scorer, None) is not None:
            notes.note(_REVISED)
        kept[scorer] = each
    return [*untimed, *kept.values()]


def _place(task: Any, number: int) -> str:
    own = task.get("id") if isinstance(task, dict) else None
    return (
        f"task {short(own, quoted=False)}"
        if isinstance(own, int | str)
        else f"task number {number}"
    )


def _own_meta(annotation: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return our own export's `meta` of the score, and whether the score is unchanged since."""
    results = annotation.get("result")
    for each in results if isinstance(results, list) else []:
        noted, value = (each.get("meta"), each.get("value")) if isinstance(each, dict) else ("", "")
        if isinstance(noted, dict) and isinstance(value, dict) and "scorer" in noted:
            return noted, noted.get("score") == value.get("number")
    return {}, False


def _annotated_at(annotation: Mapping[str, Any]) -> datetime:
    """Return the time of an annotation; _NEVER where it has none."""
    noted, is_same = _own_meta(annotation)
    own_time = noted.get("at") if is_same else None
    at = _time(own_time or annotation.get("created_at") or annotation.get("updated_at"))
    # A score that was corrected on the server was given then.
    changed = _time(annotation.get("updated_at")) if not own_time else _NEVER
    return max(at, changed)


def _time(text: object) -> datetime:
    try:
        return utc_time(str(text))
    except ValueError:
        return _NEVER


def _scorer(
    annotation: Mapping[str, Any], data: Mapping[str, Any], reading: ReadOptions | None = None
) -> str:
    """Return who made an annotation: an e-mail address, a name or a number, else NAMELESS."""
    if reading is not None and (column := _key(data, reading.scorer_column)) is not None:
        return str(data[column] or NAMELESS)
    noted, is_same = _own_meta(annotation)
    if noted and is_same:
        return str(noted["scorer"] or NAMELESS)
    who = annotation.get("completed_by")
    if noted:  # given by whoever corrected it, not by the account that brought it
        who = annotation.get("updated_by") or who
    if isinstance(who, dict):
        full = " ".join(str(who.get(part) or "") for part in ("first_name", "last_name"))
        known = (who.get("email"), who.get("username"), full.strip())
        if name := next((str(each) for each in known if each), None):
            return name
        who = who.get("id")
    # Our earlier exports number the scorers; a server, which numbers annotations too, has its own
    # people behind these numbers.
    names = data.get("scorers") if "id" not in annotation else None
    if isinstance(names, dict) and str(who) in names:
        return str(names[str(who)] or NAMELESS)
    if who in (None, ""):
        return NAMELESS
    return str(who) if "@" in str(who) else f"annotator {who}"


def _score(annotation: dict[str, Any], reading: ReadOptions, notes: ReaderNotes) -> float | None:
    """Return the score (0–10) of an annotation, of the named control or of any; None without.

    Raises `StatementError` if it has several.
    """
    results = list(_results(annotation, reading.score_column, notes))
    if not results:
        return None
    scores: set[float | None] = set()
    for kind, value in results:
        if kind == "rating" and value == 0:
            scores.add(None)
            continue
        if kind == "rating" and reading.bounds == OWN_SCALE:
            notes.note(_STARS)
        scores.add(read_score(value, reading.bounds))
    if len(scores) > 1:
        raise StatementError(
            TWO_SCORES,
            "this annotation has several scores; name the control with --score-column NAME.",
        )
    return scores.pop()


def _results(
    annotation: dict[str, Any], control: str | None, notes: ReaderNotes
) -> Iterator[tuple[str, Any]]:
    """Yield kind and value of each score; other results are noted."""
    results = annotation.get("result")
    for each in results if isinstance(results, list) else []:
        if not isinstance(each, dict) or control not in (None, each.get("from_name")):
            continue
        kind, value = each.get("type"), each.get("value")
        score = value.get(kind) if isinstance(value, dict) else None
        if kind == "choices":
            score = score[0] if isinstance(score, list) and len(score) == 1 else score
            if not _is_number(score):
                notes.note(f"Choices of {each.get('from_name')} that are no numbers were not read.")
                continue
            notes.note("Choices that are numbers were read as scores.")
        elif kind not in _SCORES or not isinstance(value, dict):
            notes.note(
                f"The control {each.get('from_name')} ({kind}) was not read; scores are Number, "
                "Rating, or Choices that are numbers."
            )
            continue
        yield str(kind), score


def _is_number(value: Any) -> bool:
    try:
        read_score(value, (-math.inf, math.inf))
    except StatementError:
        return False
    return value is not None


def _images(task: Any, reading: ReadOptions) -> tuple[tuple[str, ...], str | None]:
    """Return the paths that a task's image may mean, and its file name.

    Raises `StatementError` where the task names no image.
    """
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise StatementError(
            NO_PATH,
            "it is no task of Label Studio, for it has no data; export as JSON, JSON-MIN or CSV, "
            "and save a table of another program as JSON lines (.jsonl).",
        )
    name = reading.path_column or "image"
    value = data.get(_key(data, name))
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str) or not value.strip():
        raise StatementError(
            NO_PATH, f"its data has no {name}; name what has it with --path-column."
        )
    return image_paths(value.strip())


def _key(data: Mapping[str, Any], name: str | None) -> str | None:
    """Return `name` as a key of the data, also in lower case (CSV); None where it has none."""
    return next((each for each in (name, name.lower()) if each in data), None) if name else None


def image_paths(address: str) -> tuple[tuple[str, ...], str | None]:
    """Return the paths that an image's address may mean, the likeliest first, and its file name.

    Raises `StatementError` for an invalid address.
    """
    if "://" not in address and not address.startswith("/data/"):
        return (address,), PurePosixPath(address).name or None
    try:
        parts = urlsplit(address)
    except ValueError:
        raise StatementError(
            NO_PATH, f"its image has the address {short(address)}, which is none."
        ) from None
    path = unquote(parts.path, errors="surrogateescape")
    if path.rstrip("/").endswith(_LOCAL):
        path = parse_qs(parts.query, errors="surrogateescape").get("d", [""])[0]
        # Under the document root: / in our own export, else often the folder of the export.
        paths = ["/" + path.lstrip("/"), path.lstrip("/")]
    else:
        paths = [path] if parts.scheme == "file" else [address, path]
    name = PurePosixPath(path).name
    if "/data/upload/" in path:
        name = _UPLOADED.sub("", name, count=1)
    return tuple(dict.fromkeys(each for each in paths if each)), os.path.basename(name) or None  # noqa: PTH119
