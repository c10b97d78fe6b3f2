"""Scores in Hugging Face imagefolders: metadata files in each split or at the top."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labeler.core.files.typed_paths import path_seen_from
from labeler.scoring.score_files.statements import (
    NO_FILE,
    Place,
    ReaderNotes,
    ReadOptions,
    Refused,
    Statement,
    Statements,
)
from labeler.scoring.score_files.tables import read_table

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"
_DEEPEST = 3  # folders below the one that is named: data/train/…


def metadata_files(folder: Path) -> Iterator[Path]:
    """Yield the metadata files of an imagefolder, the topmost one on each path."""
    waiting = [(folder, 0)]
    while waiting:
        here, depth = waiting.pop()
        try:
            names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in os.scandir(here)}
        except OSError:
            continue
        # No pipes: reading one may never end.
        if names_here := [name for name in METADATA if name in names and (here / name).is_file()]:
            yield here / names_here[0]
        elif depth < _DEEPEST:
            inside = sorted(name for name, is_folder in names.items() if is_folder)
            waiting += [(here / name, depth + 1) for name in reversed(inside)]


def read_image_folder(folder: Path, reading: ReadOptions, notes: ReaderNotes) -> Statements:
    """Yield the statements in all metadata files; with several, their places name the file.

    Paths are relative to the metadata file, in the column `file_name` unless another is named.
    Raises `BadInput` where a metadata file can't be read.
    """
    # Resolved, since paths in the metadata are compared with it.
    folder = Path(os.path.realpath(folder))
    files = list(metadata_files(folder))
    own = replace(reading, path_column=reading.path_column or FILE_NAME)
    for file in files:
        shown = file.relative_to(folder)
        for each in read_table(file, own, notes):
            own_place = each.place if len(files) == 1 else f"{shown}, line {each.place}"
            yield _place(each, own_place, file.parent, folder)


def _place(
    each: Statement | Refused, place: Place, folder: Path, root: Path
) -> Statement | Refused:
    """Return the statement with this place and its paths relative to the metadata's `folder`.

    It is refused if a path leads out of `root`.
    """
    if isinstance(each, Refused):
        return replace(each, place=place)
    images = tuple(dict.fromkeys(path_seen_from(folder, name) for name in each.images))
    for name in images:
        if not Path(os.path.normpath(folder / name)).is_relative_to(root):
            problem = f"{name} leads out of {root}; an imagefolder's images lie within it."
            return Refused(place, NO_FILE, problem)
    return replace(each, place=place, images=tuple(str(folder / name) for name in images))
