"""A preview of a pasted path, before anything is imported from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from labeler.core.archives.archives import look_into
from labeler.core.errors import BadInput
from labeler.core.files.typed_paths import typed_path

MAX_COUNTED = 50_000  # files counted at most, so that the look stays quick on a whole disk


@dataclass(frozen=True, slots=True)
class PathPreview:
    """What a path holds: the number of files, or the problem."""

    path: Path
    files: int  # found so far, of any kind; in an archive its pictures
    more: bool  # there are more than were counted
    problem: str | None  # why it can't be imported, as one sentence


def preview_path(text: str) -> PathPreview:
    """Return what is at the path in `text`."""
    try:
        path = typed_path(text)
    except BadInput as error:
        return PathPreview(Path(), 0, False, str(error))
    if not path.is_absolute():
        return PathPreview(
            path, 0, False, f"{path} is not a whole path; paste it from its first /."
        )
    try:
        if not path.exists():
            return PathPreview(path, 0, False, f"There is nothing at {path}; check the spelling.")
        archive = look_into(path)
        files, more = (len(archive.pictures), False) if archive else _count(path)
    except OSError as error:
        return PathPreview(path, 0, False, f"{path} can't be read: {error.strerror}.")
    if not files:
        why = archive.problem if archive else None
        return PathPreview(path, 0, False, f"{path}: {why}" if why else f"{path} holds no files.")
    return PathPreview(path, files, more, None)


def _count(path: Path) -> tuple[int, bool]:
    if path.is_file():
        return 1, False
    os.scandir(path).close()  # raises where the folder itself can't be opened
    files = 0
    for _, _, names in os.walk(path):
        files += len(names)
        if files >= MAX_COUNTED:
            return MAX_COUNTED, True
    return files, False
