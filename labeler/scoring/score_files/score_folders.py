"""Scores as folders: 07_name/… and 7/… hold what has the score 7."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from labeler.collection.discovery import find_images
from labeler.core.errors import BadInput
from labeler.core.files.names import readable_name
from labeler.scoring.score_files.statements import (
    BROKEN,
    NO_NUMBER,
    NotTaken,
    ReaderNotes,
    ReadOptions,
    Refused,
    Statement,
    Statements,
    read_score,
)

_NUMBERED = re.compile(r"(\d+(?:[.,]\d+)?)(?![^\W_])")  # 07_name, 7, 7.5 name, 7,5; not 2nd


def folder_score(name: str) -> str | None:
    """The number that a folder's name begins with, `None` if it begins with none."""
    found = _NUMBERED.match(name)
    return found[1] if found else None


def scored_folders(root: Path) -> list[Path]:
    """The folders in `root` whose names begin with a number, or `root` itself if its own does."""
    inside = [path for path in _folders(root) if folder_score(path.name)]
    return inside or ([root] if folder_score(root.name) else [])


def read_score_folders(root: Path, reading: ReadOptions, told: ReaderNotes) -> Statements:
    """A statement for each picture in each of the folders, at any depth below it.

    A folder whose name begins with no number on the scale is refused as one. Raises `BadInput` if
    there is none that does.
    """
    root = Path(os.path.realpath(root))
    scored = scored_folders(root)
    if not scored:
        raise BadInput(
            f"{root} holds no folder whose name begins with a score, such as 07_name; check it."
        )
    if scored != [root]:
        yield from _others(root, scored)
    for folder in scored:
        try:
            score = read_score(folder_score(folder.name), reading.bounds)
        except NotTaken as error:
            yield error.at(folder.name)
            continue
        found = find_images(folder)
        for path, reason in found.closed:
            told.note(f"{path} was passed over. {reason}")
        for file in found.files:
            place = readable_name(os.path.relpath(file.path, root))
            if file.problem:
                yield Refused(place, BROKEN, file.problem)
            else:
                yield Statement(place, (file.path,), score)


def _others(root: Path, scored: list[Path]) -> Iterator[Refused]:
    for path in _folders(root):
        if path not in scored and not path.name.startswith("."):
            name = readable_name(path.name)
            yield Refused(name, NO_NUMBER, "this folder's name begins with no score.")


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise BadInput(f"Can't read {root}: {error.strerror}; check the path.") from error
