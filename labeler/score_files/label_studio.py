"""Scores in exports of Label Studio: tasks with annotations, each by somebody.

Numbers and ratings are read. A cancelled annotation is none. Label Studio keeps a rating of 0 as
"nothing", so it is read as unscored; a number of 0 is a score.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from labeler.score_files.json_lists import read_list
from labeler.score_files.statements import (
    BROKEN,
    NAMELESS,
    NO_PATH,
    OURS,
    TWO_SCORES,
    NotTaken,
    Reading,
    Refused,
    Statement,
    Statements,
    Told,
    read_score,
)

_LOCAL = "/data/local-files"
_UPLOADED = re.compile(
    r"[0-9a-f]{8}-(?=.)"
)  # what Label Studio puts before an uploaded file's name
_STARS = (
    "Ratings were read as scores from 0 to 10; for five stars give --scale 1:5, for ten --scale "
    "1:10."
)


def read_label_studio(file: Path, reading: Reading, told: Told) -> Statements:
    """A statement for each annotation, those of a task in the order in which they were made.

    The file is read task by task. Raises `BadInput` if it is no list of tasks.
    """
    for number, task in enumerate(read_list(file), start=1):
        place = _place(task, number)
        try:
            images, file_name = _images(task, reading)
        except NotTaken as error:
            yield error.at(place)
            continue
        done = task.get("annotations", task.get("completions")) or []
        if not isinstance(done, list) or not all(isinstance(each, dict) for each in done):
            yield Refused(place, BROKEN, "its annotations are no list of annotations.")
            continue
        valid = [each for each in done if not each.get("was_cancelled")]
        told.cancelled += len(done) - len(valid)
        if not valid:
            yield Statement(place, images, None, file_name=file_name)
        for each in _latest(valid, task["data"].get("scorers"), told):
            try:
                yield Statement(
                    place=place,
                    images=images,
                    score=_score(each, reading, told),
                    scorer=_scorer(each.get("completed_by"), task["data"].get("scorers")),
                    at=None if (at := _when(each)) == _NEVER else at,
                    file_name=file_name,
                )
            except NotTaken as error:
                yield error.at(place)


_NEVER = datetime.min.replace(tzinfo=UTC)
_REVISED = "Where a person annotated an image again, only the latest is taken."


def _latest(annotations: list[dict[str, Any]], names: Any, told: Told) -> list[dict[str, Any]]:
    """By time, and of those that one person made the last; all where the times aren't told."""
    kept: list[dict[str, Any]] = []
    for each in sorted(annotations, key=_when):
        scorer = _scorer(each.get("completed_by"), names)
        earlier = [
            one
            for one in kept
            if _when(one) != _NEVER and _scorer(one.get("completed_by"), names) == scorer
        ]
        if earlier:
            told.note(_REVISED)
        kept = [one for one in kept if one not in earlier] + [each]
    return kept


def _place(task: Any, number: int) -> str:
    own = task.get("id") if isinstance(task, dict) else None
    return f"task {own}" if isinstance(own, int | str) else f"task number {number}"


def _when(annotation: dict[str, Any]) -> datetime:
    """When it was made; the beginning of time where it doesn't tell."""
    told = annotation.get("created_at") or annotation.get("updated_at")
    try:
        at = datetime.fromisoformat(str(told))
    except ValueError:
        return _NEVER
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _scorer(completed_by: Any, names: Any) -> str:
    """Who made an annotation: an e-mail address or name, else the number; nobody is nameless.

    `names` are those that our own export puts beside the tasks, by number.
    """
    if isinstance(completed_by, dict):
        full = " ".join(str(completed_by.get(part) or "") for part in ("first_name", "last_name"))
        known = (completed_by.get("email"), completed_by.get("username"), full.strip())
        if name := next((str(each) for each in known if each), None):
            return name
        completed_by = completed_by.get("id")
    if isinstance(names, dict) and str(completed_by) in names:
        return str(names[str(completed_by)] or NAMELESS)
    return NAMELESS if completed_by in (None, "") else f"annotator {completed_by}"


def _score(annotation: dict[str, Any], reading: Reading, told: Told) -> float | None:
    """The one score of an annotation, from the control that is named or from any."""
    found = list(_results(annotation, reading.score_column))
    if not found:
        return None
    scores: set[float | None] = set()
    for kind, value in found:
        if kind == "rating" and value == 0:
            scores.add(None)
            continue
        if kind == "rating" and reading.bounds == OURS:
            told.note(_STARS)
        scores.add(read_score(value, reading.bounds))
    if len(scores) > 1:
        raise NotTaken(
            TWO_SCORES,
            "this annotation has several scores; name the control with --score-column NAME.",
        )
    return scores.pop()


def _results(annotation: dict[str, Any], control: str | None) -> Iterator[tuple[str, Any]]:
    results = annotation.get("result")
    for each in results if isinstance(results, list) else []:
        if not isinstance(each, dict) or control not in (None, each.get("from_name")):
            continue
        kind, value = each.get("type"), each.get("value")
        if kind in ("number", "rating") and isinstance(value, dict):
            yield str(kind), value.get(kind)


def _images(task: Any, reading: Reading) -> tuple[tuple[str, ...], str | None]:
    """The paths that a task's image may mean, and the name of its file."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise NotTaken(
            NO_PATH,
            "it is no task of Label Studio, for it has no data; export as JSON (not JSON-MIN), and "
            "save a table as JSON lines (.jsonl).",
        )
    name = reading.path_column or "image"
    told = data.get(name)
    if isinstance(told, list) and told:
        told = told[0]
    if not isinstance(told, str) or not told.strip():
        raise NotTaken(NO_PATH, f"its data has no {name}; name what has it with --path-column.")
    return image_paths(told.strip())


def image_paths(told: str) -> tuple[tuple[str, ...], str | None]:
    """The paths that an image's address may mean, the likeliest first, and its file's name."""
    if "://" not in told and not told.startswith("/data/"):
        return (told,), PurePosixPath(told).name or None
    try:
        parts = urlsplit(told)
    except ValueError:
        raise NotTaken(NO_PATH, f"its image has the address {told!r}, which is none.") from None
    path = unquote(parts.path, errors="surrogateescape")
    if path.rstrip("/").endswith(_LOCAL):
        path = parse_qs(parts.query, errors="surrogateescape").get("d", [""])[0]
        # Under the document root: / in our own export, else often the folder of the export.
        paths = ["/" + path.lstrip("/"), path.lstrip("/")]
    else:
        paths = [path] if parts.scheme == "file" else [told, path]
    name = PurePosixPath(path).name
    if "/data/upload/" in path:
        name = _UPLOADED.sub("", name, count=1)
    return tuple(dict.fromkeys(each for each in paths if each)), os.path.basename(name) or None  # noqa: PTH119
