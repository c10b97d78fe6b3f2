"""What every copy or link of an image's file shares: its bytes, its times, what can't be linked."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from labeler.core.files.atomic import make_parent
from model.errors import UnreadableImage

LINKS = ("copy", "hard", "sym")
_UNLINKABLE = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
_BLOCK = 1 << 20


def blocks(original: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of an image's file; raises `UnreadableImage` where it can't be read."""
    while True:
        try:
            block = original.read(_BLOCK)
        except OSError as error:
            raise UnreadableImage(
                f"The file can't be read ({error.strerror}); check the disk it is on."
            ) from error
        if not block:
            return
        yield block


def linked(original: Path, place: Path, link: str) -> bool:
    """Make `place` a link, hard or sym; False where the system can't link there."""
    make_parent(place)
    try:
        place.symlink_to(original) if link == "sym" else os.link(original, place)
    except OSError as error:
        if error.errno not in _UNLINKABLE:
            raise
        return False
    return True


def keep_times(original: Path, copy: Path) -> None:
    """Give a copy the times of its original."""
    stamp = original.stat()
    os.utime(copy, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
