"""The source that an imported path belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import db.images.sources
from db.records import Source
from db.store.store import Store
from labeler.core.errors import BadInput
from labeler.core.files.names import readable_name

Band = tuple[float, float]


def source_for(
    store: Store, path: Path, together: Sequence[Path], name: str | None, expect: Band | None
) -> tuple[Source, bool]:
    """Return the source of `path`, made if needed; a given `expect` is set on it.

    Named, it is the source of that name, its root what the paths imported `together` share; a new
    one that a whole source becomes, and nothing else, is expected to be what that was. Not
    named, it is the source whose root the path is, or lies in; else a new one called after the
    folder. What is expected reaches the pictures: it goes to the source that those below the path
    are of, and a part of a source becomes one of its own. The second value is whether pictures that
    are known change over to the source. Raises `BadInput` where it can't be told which is meant.
    """
    known = db.images.sources.sources(store)
    if name is not None:
        shared = os.path.commonpath([_folder(each) for each in together])
        if expect is None and name not in {source.name for source in known}:
            expect = _kept_band(store, known, together)
        return db.images.sources.add_source(store, name, shared, expect), True
    folder = _folder(path)
    own = _with_root(known, folder)
    if expect is None:
        found = own or _around(known, folder)
        return found or _new(store, known, folder, None), False
    found, moves = _expected_of(store, known, own, path)
    if found is None:
        return _new(store, known, folder, expect), moves
    return db.images.sources.add_source(store, found.name, found.root, expect), moves


def _kept_band(store: Store, known: list[Source], together: Sequence[Path]) -> Band | None:
    """What is expected of the one source that all the paths are of, and of which nothing is left
    elsewhere."""
    if len(together) != 1:
        return None
    below = db.images.sources.sources_below(store, str(together[0]))
    for source in known:
        within = source.root is not None and together[0].is_relative_to(source.root)
        if below == {source.id: True} and within:
            return band_of(source)
    return None


def band_of(source: Source) -> Band | None:
    """Return the band (low, high), 0–10, expected of a source's hand scores; None for none."""
    if source.expect_low is None or source.expect_high is None:
        return None
    return source.expect_low, source.expect_high


def _expected_of(
    store: Store, known: list[Source], own: Source | None, path: Path
) -> tuple[Source | None, bool]:
    """Which source an expectation of `path` is about (None: one to be made), and whether the known
    pictures there have to change over to it."""
    below = db.images.sources.sources_below(store, str(path))
    if not below or (own is not None and own.id in below):
        return own, False
    if len(below) > 1:
        names = ", ".join(source.name for source in known if source.id in below)
        raise BadInput(
            f"The pictures in {readable_name(path)} are of several sources ({names}), so it can't "
            "be told of which --expect speaks; name the source that they are all to be: --source "
            "NAME."
        )
    ((source_id, is_whole),) = below.items()
    if not is_whole:
        return own, True
    return next(source for source in known if source.id == source_id), False


def _new(store: Store, known: list[Source], folder: Path, expect: Band | None) -> Source:
    name = _free_name(folder.name or "images", {source.name for source in known})
    return db.images.sources.add_source(store, name, str(folder), expect)


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
