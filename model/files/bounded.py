"""Files that somebody else may have put there: opened and read without waiting and without end.

A pipe or a device under a file's name is never waited for, and nothing is read beyond a limit. A
file that is almost all holes takes no room on the disk and would be read for hours: it is not
opened. All refusals are `OSError`s whose `strerror` says which, so that whoever tells why a file
can't be opened tells these too.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TextIO

MOST_TEXT = 16 << 20  # bytes of a document that describes something, such as a config
# A disk may pack what it keeps, and some count it late.
_PACKED, _LITTLE = 16, 64 << 20
_OPENED = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class TooLarge(OSError):
    """A file that says it has more than is ever read of its kind."""


def open_plain(
    path: str | os.PathLike[str], *, follow: bool = True, limit: int | None = None
) -> io.BufferedReader:
    """Open a regular file for reading; `follow` False refuses a link in its place.

    Raises `OSError`, also for what is no regular file: a pipe that nobody writes to would be waited
    for without end; `TooLarge` for what is larger than `limit` bytes, or almost all holes.
    """
    path = os.fspath(path)
    found = os.stat(path, follow_symlinks=follow)  # noqa: PTH116 (a tenth of the time)
    _check(found.st_mode, path)  # opening is felt by some devices
    handle = os.open(path, _OPENED | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    try:
        found = os.fstat(handle)
        _check(found.st_mode, path)
        _check_size(handle, found, path, limit)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check(mode: int, path: str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "it is a link", path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe, socket or device, not a file", path)


def _check_size(handle: int, found: os.stat_result, path: str, limit: int | None) -> None:
    if _is_mostly_holes(handle, found):
        taken = found.st_blocks * 512
        problem = f"it is almost all holes: of {found.st_size:,} bytes the disk holds {taken:,}"
        raise TooLarge(errno.EFBIG, problem, path)
    if limit is not None and found.st_size > limit:
        raise TooLarge(errno.EFBIG, f"it is larger than {limit:,} bytes", path)


def _is_mostly_holes(handle: int, found: os.stat_result) -> bool:
    """Whether far more is said to be in a file than the disk holds of it.

    What a disk counts is not believed alone: some pack, some count nothing.
    """
    taken = getattr(found, "st_blocks", None)
    if taken is None or found.st_size <= _PACKED * 512 * taken + _LITTLE:
        return False
    try:
        return os.lseek(handle, 0, os.SEEK_HOLE) < found.st_size
    except (AttributeError, OSError):  # not on every system
        return False
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def open_plain_text(
    path: str | os.PathLike[str], encoding: str = "utf-8-sig", newline: str | None = None
) -> TextIO:
    """As `open_plain`, for text."""
    return io.TextIOWrapper(open_plain(path), encoding=encoding, newline=newline)


def read_bounded(
    path: str | os.PathLike[str], limit: int = MOST_TEXT, *, follow: bool = True
) -> bytes:
    """Read all of a regular file of at most `limit` bytes; raises `OSError` for any other."""
    with open_plain(path, follow=follow) as file:
        # A file may grow while it is read, and some system files say that they are empty.
        data = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else None
    if data is None or len(data) > limit:
        problem = f"it is larger than {limit:,} bytes"
        raise TooLarge(errno.EFBIG, problem, os.fspath(path))
    return data


def read_bounded_text(
    path: str | os.PathLike[str], limit: int = MOST_TEXT, encoding: str = "utf-8"
) -> str:
    """As `read_bounded`, decoded; raises `UnicodeDecodeError` too."""
    return read_bounded(path, limit).decode(encoding)
