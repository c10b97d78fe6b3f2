"""The files to predict: every image in the given paths, each once."""

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
    """An image file to predict."""

    file: FoundFile
    shown: str  # the path as the user would write it
    relative: str  # the path within the input folder


@dataclass(slots=True)
class InputFiles:
    """The files to predict; `unreadable` are (path, reason) of files and folders."""

    files: list[InputFile]
    unreadable: list[tuple[str, str]]


def input_files(
    paths: Sequence[Path], leave_out: Path | None = None, links: OutsideLinks | None = None
) -> InputFiles:
    """Find every image in `paths`; one that several paths contain belongs to the first of them.

    Folders are searched recursively, archives like folders. `leave_out` is a folder to skip,
    `links` decides which links out of `paths` are followed. Raises `BadInput` for a missing path.
    """
    excluded = Path(os.path.realpath(leave_out)) if leave_out else None
    many = sum(map(_holds_others, paths)) > 1
    files: dict[str, InputFile] = {}
    unreadable: list[tuple[str, str]] = []
    for path in paths:
        root = Path(os.path.realpath(path))
        if not root.exists():
            raise BadInput(f"{readable_name(path)} is not there; check the path.")
        # A path within `leave_out` was named by the user, so it is searched.
        inner_excluded = None if excluded is None or root.is_relative_to(excluded) else excluded
        discovered = find_images(path, links)
        unreadable += [*discovered.closed, *discovered.noted]
        for file in discovered.files:
            if inner_excluded and Path(file.path).is_relative_to(inner_excluded):
                continue
            files.setdefault(file.path, _input_file(path, root, file, many=many))
    unreadable += [(each.shown, each.file.problem) for each in files.values() if each.file.problem]
    return InputFiles([each for each in files.values() if not each.file.problem], unreadable)


def _holds_others(path: Path) -> bool:
    return path.is_dir() or may_be_archive(path)


def _input_file(path: Path, root: Path, file: FoundFile, *, many: bool) -> InputFile:
    """Return `file` as an input; with `many` folders the relative path begins with the folder's
    name, so that their copies don't mix.
    """
    if file.path == str(root):
        return InputFile(file, str(path), path.name)
    inside = Path(file.path).relative_to(root)
    return InputFile(file, str(path / inside), str(root.name / inside if many else inside))
