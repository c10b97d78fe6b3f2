"""Open and read files that somebody else may have put there, without waiting and within limits.

A pipe or a device under a file's name is never waited for, and nothing is read beyond a limit. A
file that is almost all holes takes no room on the disk and would be read for hours: it is not
opened. All refusals are `OSError`s whose `strerror` says which, so that a message about a file that
can't be opened covers them too.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TextIO

MOST_TEXT = 16 << 20  # bytes of a document, such as a config
# A file system may compress what it keeps, and some count it late.
_MAX_COMPRESSION, _SMALL = 16, 64 << 20
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class TooLarge(OSError):
    """A file larger than is ever read of its kind."""


def open_plain(
    path: str | os.PathLike[str], *, follow: bool = True, limit: int | None = None
) -> io.BufferedReader:
    """Open a regular file for reading; `follow` False refuses a link in its place.

    Raises `OSError`, also for what is no regular file: a pipe that nobody writes to would be waited
    for without end; `TooLarge` for what is larger than `limit` bytes, or almost all holes.
    """
    path = os.fspath(path)
    status = os.stat(path, follow_symlinks=follow)  # noqa: PTH116 (a tenth of the time)
    _check(status.st_mode, path)  # opening is felt by some devices
    handle = os.open(path, _OPEN_FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    try:
        status = os.fstat(handle)
        _check(status.st_mode, path)
        _check_size(handle, status, path, limit)
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


def _check_size(handle: int, status: os.stat_result, path: str, limit: int | None) -> None:
    if _is_mostly_holes(handle, status):
        allocated = status.st_blocks * 512
        problem = (
            f"it is almost all holes: of {status.st_size:,} bytes the disk holds {allocated:,}"
        )
        raise TooLarge(errno.EFBIG, problem, path)
    if limit is not None and status.st_size > limit:
        raise TooLarge(errno.EFBIG, f"it is larger than {limit:,} bytes", path)


def _is_mostly_holes(handle: int, status: os.stat_result) -> bool:
    """Return whether a file's size is far more than what the disk holds of it.

    The disk's count is not trusted alone: some compress, some count nothing.
    """
    allocated = getattr(status, "st_blocks", None)
    if allocated is None or status.st_size <= _MAX_COMPRESSION * 512 * allocated + _SMALL:
        return False
    try:
        return os.lseek(handle, 0, os.SEEK_HOLE) < status.st_size
    except (AttributeError, OSError):  # not on every system
        return False
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def open_plain_text(
    path: str | os.PathLike[str], encoding: str = "utf-8-sig", newline: str | None = None
) -> TextIO:
    """Open a regular file as text; see `open_plain`."""
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
    """Read a regular file as text; see `read_bounded`. Raises `UnicodeDecodeError` too."""
    return read_bounded(path, limit).decode(encoding)
