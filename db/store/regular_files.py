"""Files and folders of a project that are what they seem: no link, pipe or device among them.

A project's folder may have come from somebody else, with a link to a person's own file under any
name that is written, read or removed there. So below it nothing is reached through a link, what is
new is created exclusively, and only plain files are opened.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from db.errors import StoreError

PRIVATE = 0o600  # of a file that only its owner may open
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# SQLite follows no link to the index of a log (-shm) by itself.
_BESIDE = ("", "-wal", "-journal")
# How a rollback journal ends that names another file, which SQLite would remove:
# sqlite.org/fileformat.html, and pager.c.
_NAMES_A_FILE = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISREG, "a file"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


class NotPlain(OSError):
    """What lies at a path of a project is a link, or no plain file or folder."""

    def __init__(self, path: Path, mode: int, wanted: str) -> None:
        kind = next((kind for is_it, kind in _KINDS if is_it(mode)), "a device")
        why = f"It is {kind} and not {wanted} of the project's own"
        super().__init__(errno.ELOOP if stat.S_ISLNK(mode) else errno.EINVAL, why, str(path))

    def sentence(self) -> str:
        return f"{self.filename}: {self.strerror}, so it is left alone; {_CURE}"


_CURE = (
    "no link is followed in a project's folder. Put what it stands for in its place, or remove it."
)


def check_folder(folder: Path) -> bool:
    """Return whether the folder is there; raises `NotPlain` for a link and all that is no
    folder.
    """
    return _checked(folder, stat.S_ISDIR, "a folder")


def check_file(path: Path) -> bool:
    """Return whether the file is there; raises `NotPlain` for a link and all that is no plain
    file.
    """
    return _checked(path, stat.S_ISREG, "a file")


def is_plain(path: Path, root: Path) -> bool:
    """Return whether a plain file lies at `path`, with nothing but folders between it and
    `root`.
    """
    try:
        return all(map(check_folder, _between(path.parent, root))) and check_file(path)
    except OSError:
        return False


def make_folders(folder: Path, root: Path, mode: int = 0o700) -> None:
    """Have `folder` below `root`, which is there; raises `NotPlain` where a link is on the way."""
    for each in _between(folder, root):
        if not check_folder(each):
            try:
                each.mkdir(mode)
            except FileExistsError:  # by another process just now
                check_folder(each)


def created(path: Path, mode: int = PRIVATE) -> int:
    """Return the handle of a new file, which no other may have made; raises `FileExistsError`."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK, mode)


def created_anew(path: Path, mode: int = PRIVATE) -> int:
    """Return the handle of a new file in the place of what has its name, a link itself for one."""
    path.unlink(missing_ok=True)
    return created(path, mode)


def opened_or_created(path: Path, mode: int = PRIVATE, *, append: bool = False) -> int:
    """Return the handle of a plain file, made if needed; raises `NotPlain`, also for one that has a
    second name: what is written here could be read, or missed, under that.
    """
    flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if append else 0)
    handle = _opened(path, flags, mode)
    status = os.fstat(handle)
    if status.st_nlink > 1:
        os.close(handle)
        raise NotPlain(path, status.st_mode, "a file with one name")
    return handle


def open_to_read(path: Path) -> BinaryIO:
    """Return the plain file; raises `NotPlain` for a link, and for pipes and devices without
    waiting.
    """
    return os.fdopen(_opened(path, os.O_RDONLY, 0), "rb")


def _opened(path: Path, flags: int, mode: int) -> int:
    check_file(path)  # A device does something when it is opened.
    handle = os.open(path, flags | _NO_LINK, mode)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise NotPlain(path, status.st_mode, "a file")
    return handle


def read_up_to(path: Path, most: int) -> bytes:
    """Return the first `most` bytes of a plain file; raises as `open_to_read` does."""
    with open_to_read(path) as file:
        return file.read(most)


def check_store_files(path: Path) -> None:
    """Raise `StoreError` where SQLite would reach another file through those of the store.

    It opens a log through a link, and when it rolls back a journal it removes the file that is
    named there.
    """
    for end in _BESIDE:
        file = path.with_name(f"{path.name}{end}")
        try:
            if check_file(file) and end == "-journal" and _names_a_file(file):
                raise StoreError(
                    f"{file} is not by this program: it would have another file removed. Don't use "
                    "what came with it; without it the store can be opened."
                )
        except NotPlain as error:
            raise StoreError(error.sentence()) from error


def _names_a_file(journal: Path) -> bool:
    with open_to_read(journal) as file:
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), 8, max(size - 8, 0)) == _NAMES_A_FILE


def _checked(path: Path, is_wanted: object, wanted: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not is_wanted(mode):  # type: ignore[operator]
        raise NotPlain(path, mode, wanted)
    return True


def _between(folder: Path, root: Path) -> list[Path]:
    """Return the folders on the way from `root` (not included) to `folder`, the outermost first."""
    inner = folder.relative_to(root).parts
    return [root.joinpath(*inner[: count + 1]) for count in range(len(inner))]
