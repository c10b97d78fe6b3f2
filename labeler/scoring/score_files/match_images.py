"""Matching of statements to images: by path, by content, else by a unique file name."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import db.images.locations
import db.images.lookup
from db.store.store import Store
from labeler.core.archives.archives import lies_there, through
from labeler.core.files.typed_paths import path_within
from labeler.core.images.lookup import Lookup, normalised, on_disk
from labeler.scoring.score_files.statements import (
    NO_FILE,
    NOT_IMPORTED,
    NOT_UNIQUE,
    Statement,
    StatementError,
    cut_name,
    uploaded_name,
)

_SHOWN = 1000  # characters of a path


class ImageMatcher:
    """The images of one batch of statements; relative paths start from `folder`.

    `by_name` counts the statements that only a file name matched.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        statements: Sequence[Statement],
        lookup: Lookup | None = None,
    ) -> None:
        self._folder = folder
        self._lookup = lookup or Lookup(
            lambda: db.images.locations.ids_by_path(store, seen_only=True)
        )
        self._real_folders: dict[str, str] = {}
        plain = {each: _absolute(folder, each.images) for each in _distinct(statements)}
        self._ids = db.images.locations.ids_of_paths(
            store, {path for each in plain.values() for path in each}
        )
        unknown = [each for each, found in plain.items() if self._first(found) is None]
        # Only for unknown paths: resolving links reads every folder of the path.
        real = {self._real(path) for each in unknown for path in plain[each]}
        self._ids |= db.images.locations.ids_of_paths(store, real)
        hashes = {each.content_hash for each in unknown if each.content_hash}
        self._by_hash = db.images.lookup.ids_of_hashes(store, hashes)
        names = {
            each.file_name for each in unknown if each.file_name and self._by_path(each) is None
        }
        self._by_name = db.images.locations.ids_of_names(store, names)
        uploaded = {
            uploaded_name(each.file_name)
            for each in unknown
            if each.is_uploaded and each.file_name in names - self._by_name.keys()
        }
        self._uploaded = db.images.locations.ids_of_names(store, uploaded, uploaded_name)
        self._cut = _ids_of_cut_names(store, uploaded - self._uploaded.keys())
        self.by_name = 0  # how many statements found their image by its file's name alone

    def image(self, statement: Statement) -> int:
        """Return the image's id; raises `StatementError` where the project has no such image."""
        image = self._by_path(statement)
        if image is not None:
            return image
        if statement.content_hash in self._by_hash:
            return self._by_hash[statement.content_hash]
        for name in statement.images:
            image = self._lookup.find(name, _absolute(self._folder, (name, normalised(name))))
            if image is not None:
                return image
        named = self._called(statement)
        if len(named) == 1:
            self.by_name += 1
            return next(iter(named))
        if named:
            raise StatementError(
                NOT_UNIQUE,
                f"{len(named)} images in this project are called {statement.file_name}; give "
                "their paths.",
            )
        raise self._problem(statement)

    def file(self, statement: Statement) -> str | None:
        """Return the path of the file that is meant, or of its archive; None if there is none."""
        for path in self._candidates(statement):
            inside = through(path)
            if inside and lies_there(path):
                return inside[0]
            if os.path.exists(path):  # noqa: PTH110 - also answers for names too long
                return path
        for name in statement.images:
            if spelled := on_disk(self._folder, name):
                return self._real(os.path.abspath(spelled))  # noqa: PTH100
        return None

    def _problem(self, statement: Statement) -> StatementError:
        name = statement.images[0]
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
        if statement.doubt is not None:
            return StatementError(NO_FILE, statement.doubt)
        if (there := self.file(statement)) is not None:
            return StatementError(NOT_IMPORTED, f"{there} is not in this project; import it first.")
        return StatementError(
            NO_FILE, f"{shown} does not exist; paths are absolute or relative to the file."
        )

    def _called(self, statement: Statement) -> set[int]:
        """Return the images with the statement's file name, also as a server changed it."""
        name = statement.file_name or ""
        if name not in self._by_name and statement.is_uploaded:
            spelled = uploaded_name(name)
            return self._uploaded.get(spelled) or self._cut.get(spelled, set())
        return self._by_name.get(name, set())

    def _by_path(self, statement: Statement) -> int | None:
        plain = _absolute(self._folder, statement.images)
        image = self._first(plain)
        return image if image is not None else self._first([self._real(path) for path in plain])

    def _first(self, candidates: Sequence[str]) -> int | None:
        return next((self._ids[path] for path in candidates if path in self._ids), None)

    def _real(self, path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        whole = os.path.join(self._real_folders[folder], name)  # noqa: PTH118
        return os.path.realpath(whole) if os.path.islink(whole) else whole  # noqa: PTH114

    def _candidates(self, statement: Statement) -> list[str]:
        return [self._real(path) for path in _absolute(self._folder, statement.images)]


def _ids_of_cut_names(store: Store, names: Collection[str]) -> dict[str, set[int]]:
    """Return the images, by name, whose file names a server may have cut to one of `names`."""
    name_of_cut = {cut: name for name in names if (cut := cut_name(name))}
    lengths = {len(beginning) for beginning, _ in name_of_cut}

    def spelled(name: str) -> str:
        stem, suffix = os.path.splitext(uploaded_name(name))  # noqa: PTH122
        begins = ((stem[:length], suffix) for length in lengths if len(stem) > length)
        return next((name_of_cut[cut] for cut in begins if cut in name_of_cut), "")

    return db.images.locations.ids_of_names(store, name_of_cut.values(), spelled)


def _distinct(statements: Sequence[Statement]) -> Sequence[Statement]:
    return list(dict.fromkeys(statements))


def _absolute(folder: Path, named: Sequence[str]) -> list[str]:
    """Return the absolute paths that the names, relative to `folder`, may be stored as."""
    names = dict.fromkeys(way for name in named for way in (name, path_within(name)))
    usable = [name for name in names if name and "\0" not in name and _is_text(name)]
    # Path.resolve() would follow links.
    return [os.path.abspath(folder / name) for name in usable]  # noqa: PTH100


def _is_text(name: str) -> bool:
    """Return whether the store can hold the name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
