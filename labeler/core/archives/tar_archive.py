"""Tar archives as sources of images: members are read in place, none is unpacked."""

from __future__ import annotations

import io
import os
from typing import Any

from labeler.core.archives.protocol import (
    HEAD,
    MOST_BYTES,
    Listing,
    check_size,
    listed,
    stays_inside,
)
from labeler.core.archives.tar_index import Member, TarIndex, index_tar
from model.files.bounded import open_plain


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
        length = max(min(len(view), self._place.size - self._at), 0)
        data = os.pread(self._file.fileno(), length, self._place.offset + self._at)
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


_LARGE = 16 << 20  # bytes of a file that is not read as a whole


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
    parts = [f"{count:,} {what}" for what, count in kinds.items() if count]
    return f"{'; '.join(parts)}; these are left out." if parts else None
