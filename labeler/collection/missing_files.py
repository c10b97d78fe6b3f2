"""Decides which stored files are gone.

That a walk did not find a file is not enough: its folder may have been passed over or not be
readable, another file may have been named alone, or the disk may not be connected. So each is
looked up at its path.
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
    """Return whether there is no file at `path`, also if its whole disk is not connected.

    False where permissions hide whether there is one.
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


class MissingFiles:
    """Look-ups of one import; `roots` are the folders that sources were imported from."""

    def __init__(self, roots: Iterable[str]) -> None:
        self._away = sorted(root for root in roots if not os.path.lexists(root))
        self._listable: dict[str, bool] = {}
        self._names: dict[str, frozenset[str]] = {}
        self.away: set[str] = set()  # missing roots of the files that were looked up

    def is_gone(self, path: str, seen: Collection[str] = ()) -> bool:
        """Return whether the file at `path` is gone; False if its disk or folder is inaccessible.

        `seen` are the paths that a walk found: on a file system that ignores case, a file that was
        renamed is found at its old path, too.
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
        """Return whether the folder has it under another case only, which is in `seen`."""
        folder, name = os.path.split(path)
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))  # noqa: PTH208
            except OSError:
                self._names[folder] = frozenset({name})
        names = self._names[folder]
        if name in names:
            return False
        spelled = (
            f"{folder}{os.sep}{other}" for other in names if other.casefold() == name.casefold()
        )
        return any(other in seen for other in spelled)


def _can_list(folder: str) -> bool:
    if not os.path.isdir(folder):  # noqa: PTH112 - an archive, or a file where a folder was
        return os.path.isfile(folder)  # noqa: PTH113
    try:
        with os.scandir(folder):
            return True
    except OSError:
        return False
