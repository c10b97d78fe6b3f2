"""Links that lead out of a folder that is looked through: which of them are followed.

A folder may be somebody else's, and its links lead to a person's own files: none is followed unless
that was asked for, or this program made the link itself. The latter is told by the file that it
leads to: the project has looked at that very file before, or the link lies in an export and has the
beginning of the file's hash in its name. Whoever forges that knows the file already.
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
KEPT_IN = "predicted.sqlite"
_HASHED = re.compile(r".+-([0-9a-f]{16})\.\w+")
# Whether a file of this path, time (ns) and size has been looked at before.
LookedAt = Callable[[str, int, int], bool]


class OutsideLinks:
    """`follow` is the person's wish; a folder behind a link is entered once."""

    def __init__(self, looked_at: LookedAt = lambda *_: False, *, follow: bool = False) -> None:
        self.follow = follow
        self._looked_at = looked_at
        self._entered: set[tuple[int, int]] = set()

    def may_read(self, link: Path) -> bool:
        """Whether the file behind the link, which lies outside, is to be read."""
        if self.follow:
            return True
        target = os.path.realpath(link)
        try:
            told = os.lstat(target)
        except OSError:
            return False
        if not stat.S_ISREG(told.st_mode):
            return False
        return self._looked_at(target, told.st_mtime_ns, told.st_size) or _is_exported(
            link, Path(target)
        )

    def may_enter(self, link: Path, root: Path) -> bool:
        """Whether the folder behind the link is to be looked through, and not yet is: one around
        or within `root` is, and so is one that was entered by another link.
        """
        target = Path(os.path.realpath(link))
        around = target.is_relative_to(root) or root.is_relative_to(target)
        if not self.follow or around:
            return False
        told = target.stat()
        if (told.st_dev, told.st_ino) in self._entered:
            return False
        self._entered.add((told.st_dev, told.st_ino))
        return True


def links_for(
    project: Project, *, follow: bool = False, known: LookedAt = lambda *_: False
) -> OutsideLinks:
    """As the project has it; `known` tells of the files that its store knows."""
    kept = project.runs_folder / KEPT_IN

    def looked_at(path: str, mtime_ns: int, size: int) -> bool:
        return known(path, mtime_ns, size) or is_predicted(kept, file_key(path, mtime_ns, size))

    return OutsideLinks(looked_at, follow=follow)


def _is_exported(link: Path, target: Path) -> bool:
    named = _HASHED.fullmatch(link.name)
    if named is None or not _is_export(link.parent):
        return False
    try:
        with open_regular(target) as file:
            return content_hash(file).startswith(named[1])
    except (OSError, UnreadableImage):
        return False


@lru_cache(maxsize=1024)
def _is_export(folder: Path) -> bool:
    return any(is_plain(each / EXPORT_LIST, each) for each in (folder, *folder.parents))
