"""Which source an imported path belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from db import images
from db.records import Source
from db.store import Store

Band = tuple[float, float]


def source_for(
    store: Store, path: Path, together: Sequence[Path], name: str | None, expect: Band | None
) -> Source:
    """The source of `path`, made if needed; a given `expect` is set on it.

    Named, it is the source of that name, its root what the paths imported `together` share. Not
    named, it is the source whose root the path is, or (when nothing is expected of this part
    alone) lies in; else a new one called after the folder.
    """
    if name is not None:
        shared = os.path.commonpath([_folder(each) for each in together])
        return images.add_source(store, name, shared, expect)
    folder = _folder(path)
    known = images.sources(store)
    found = _with_root(known, folder) or (None if expect else _around(known, folder))
    if found is None:
        taken = {source.name for source in known}
        return images.add_source(
            store, _free_name(folder.name or "images", taken), str(folder), expect
        )
    return images.add_source(store, found.name, found.root, expect) if expect else found


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _with_root(known: list[Source], folder: Path) -> Source | None:
    return next((source for source in known if source.root == str(folder)), None)


def _around(known: list[Source], folder: Path) -> Source | None:
    """The source whose root lies closest above `folder`."""
    above = [source for source in known if source.root and folder.is_relative_to(source.root)]
    return max(above, key=lambda source: len(source.root or ""), default=None)


def _free_name(name: str, taken: set[str]) -> str:
    candidates = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)
