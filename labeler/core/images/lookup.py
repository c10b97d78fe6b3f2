"""Matching of names to pictures whose files are spelled differently.

One way to read names for everything that names pictures: letters composed or decomposed (é as one
character or as two), backslashes between folders, drives and folders of another machine, addresses
of files and paths between quotes, and the bare keys of img2dataset and webdataset, which leave the
ending out. A name that several pictures might have means none of them.
"""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import db.images.locations
import db.images.lookup
import db.scores.events
from db.records import Image
from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import Line
from labeler.core.files.typed_paths import path_within
from labeler.core.project import Project
from model.images.formats import image_extensions

_DRIVE = re.compile(r"[A-Za-z]:(?=/)")
_LEAST_TAIL = 2  # parts of a path that must agree where its beginning does not


def normalised(name: str) -> str:
    """Return a path with composed letters (NFC) and slashes, equal for all ways to write it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def is_key(name: str) -> bool:
    """Return whether the name has no extension of a picture or a vector."""
    suffix = os.path.splitext(normalised(name))[1].lower()  # noqa: PTH122
    return bool(name) and suffix not in image_extensions() and suffix not in _ENDINGS


_ENDINGS = (".npy", ".txt", ".json", ".csv")


class Lookup:
    """The pictures of a project by all spellings of their paths.

    `paths` returns their ids by path; it is called once, when a name first needs it."""

    def __init__(self, paths: Callable[[], Mapping[str, int]]) -> None:
        self._paths = paths
        self._by_path: dict[str, int | None] | None = None
        self._by_key: dict[str, int | None] = {}
        self._named: dict[str, list[str]] = {}  # paths by their last part, with and without ending

    def find(self, given: str, absolute: Iterable[str] = ()) -> int | None:
        """Return the only image that `given` means, else None; `absolute` are its possible paths.

        For names that are not a picture's path as they stand.
        """
        candidates = list(absolute)
        plain = path_within(given)
        if plain == given and not _may_help(given, candidates):
            return None
        given, candidates = plain, [*candidates, plain]
        if not given:
            return None
        by_path = self._read()
        for path in map(normalised, candidates):
            found = by_path.get(path) or (self._by_key.get(path) if is_key(path) else None)
            if found:
                return found
        return self._by_tail(normalised(given))

    def _by_tail(self, given: str) -> int | None:
        """By the end of the path, where the folders before it are another machine's."""
        name = _DRIVE.sub("", given)
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        paths = self._named.get(parts[-1], ())
        shortest = 1 if is_key(given) and len(parts) == 1 else _LEAST_TAIL
        by_path = self._read()
        for length in range(len(parts), shortest - 1, -1):
            tail = "/".join(("", *parts[-length:]))
            found = {by_path[path] for path in paths if _ends(path, tail, is_key(given))}
            if found:
                return found.pop() if len(found) == 1 else None
        return None

    def _read(self) -> dict[str, int | None]:
        if self._by_path is None:
            self._by_path = {}
            for path, image_id in self._paths().items():
                whole = normalised(path)
                key, name = os.path.splitext(whole)[0], whole.rpartition("/")[2]  # noqa: PTH122
                _note(self._by_path, whole, image_id)
                _note(self._by_key, key, image_id)
                for last in {name, key.rpartition("/")[2]}:
                    self._named.setdefault(last, []).append(whole)
        return self._by_path


def on_disk(folder: Path, given: str) -> Path | None:
    """Return the file in `folder` that a name means, however it is written; None if absent."""
    for name in spellings(given):
        path = folder / name
        if os.path.isfile(path):  # noqa: PTH113 - also answers for names too long
            return path
    if not is_key(given):
        return None
    for name in spellings(given):
        path = folder / name
        found = [
            each
            for suffix in image_extensions()
            if os.path.isfile(each := path.with_name(f"{path.name}{suffix}"))  # noqa: PTH113
        ]
        if len(found) == 1:
            return found[0]
    return None


def spellings(given: str) -> list[str]:
    """Return the ways to write the name in a folder, the given one first."""
    named = dict.fromkeys((given, path_within(given)))
    ways = [way for each in named for way in (each, each.replace("\\", "/"))]
    forms = [unicodedata.normalize(form, way) for way in ways for form in ("NFC", "NFD")]
    return [way for way in dict.fromkeys((*ways, *forms)) if way and "\0" not in way]


def _may_help(given: str, candidates: list[str]) -> bool:
    """False for a plain path of a picture: to look for it once more would find nothing."""
    if "\\" in given or is_key(given) or _DRIVE.match(normalised(given)):
        return True
    return not (given.isascii() and all(path.isascii() for path in candidates))


def _note(known: dict[str, int | None], name: str, image_id: int) -> None:
    known[name] = image_id if known.get(name, image_id) == image_id else None


def _ends(path: str, tail: str, key: bool) -> bool:
    whole = os.path.splitext(path)[0] if key and not path.endswith(tail) else path  # noqa: PTH122
    return f"/{whole}".endswith(tail)


@dataclass(frozen=True)
class BadLine:
    line: int
    problem: str


def find_image(project: Project, named: str) -> Image:
    """Return the image that `named` means: a whole number is an id, anything else a path.

    For a file whose name is a number, write ./12. Raises `BadInput` if it isn't in the project.
    """
    if not (named.isascii() and named.isdigit()):
        return _find_by_path(project, named)
    found = db.images.lookup.get(project.store, int(named)) if len(named) < 19 else None
    if found is None:
        raise BadInput(
            f"No image has the id {named}; give a path instead, and for a file whose name is "
            f"{named} write ./{named}"
        )
    return found


def _find_by_path(project: Project, named: str) -> Image:
    for path in _spellings(Path.cwd(), named):
        if found := db.images.lookup.find_by_path(project.store, path):
            return found
    lookup = Lookup(lambda: db.images.locations.ids_by_path(project.store, seen_only=True))
    meant = lookup.find(named, _spellings(Path.cwd(), normalised(named)))
    if meant is not None and (found := db.images.lookup.get(project.store, meant)):
        return found
    if not os.path.exists(named):  # noqa: PTH110 - also answers for names too long for the system
        raise BadInput(f"{named} does not exist; check the path.")
    raise BadInput(
        f"{named} is not in this project yet; add it with: labeler import {shlex.quote(named)}"
    )


def _spellings(folder: Path, named: str) -> list[str]:
    """The absolute paths that `named`, seen from `folder`, may be stored under."""
    if not named or "\0" in named:
        return []
    # Path.resolve() follows symlinks.
    ways = [os.path.abspath(folder / way) for way in (named, path_within(named))]  # noqa: PTH100
    return list(dict.fromkeys(path for way in ways for path in (way, os.path.realpath(way))))


def image_on_line(ids: dict[str, int], folder: Path, line: Line, lookup: Lookup) -> int:
    """Return the id of the image in the line's column `path`, absolute or relative to `folder`.

    `ids` are of all known paths, `lookup` knows other ways to write them; raises `BadInput`.
    """
    given = line.cell("path")
    for named in (given, given.strip()):
        for path in _spellings(folder, named):
            if path in ids:
                return ids[path]
        found = lookup.find(named, _spellings(folder, normalised(named)))
        if found is not None:
            return found
    if not given.strip():
        raise BadInput("there is no path in this line; fill in its path column.")
    if line.doubt is not None:
        raise BadInput(line.doubt)
    if os.path.exists(folder / given):  # noqa: PTH110 - also answers for names too long
        raise BadInput(f"{given} is not in this project; import it first.")
    raise BadInput(f"{given} does not exist; paths are absolute or relative to the CSV file.")
