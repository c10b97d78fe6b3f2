"""Decides which links that lead out of a scanned folder are followed.

A folder may come from somebody else, with links to private files of this person. So a link is
followed only with `follow`, or if this program made it: the project has read the target before, or
the link is in an export and its name holds the beginning of the target's hash. Only somebody who
has the file can forge that.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from db.store.regular_files import is_plain
from db.versions.file_predictions import file_key, is_predicted
from labeler.core.archives.opening import open_regular
from labeler.core.project import Project
from model.errors import UnreadableImage
from model.images.hashing import content_hash

EXPORT_LIST = ".labeler-export"
PREDICTIONS_FILE = "predicted.sqlite"
_HASHED = re.compile(r".+-([0-9a-f]{16})\.\w+")
# Whether the project has read a file of this path, time (ns) and size (bytes) before.
IsKnownFile = Callable[[str, int, int], bool]


class OutsideLinks:
    """Rule for the links of one scan; `follow` means all of them."""

    def __init__(self, is_known: IsKnownFile = lambda *_: False, *, follow: bool = False) -> None:
        self.follow = follow
        self._is_known = is_known
        self._entered: set[tuple[int, int]] = set()  # (device, inode) of folders behind links
        self._is_export = lru_cache(maxsize=1024)(_is_export)  # by folder, for one scan

    def may_read(self, link: Path) -> bool:
        """Return whether to read the file that `link` leads to, outside the scanned folder."""
        if self.follow:
            return True
        target = os.path.realpath(link)
        try:
            status = os.lstat(target)
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        return self._is_known(target, status.st_mtime_ns, status.st_size) or (
            self._is_export(link.parent) and _has_hash_in_name(link, Path(target))
        )

    def may_enter(self, link: Path, root: Path) -> bool:
        """Return whether to scan the folder that `link` leads to.

        False for one around or within `root`, which is scanned anyway, and for one that was entered
        before. Raises `OSError` if the folder can't be read.
        """
        target = Path(os.path.realpath(link))
        overlaps = target.is_relative_to(root) or root.is_relative_to(target)
        if not self.follow or overlaps:
            return False
        status = target.stat()
        if (status.st_dev, status.st_ino) in self._entered:
            return False
        self._entered.add((status.st_dev, status.st_ino))
        return True


def links_for(
    project: Project, *, follow: bool = False, is_stored: IsKnownFile = lambda *_: False
) -> OutsideLinks:
    """Return the project's rule: it knows the files that `is_stored` or that it predicted."""
    predictions = project.runs_folder / PREDICTIONS_FILE

    def is_known(path: str, mtime_ns: int, size: int) -> bool:
        return is_stored(path, mtime_ns, size) or is_predicted(
            predictions, file_key(path, mtime_ns, size)
        )

    return OutsideLinks(is_known, follow=follow)


def _has_hash_in_name(link: Path, target: Path) -> bool:
    match = _HASHED.fullmatch(link.name)
    if match is None:
        return False
    try:
        with open_regular(target) as file:
            return content_hash(file).startswith(match[1])
    except (OSError, UnreadableImage):
        return False


def _is_export(folder: Path) -> bool:
    return any(is_plain(each / EXPORT_LIST, each) for each in (folder, *folder.parents))
