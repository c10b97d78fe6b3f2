"""The files that predictions are wanted for: found under what was given, each once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labeler.collection.discovery import FoundFile, find_images
from labeler.collection.outside_links import OutsideLinks
from labeler.core.archives.archives import may_be_archive
from labeler.core.errors import BadInput
from labeler.core.files.names import readable_name


@dataclass(frozen=True, slots=True)
class InputFile:
    """`shown` is the path as the person would write it, `relative` that within what was given."""

    file: FoundFile
    shown: str
    relative: str


@dataclass(slots=True)
class InputFiles:
    """`unreadable` are (path, reason): what can't be opened, and folders that can't be listed."""

    files: list[InputFile]
    unreadable: list[tuple[str, str]]


def input_files(
    paths: Sequence[Path], leave_out: Path | None = None, links: OutsideLinks | None = None
) -> InputFiles:
    """Every image in `paths`, under the first of them that holds it.

    Folders are searched to the bottom and archives as if they were folders. `leave_out` is a folder
    not to look into, `links` says which of those that lead out are followed. Raises `BadInput` for
    a path that isn't there.
    """
    skipped = Path(os.path.realpath(leave_out)) if leave_out else None
    many = sum(map(_holds_others, paths)) > 1
    wanted: dict[str, InputFile] = {}
    unreadable: list[tuple[str, str]] = []
    for path in paths:
        root = Path(os.path.realpath(path))
        if not root.exists():
            raise BadInput(f"{readable_name(path)} is not there; check the path.")
        # A folder around what was given hides none of it: then it was asked for by name.
        inner = None if skipped is None or root.is_relative_to(skipped) else skipped
        found = find_images(path, links)
        unreadable += [*found.closed, *found.noted]
        for file in found.files:
            if inner and Path(file.path).is_relative_to(inner):
                continue
            wanted.setdefault(file.path, _wanted(path, root, file, many=many))
    unreadable += [(one.shown, one.file.problem) for one in wanted.values() if one.file.problem]
    return InputFiles([one for one in wanted.values() if not one.file.problem], unreadable)


def _holds_others(path: Path) -> bool:
    return path.is_dir() or may_be_archive(path)


def _wanted(given: Path, root: Path, file: FoundFile, *, many: bool) -> InputFile:
    """`many`: several folders are given, so the copies are kept apart by the folders' names."""
    if file.path == str(root):
        return InputFile(file, str(given), given.name)
    inside = Path(file.path).relative_to(root)
    return InputFile(file, str(given / inside), str(root.name / inside if many else inside))
