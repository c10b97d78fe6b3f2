"""Pictures inside archives: a path may pass through a tar, zip or Parquet file as through a folder.

`/data/00000.tar/000000001.jpg` is the file 000000001.jpg in that tar. Nothing is unpacked: an
archive is looked through once per process, and its files are then read where they lie. Names that
lead out of the archive are left out, and so is all that is no plain file.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from labeler.core.archives.protocol import (
    MOST_BYTES,
    UNKNOWN_SIZE,
    Archive,
    Listing,
    check_plain,
)
from labeler.core.archives.tar_archive import TarArchive
from labeler.core.archives.zip_archive import ZipArchive
from model.errors import UnreadableImage

_MOST_NAMES = 300_000  # that are kept in memory, of all archives together
_THROUGH = re.compile(rf"\.(?:tar|parquet|zip|cbz){re.escape(os.sep)}", re.IGNORECASE)
_GONE = "It is not in its archive any more; import the archive again."


def may_be_archive(path: Path) -> bool:
    """Return whether the name is an archive's; a Parquet file may still hold no pictures."""
    return path.suffix.lower() in _KINDS


def look_into(path: Path) -> Listing | None:
    """Return the listing of an archive; None for a Parquet file without pictures and other files.

    One that can't be read at all has nothing but a `problem`.
    """
    if not may_be_archive(path):
        return None
    try:
        archive = _opened(str(path))
    except UnreadableImage as error:
        return Listing(problem=str(error))
    except OSError as error:
        return Listing(problem=f"It can't be read ({error.strerror or 'damaged'}); get it again.")
    return None if archive is None else archive.listing


def names_of_rows(path: Path) -> dict[int, str]:
    """Return the name of each row's picture in a Parquet file; empty for one without pictures."""
    try:
        archive = _opened(str(path)) if path.suffix.lower() == ".parquet" else None
    except (UnreadableImage, OSError):
        return {}
    return {} if archive is None else archive.rows()


def through(path: str | Path) -> tuple[str, str] | None:
    """Return the archive in a path, and the member's name in it; None for any other path."""
    path = str(path)
    for match in _THROUGH.finditer(path):
        archive = path[: match.end() - 1]
        if os.path.isfile(archive):  # noqa: PTH113
            return archive, path[match.end() :].replace(os.sep, "/")
    return None


def open_member(archive: str, name: str) -> BinaryIO:
    """Open a member of an archive; raises `UnreadableImage` (also if it is empty) or `OSError`.

    A large one in a tar is read from the archive, not into memory: many at once would fill it.
    """
    archive_file = _opened(archive)
    if isinstance(archive_file, TarArchive) and (part := archive_file.part(name)):
        return io.BufferedReader(part)
    data = read_member(archive, name)
    if not data:
        raise UnreadableImage("It is empty (0 bytes); get the archive again.")
    return io.BytesIO(data)


def read_member(archive: str, name: str, most: int = MOST_BYTES) -> bytes:
    """Return a member's first `most` bytes; raises `UnreadableImage` or `OSError`."""
    archive_file = _opened(archive)
    try:
        if archive_file is None:
            raise KeyError(name)
        return archive_file.read(name, most)
    except KeyError:
        raise UnreadableImage(_GONE) from None


def is_unchanged(path: str, mtime_ns: int, size_bytes: int) -> bool:
    """Return whether the file, or the archive around it, has the same size and time.

    Raises `OSError` if it does not exist.
    """
    inside = through(path)
    if inside is None:
        status = os.stat(path)  # noqa: PTH116
        return (status.st_mtime_ns, status.st_size) == (mtime_ns, size_bytes)
    listing = look_into(Path(inside[0])) or Listing()
    there = listing.pictures.get(inside[1], 0) in (size_bytes, UNKNOWN_SIZE)
    return there and os.stat(inside[0]).st_mtime_ns == mtime_ns  # noqa: PTH116


def lies_there(path: str) -> bool:
    """Return whether there is a file or link at the path, or a member of the archive in it."""
    inside = through(path)
    if inside is None:
        return os.path.lexists(path)
    listing = look_into(Path(inside[0]))
    return listing is not None and inside[1] in listing.pictures


def _parquet(path: str) -> Archive | None:
    from labeler.core.archives.parquet_images import parquet_archive  # takes long to load

    return parquet_archive(path)


_KINDS: dict[str, Callable[[str], Archive | None]] = {
    ".tar": TarArchive,
    ".parquet": _parquet,
    ".zip": ZipArchive,
    ".cbz": ZipArchive,
}
_Stamp = tuple[str, int, int]
# Of files and no project: whoever reads a picture by its path has none at hand.
_kept: OrderedDict[_Stamp, Archive | None] = OrderedDict()
_lock = threading.Lock()


def _opened(path: str) -> Archive | None:
    """The archive, looked through at most once as long as it doesn't change.

    None for one without pictures. Raises `OSError`, `UnreadableImage`.
    """
    status = check_plain(path)
    key = path, status.st_mtime_ns, status.st_size
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        archive = _KINDS[os.path.splitext(path)[1].lower()](path)  # noqa: PTH122
        for older in [kept for kept in _kept if kept[0] == path]:
            del _kept[older]
        _kept[key] = archive
        while len(_kept) > 1 and sum(len(each or ()) for each in _kept.values()) > _MOST_NAMES:
            _kept.popitem(last=False)
        return archive
