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
from typing import Any, BinaryIO

from labeler.core.archives.archive import (
    HEAD,
    MOST_BYTES,
    UNKNOWN_SIZE,
    Archive,
    Listing,
    check_plain,
    check_size,
    listed,
    stays_inside,
)
from labeler.core.archives.tar_index import Member, TarIndex, index_tar
from labeler.core.archives.zip_archive import ZipArchive
from model.errors import UnreadableImage
from model.files.bounded import open_plain

_LARGE = 16 << 20  # bytes of a file that is not read as a whole
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
    held = _opened(archive)
    if isinstance(held, TarArchive) and (part := held.part(name)):
        return io.BufferedReader(part)
    data = read_member(archive, name)
    if not data:
        raise UnreadableImage("It is empty (0 bytes); get the archive again.")
    return io.BytesIO(data)


def read_member(archive: str, name: str, most: int = MOST_BYTES) -> bytes:
    """Return a member's first `most` bytes; raises `UnreadableImage` or `OSError`."""
    held = _opened(archive)
    try:
        if held is None:
            raise KeyError(name)
        return held.read(name, most)
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


class _Part(io.RawIOBase):
    """The bytes of a member, open to be read and sought in."""

    def __init__(self, path: str, place: Member) -> None:
        super().__init__()
        self._file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115
        self._place, self._at = place, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._place.size}[whence]
        if start + offset < 0:
            raise ValueError("There is nothing before the beginning.")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        wanted = max(min(len(view), self._place.size - self._at), 0)
        data = os.pread(self._file.fileno(), wanted, self._place.offset + self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class TarArchive:
    """A tar file; its members are read at their offsets."""

    def __init__(self, path: str) -> None:
        self._path = path
        with open_plain(path) as file:
            index = index_tar(file)
            own = {name.removeprefix("./"): place for name, place in index.members.items()}
            self._members = {name: place for name, place in own.items() if stays_inside(name)}
            self.listing = self._listed(file.fileno())
        self.listing.problem = index.problem
        inner = sum(map(_is_archive, self._members))
        self.listing.note = _left_out(index, len(own) - len(self._members), inner)

    def __len__(self) -> int:
        return len(self._members)

    def part(self, name: str) -> _Part | None:
        """Return a large member as a part of the open archive; None for the others."""
        place = self._members.get(name)
        if place is None or not _LARGE < place.size <= MOST_BYTES:
            return None
        return _Part(self._path, place)

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        place = self._members[name]
        check_size(place.size)
        with open(self._path, "rb") as file:  # noqa: PTH123
            return os.pread(file.fileno(), min(place.size, most), place.offset)

    def rows(self) -> dict[int, str]:
        return {}

    def _listed(self, descriptor: int) -> Listing:
        sizes = ((name, place.size) for name, place in self._members.items())
        return listed(sizes, lambda name: os.pread(descriptor, HEAD, self._members[name].offset))


def _is_archive(name: str) -> bool:
    return name.lower().endswith(
        (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")
    )


def _left_out(index: TarIndex, outside: int, inner: int) -> str | None:
    """What an archive holds that is not read in its place; None where there is no such thing."""
    kinds = {
        "names in it lead out of it": outside + index.nameless,
        "files in it are sparse": index.sparse,
        "archives in it would have to be unpacked": inner,
    }
    told = [f"{count:,} {what}" for what, count in kinds.items() if count]
    return f"{'; '.join(told)}; these are left out." if told else None


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
        for older in [known for known in _kept if known[0] == path]:
            del _kept[older]
        _kept[key] = archive
        while len(_kept) > 1 and sum(len(each or ()) for each in _kept.values()) > _MOST_NAMES:
            _kept.popitem(last=False)
        return archive
