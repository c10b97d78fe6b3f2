"""Files that appear whole or not at all: written beside their place, then given their name.

What is being written is a scratch file whose name follows from that of the file it is to become,
locked while its writer lives. So whoever writes the same file again takes over what a killed
process has left of it, and two that write it at once don't meet.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from db.store.regular_files import (
    PRIVATE,
    check_folder,
    created,
    created_anew,
    make_folders,
    opened_or_created,
)
from labeler.core.errors import BadInput
from labeler.core.files.locks import LOCKS, is_held, lock
from labeler.core.project import STORE_FILE, STORE_FILES

_PREFIX, _SUFFIX = ".labeler-", ".part"
_SCRATCH = re.compile(r"\.labeler-[0-9a-z]{2,16}(-[0-9a-f]{8})?\.part")
_OPENED = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_USUAL = 0o666  # less what the person's umask takes away
_IN_USE = ("-wal", "-shm", "-journal")  # what SQLite puts beside a file that it has open
_FORGOTTEN_SECONDS = 24 * 3600.0  # where there are no locks to tell


@contextmanager
def atomic_write(
    path: Path, *, lasting: bool = True, within: Path | None = None, private: bool = False
) -> Iterator[Path]:
    """Yield a scratch file beside `path`, which replaces `path` at the end of the block.

    Nothing is left of it if the block raises, so a full disk or Ctrl-C keeps the old file. What is
    not `lasting` can be made again: a power cut may then leave an empty file. Folders on the way
    are made, but not `within`: a project that was moved away is not begun anew. Below a project's
    folder no link is followed, and who may open its store may open the file; elsewhere it is as
    others are there, or its owner's alone if `private`.
    """
    refuse_store(path)
    if within is not None and not within.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(within))
    handle, scratch = _beside(path, private=private)
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


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file as `atomic_write` does."""
    with atomic_write(path) as scratch:
        scratch.write_bytes(data)


def refuse_store(path: Path) -> None:
    """Raise `BadInput` where `path` is a project's store, or a file of one that is in use.

    Told by names alone: whoever opens a store's file drops the locks of its process on it.
    """
    places = {path, Path(os.path.realpath(path))}
    for place in places:
        name = place.name.lower()
        if name in STORE_FILES:
            raise BadInput(f"{path} is the store of a project; choose another name.")
        if name.startswith(f"{STORE_FILE}.") and os.path.lexists(place):
            raise BadInput(f"{path} is a copy that the program keeps; choose another name.")
        beside = (place.with_name(f"{place.name}{end}") for end in _IN_USE)
        if (used := next((file for file in beside if os.path.lexists(file)), None)) is not None:
            raise BadInput(
                f"{path} is in use by another program ({used.name} lies beside it); close that one "
                "or choose another name."
            )


@contextmanager
def scratch_beside(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a scratch file beside `path`, which is removed at the end of the block."""
    handle, scratch = _beside(path, private=private)
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)
        os.close(handle)


def opened_log(path: Path, *, anew: bool = False) -> int:
    """Open a file to which whole lines are appended, and return its handle; `anew` empties it."""
    mode = make_parent(path)
    return created_anew(path, mode) if anew else opened_or_created(path, mode, append=True)


def make_parent(path: Path) -> int:
    """Make the folder of `path`, and return the permissions for a file in it.

    Raises `NotPlain` where a link is on the way below a project's folder.
    """
    root = _project_around(path)
    if root is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _USUAL
    mode = _USUAL & (root / STORE_FILE).stat().st_mode | PRIVATE
    # Whoever may read the files may enter their folders.
    make_folders(path.absolute().parent, root, mode | (mode & 0o444) >> 2)
    return mode


def _project_around(path: Path) -> Path | None:
    """The outermost project in whose folder `path` lies, the links on the way taken as names."""
    outermost_first = reversed(path.absolute().parents)
    return next((each for each in outermost_first if os.path.isfile(each / STORE_FILE)), None)  # noqa: PTH113


def is_scratch(path: Path) -> bool:
    """Return whether a file's name is that of a scratch file, abandoned or being written."""
    return _SCRATCH.fullmatch(path.name) is not None


def remove_scratch(folder: Path) -> None:
    """Remove what killed processes have left in a folder, and nothing that is being written."""
    with suppress(OSError):
        if check_folder(folder):
            for path in filter(is_scratch, folder.iterdir()):
                with suppress(OSError):
                    _remove_dead(path)


def _remove_dead(path: Path) -> None:
    if not LOCKS:
        if time.time() - path.stat(follow_symlinks=False).st_ctime > _FORGOTTEN_SECONDS:
            path.unlink()
        return
    handle = os.open(path, _OPENED & ~os.O_CREAT)
    try:
        if _owned(handle, path):
            path.unlink()
    finally:
        os.close(handle)


def _beside(path: Path, *, private: bool) -> tuple[int, Path]:
    mode = make_parent(path)
    try:
        return _opened(path, PRIVATE if private else mode)
    except OSError as error:
        error.filename = str(path)  # The person knows this name, not the scratch file's.
        raise


def _opened(path: Path, mode: int) -> tuple[int, Path]:
    """The scratch file for `path`, empty, and the handle that holds its lock."""
    digest = blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    scratch = path.with_name(f"{_PREFIX}{digest}{_SUFFIX}")
    if LOCKS:
        with suppress(OSError):
            is_new = not scratch.exists()
            handle = os.open(scratch, _OPENED, mode)
            try:
                if _owned(handle, scratch):
                    os.truncate(handle, 0)
                    _give(handle, mode, is_new=is_new)
                    return handle, scratch
                if is_new and not lock(handle) and is_held(scratch) is None:
                    scratch.unlink()  # Nothing can be locked here, and nobody else has begun it.
            except OSError:  # Another process has just given it its name.
                pass
            os.close(handle)
    # Another process writes the same file at this moment, or nothing can be locked here.
    scratch = path.with_name(f"{_PREFIX}{digest}-{secrets.token_hex(4)}{_SUFFIX}")
    handle = created(scratch, mode)
    lock(handle)
    return handle, scratch


def _give(handle: int, mode: int, *, is_new: bool) -> None:
    """What was left of another file may be open to more than this one is to be."""
    current_mode = stat.S_IMODE(os.fstat(handle).st_mode)
    if not is_new and current_mode & ~mode:
        os.fchmod(handle, current_mode & mode)


def _owned(handle: int, scratch: Path) -> bool:
    """Lock an open scratch file; False where a living process has it, or it is no longer there."""
    if not lock(handle):
        return False
    opened, there = os.fstat(handle), scratch.stat(follow_symlinks=False)
    alone = opened.st_nlink == 1 and opened.st_uid == os.geteuid() and stat.S_ISREG(opened.st_mode)
    return os.path.samestat(opened, there) and alone
