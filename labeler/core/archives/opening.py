"""Open the file of a picture, in a folder or in an archive; nothing is waited for, nothing run.

`open_picture` gives its pixels as `model.images.decode` makes them.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from labeler.core.archives.archives import open_member, through
from labeler.core.errors import LabelerError
from labeler.core.project import STORE_FILES
from model.errors import UnreadableImage
from model.files.bounded import TooLarge, open_plain
from model.images.decode import read_picture

# A file up to this size is read once, into memory, to be hashed and decoded from there.
IN_MEMORY = 16 << 20
# No file with a picture is larger: 150 megapixels of eight bytes each fit twice.
MOST_BYTES = 4 << 30
TOO_MANY_OPEN = (
    "Too many files are open at once; close other programs or raise the limit with ulimit -n, and "
    "try again."
)
CHANGED = "The file has changed since it was imported; import it again."


def open_picture(path: Path | str, *, at_least: int | None = None) -> Image.Image:
    """Return the pixels of the file: RGB, upright, on white; fully loaded, the file closed.

    `at_least` is the length in pixels that the shorter side must keep: a JPEG may then be decoded
    at 1/2, 1/4 or 1/8 of its size, never below it. What is larger than `limits.MOST_OUT` comes
    out smaller in any case, its pixels averaged. Raises `UnreadableImage` with a sentence for
    everything that can be wrong with a file.
    """
    path = Path(path)
    with open_regular(path) as file:
        return read_picture(file, path, shorter=at_least).image


def open_regular(path: Path) -> BinaryIO:
    """Open a plain file, or one within an archive, for reading; the caller closes it.

    Raises `UnreadableImage` for what is missing, forbidden, empty, larger than MOST_BYTES, almost
    all holes (a few bytes on the disk that would be read for hours), or not a plain file (pipes and
    devices are never opened: reading one may wait for ever), and `LabelerError` where the system
    can't open any file now.
    """
    if path.name in STORE_FILES:
        raise UnreadableImage("It is the store of a project and holds no picture; leave it out.")
    try:
        if inside := through(path):
            return open_member(*inside)
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableImage("It is a folder, not a file; import the folder itself.")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("It is a pipe, socket or device, not a file.")
        if status.st_size == 0:
            raise UnreadableImage("The file is empty (0 bytes); copy it again from its original.")
        return open_plain(path, limit=MOST_BYTES)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # It says nothing about this picture.
            raise LabelerError(TOO_MANY_OPEN) from error
        raise UnreadableImage(_why_not_opened(path, error)) from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage("Its name can't be a file's; rename it.") from error


def open_in_memory(path: Path) -> BinaryIO:
    """Open the file for reading, as a `BytesIO` unless it is large; the caller closes it.

    For what is hashed and then decoded: so it is read from the disk only once. Raises as
    `open_regular` does.
    """
    opened = open_regular(path)
    if isinstance(opened, io.BytesIO):
        return opened
    size_bytes = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    if size_bytes > IN_MEMORY:
        return opened
    with opened:
        # Not simply the most there may be: memory for all of that would be set aside each time.
        return io.BytesIO(opened.read(size_bytes + 1))


def _why_not_opened(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return "A link to a file that is not there; restore that file or remove the link."
        return "The file is not there any more; import the folder that it lies in now."
    if isinstance(error, PermissionError):
        return "No permission to read the file; change its permissions and import again."
    if isinstance(error, TooLarge):
        return f"It can't be a picture, for {error.strerror}; copy it again from its original."
    if error.errno == errno.ELOOP:
        return "A link that leads back to itself; remove it."
    return f"The file can't be opened ({error.strerror}); check the disk and import again."
