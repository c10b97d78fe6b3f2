"""Matching of rows to images: by path, and by file name where that is unique."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labeler.core.files.names import readable_name
from labeler.core.files.typed_paths import path_seen_from
from labeler.embedding.files.block import NPY


class NamedImages:
    """The images of a project by path, by unique file name, and by unique name without suffix."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._by_path = ids
        self._whole = _unique((os.path.basename(path), i) for path, i in ids.items())  # noqa: PTH119
        self._stems = _unique((_stem(path), i) for path, i in ids.items())

    def image(self, path: str) -> int | None:
        """Return the image id for a path, None if unknown; `cat.npy` and `cat` match cat.jpg."""
        if path in self._by_path:
            return self._by_path[path]
        suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
        by_stem = self._stems.get(_stem(path)) if suffix in ("", NPY) else None
        return self._whole.get(os.path.basename(path)) or by_stem  # noqa: PTH119


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int | None]:
    """Return the image id by name; None for a name of several images."""
    ids: dict[str, int | None] = {}
    for name, image_id in pairs:
        ids[name] = image_id if ids.get(name, image_id) == image_id else None
    return ids


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122


def absolute(base: Path, names: Sequence[str]) -> list[str]:
    """Return the absolute paths of `names`, relative to `base`, as an import would store them.

    URLs are returned unchanged.
    """
    paths, folders = [], {}
    for written in names:
        name = path_seen_from(base, written)
        if "://" in name:
            paths.append(name)
            continue
        folder, _, last = name.replace("\0", "\\0").rpartition(os.sep)
        if name.startswith(os.sep):
            folder = folder or os.sep
        if folder not in folders:  # resolved once: most names share their folder
            folders[folder] = _real(os.path.join(base, folder))  # noqa: PTH118
        paths.append(f"{folders[folder]}{os.sep}{last}")
    return paths


def _real(folder: str) -> str:
    """Return the resolved folder as text that the store can hold, whatever its bytes."""
    try:
        return readable_name(os.path.realpath(folder).rstrip(os.sep))
    except OSError:  # links in a circle
        return readable_name(folder)
