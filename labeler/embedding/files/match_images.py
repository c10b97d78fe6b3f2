"""Which images the rows of a file mean: by path, and by the file's name where that is unique."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labeler.core.files.names import readable_name
from labeler.core.files.typed_paths import path_seen_from
from labeler.embedding.files.block import NPY


class NamedImages:
    """The images of a project by their files' names, as far as these tell them apart."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._by_path = ids
        self._whole = _unique((os.path.basename(path), i) for path, i in ids.items())  # noqa: PTH119
        self._stems = _unique((_stem(path), i) for path, i in ids.items())

    def image(self, path: str) -> int | None:
        """The image meant by a path; also `cat.npy`, or a mere `cat`, is about cat.jpg."""
        if path in self._by_path:
            return self._by_path[path]
        suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
        by_stem = self._stems.get(_stem(path)) if suffix in ("", NPY) else None
        return self._whole.get(os.path.basename(path)) or by_stem  # noqa: PTH119


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int | None]:
    """None where several images have one name."""
    found: dict[str, int | None] = {}
    for name, image_id in pairs:
        found[name] = image_id if found.get(name, image_id) == image_id else None
    return found


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122


def absolute(base: Path, names: Sequence[str]) -> list[str]:
    """The paths that `names` mean, as an import of their folder would call them; addresses in the
    net stay as they are.
    """
    found, folders = [], {}
    for given in names:
        name = path_seen_from(base, given)
        if "://" in name:
            found.append(name)
            continue
        folder, _, last = name.replace("\0", "\\0").rpartition(os.sep)
        if name.startswith(os.sep):
            folder = folder or os.sep
        if folder not in folders:  # nearly all are in the folder of the one before
            folders[folder] = _real(os.path.join(base, folder))  # noqa: PTH118
        found.append(f"{folders[folder]}{os.sep}{last}")
    return found


def _real(folder: str) -> str:
    """As text that a store can hold: its bytes may be no UTF-8."""
    try:
        return readable_name(os.path.realpath(folder).rstrip(os.sep))
    except OSError:  # links in a circle
        return readable_name(folder)
