"""Scores in names of folders: the pictures in 07_name/ and 7/ have the score 7."""

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
    ReaderNotes,
    ReadOptions,
    Refused,
    Statement,
    StatementError,
    Statements,
    read_score,
)

_NUMBERED = re.compile(r"(\d+(?:[.,]\d+)?)(?![^\W_])")  # 07_name, 7, 7.5 name, 7,5; not 2nd


def folder_score(name: str) -> str | None:
    """Return the number at the start of a folder's name, None if there is none."""
    match = _NUMBERED.match(name)
    return match[1] if match else None


def scored_folders(root: Path) -> list[Path]:
    """Return the folders in `root` with names that start with a number, else `root` if its does."""
    inside = [path for path in _folders(root) if folder_score(path.name)]
    return inside or ([root] if folder_score(root.name) else [])


def read_score_folders(root: Path, reading: ReadOptions, notes: ReaderNotes) -> Statements:
    """Yield a statement for each picture at any depth in each of the scored folders.

    A folder whose name starts with no number on the scale gives one `Refused`. Raises `BadInput` if
    there is no scored folder.
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
        except StatementError as error:
            yield error.at(folder.name)
            continue
        result = find_images(folder)
        for path, reason in result.closed:
            notes.note(f"{path} was passed over. {reason}")
        for file in result.files:
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
