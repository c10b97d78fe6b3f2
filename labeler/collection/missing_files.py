"""Which files are really gone: looked for at their place, and not where nothing can be seen.

A file that a walk has not come by is not gone for that: the walk may have passed over its folder,
it may have been named alone, its folder may be closed to us, or the disk that it is on not
connected.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from labeler.core.archives.archives import look_into, through

NO_DISK = (
    "The folder of this source is not there (a disk that is not connected?); its images are left "
    "as they are. Import the folder that they lie in now."
)


def is_absent(path: str) -> bool:
    """Whether nothing is at `path`, be it that its disk is away.

    What may not be looked at may be there.
    """
    inside = through(path)
    if inside is not None:
        listing = look_into(Path(inside[0]))
        return listing is not None and not listing.problem and inside[1] not in listing.pictures
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ENOTDIR)
    return False


class Absence:
    """What one look tells; `roots` are the folders that sources were imported from."""

    def __init__(self, roots: Iterable[str]) -> None:
        self._away = sorted(root for root in roots if not os.path.lexists(root))
        self._listable: dict[str, bool] = {}
        self._names: dict[str, frozenset[str]] = {}
        self.away: set[str] = set()  # roots that are not there, of which files were asked for

    def is_gone(self, path: str, seen: Collection[str] = ()) -> bool:
        """Whether no file is at `path` any more, as far as that can be known.

        `seen` are the paths that a walk came by: where a file system makes no difference between
        capital and small letters, a file may be seen there under its new name.
        """
        if through(path) is not None:
            return is_absent(path)
        try:
            status = os.lstat(path)
        except OSError:
            return is_absent(path) and self._can_tell(path)
        return stat.S_ISDIR(status.st_mode) or self._renamed(path, seen)

    def _can_tell(self, path: str) -> bool:
        for root in self._away:
            if path.startswith(f"{root}{os.sep}"):
                self.away.add(root)
                return False
        folder = os.path.dirname(path)  # noqa: PTH120
        while not os.path.lexists(folder) and folder != os.path.dirname(folder):  # noqa: PTH120
            folder = os.path.dirname(folder)  # noqa: PTH120
        if folder not in self._listable:
            self._listable[folder] = _can_list(folder)
        return self._listable[folder]

    def _renamed(self, path: str, seen: Collection[str]) -> bool:
        """Whether the folder lists it under another spelling, which the walk has seen."""
        folder, name = os.path.split(path)
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))  # noqa: PTH208
            except OSError:
                self._names[folder] = frozenset({name})
        names = self._names[folder]
        if name in names:
            return False
        spelled = (f"{folder}{os.sep}{one}" for one in names if one.casefold() == name.casefold())
        return any(one in seen for one in spelled)


def _can_list(folder: str) -> bool:
    if not os.path.isdir(folder):  # noqa: PTH112 - an archive, or a file where a folder was
        return os.path.isfile(folder)  # noqa: PTH113
    try:
        with os.scandir(folder):
            return True
    except OSError:
        return False
