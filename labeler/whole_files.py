"""Files that appear whole or not at all: written beside their place, then given their name.

What is being written is a scratch file whose name follows from that of the file it is to become,
locked while its writer lives. So whoever writes the same file again takes over what a killed
process has left of it, and two that write it at once don't meet.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from labeler.file_locks import LOCKS, is_held, lock

_PREFIX, _SUFFIX = ".labeler-", ".part"
_OPENED = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
_USUAL = 0o666  # less what the person's umask takes away
_FORGOTTEN_SECONDS = 24 * 3600.0  # where there are no locks to tell


@contextmanager
def whole_file(path: Path, *, lasting: bool = True, within: Path | None = None) -> Iterator[Path]:
    """Hands out a scratch file beside `path`; what was written there replaces `path` at the end.

    Nothing is left of it if the block raises, so a full disk or Ctrl-C keeps the old file. What is
    not `lasting` can be made again: a power cut may then leave an empty file. Folders on the way
    are made, but not `within`: a project that was moved away is not begun anew.
    """
    if within is not None and not within.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(within))
    handle, scratch = _beside(path)
    try:
        yield scratch
        if lasting:
            with scratch.open("rb") as written:
                os.fsync(written.fileno())
        scratch.replace(path)
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        # The person knows this name, not the scratch file's; a full disk tells none.
        if isinstance(error, OSError):
            if error.filename2 == str(scratch):
                error.filename2 = str(path)
            elif error.filename in (None, str(scratch)):
                error.filename = str(path)
        raise
    finally:
        os.close(handle)


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Hands out a scratch file beside `path` that is removed at the end, whatever happens."""
    handle, scratch = _beside(path)
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)
        os.close(handle)


def is_scratch(path: Path) -> bool:
    """Whether a file is one that was never finished, or is being written now."""
    return path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)


def remove_scratch(folder: Path) -> None:
    """Remove what killed processes have left in a folder, and nothing that is being written."""
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            _remove_dead(left)


def _remove_dead(left: Path) -> None:
    if not LOCKS:
        if time.time() - left.stat().st_ctime > _FORGOTTEN_SECONDS:
            left.unlink()
        return
    handle = os.open(left, os.O_RDWR)
    try:
        if _owned(handle, left):
            left.unlink()
    finally:
        os.close(handle)


def _beside(path: Path) -> tuple[int, Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path)
    except OSError as error:
        error.filename = str(path)  # The person knows this name, not the scratch file's.
        raise


def _opened(path: Path) -> tuple[int, Path]:
    """The scratch file for `path`, empty, and the handle that holds its lock."""
    told = blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    scratch = path.with_name(f"{_PREFIX}{told}{_SUFFIX}")
    if LOCKS:
        with suppress(OSError):
            is_new = not scratch.exists()
            handle = os.open(scratch, _OPENED, _USUAL)
            try:
                if _owned(handle, scratch):
                    os.truncate(handle, 0)
                    return handle, scratch
                if is_new and not lock(handle) and is_held(scratch) is None:
                    scratch.unlink()  # Nothing can be locked here, and nobody else has begun it.
            except OSError:  # Another process has just given it its name.
                pass
            os.close(handle)
    # Another process writes the same file at this moment, or nothing can be locked here.
    scratch = path.with_name(f"{_PREFIX}{told}-{secrets.token_hex(4)}{_SUFFIX}")
    handle = os.open(scratch, _OPENED | os.O_EXCL, _USUAL)
    lock(handle)
    return handle, scratch


def _owned(handle: int, scratch: Path) -> bool:
    """Lock an open scratch file; False where a living process has it, or it is no longer there."""
    if not lock(handle):
        return False
    held, there = os.fstat(handle), scratch.stat(follow_symlinks=False)
    return os.path.samestat(held, there) and held.st_nlink == 1 and held.st_uid == os.geteuid()
