"""Pictures in zip archives (.zip, and .cbz for comics), read in their place."""

from __future__ import annotations

import os
import stat

from labeler.core.archives.protocol import (
    HEAD,
    MOST_MEMBERS,
    Listing,
    check_size,
    listed,
    stays_inside,
)
from model.errors import UnreadableImage
from model.files.bounded import open_plain
from model.files.zip_members import BadZip, Member, read_member, read_members

# What a file may unpack to whatever it takes, and beyond that for each of its bytes; the whole
# archive likewise.
_FREELY_UNPACKED, _UNPACKED_OF_A_BYTE = 16 << 20, 50
_ALL_FREELY_UNPACKED, _ALL_UNPACKED_OF_A_BYTE = 1 << 30, 20
_ARCHIVES = (".zip", ".cbz", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


class ZipArchive:
    """A zip file; each member is unpacked in memory when it is read."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            with open_plain(path) as file:
                members = read_members(file.fileno(), MOST_MEMBERS)
                self._members = self._usable(members)
                self._check_sum(os.fstat(file.fileno()).st_size)
                self.listing = self._listed(file.fileno())
        except BadZip as error:
            raise UnreadableImage(str(error)) from error
        self.listing.note = _note(members)

    def __len__(self) -> int:
        return len(self._members)

    def read(self, name: str, most: int | None = None) -> bytes:
        member = self._members[name]
        check_size(member.size)
        if member.size > max(_FREELY_UNPACKED, _UNPACKED_OF_A_BYTE * member.packed):
            raise UnreadableImage(
                f"It unpacks from {member.packed:,} bytes to {member.size:,}, far more than "
                "pictures do; unpack the archive if you trust it."
            )
        try:
            with open_plain(self._path) as file:
                return read_member(file.fileno(), member, most)
        except BadZip as error:
            raise UnreadableImage(str(error)) from error

    def rows(self) -> dict[int, str]:
        return {}

    @staticmethod
    def _usable(members: list[Member]) -> dict[str, Member]:
        """By name, of two with one name the last."""
        return {
            each.name.removeprefix("./"): each
            for each in members
            if _is_file(each) and each.is_readable and stays_inside(each.name.removeprefix("./"))
        }

    def _check_sum(self, size: int) -> None:
        unpacked = sum(each.size for each in self._members.values())
        if unpacked > _ALL_FREELY_UNPACKED + _ALL_UNPACKED_OF_A_BYTE * size:
            raise BadZip(
                f"Its files unpack from {size:,} bytes to {unpacked:,}, far more than pictures do; "
                "unpack it if you trust it."
            )

    def _listed(self, descriptor: int) -> Listing:
        sizes = ((name, member.size) for name, member in self._members.items())
        return listed(sizes, lambda name: _head(descriptor, self._members[name]))


def _is_file(member: Member) -> bool:
    """Neither a link nor a device; programs that know no kinds of files tell none."""
    return stat.S_IFMT(member.mode) in (0, stat.S_IFREG)


def _head(descriptor: int, member: Member) -> bytes:
    try:
        return read_member(descriptor, member, HEAD)
    except BadZip:
        return b""


def _note(members: list[Member]) -> str | None:
    """What was left out, and why."""
    files = [each for each in members if _is_file(each)]
    outside = sum(not stays_inside(each.name.removeprefix("./")) for each in files)
    locked = sum(each.is_encrypted for each in files)
    packed = sum(not each.is_readable and not each.is_encrypted for each in files)
    inner = sum(each.name.lower().endswith(_ARCHIVES) for each in files)
    parts = [
        f"{outside:,} names in it lead out of it; these are left out." if outside else "",
        f"Left out as encrypted: {locked:,}; unpack it with its password." if locked else "",
        f"Left out, as packed in a way that is not read here: {packed:,}; unpack it."
        if packed
        else "",
        f"Archives in it, which would have to be unpacked, are left out: {inner:,}."
        if inner
        else "",
    ]
    return " ".join(filter(None, parts)) or None
