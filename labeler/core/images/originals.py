"""Checks that the files of images are still as they were imported.

An image's path may hold another picture by now, or a link to a private file. So code that hands out
an image's bytes checks the file here first.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from labeler.core.archives.opening import CHANGED, open_regular
from labeler.core.files.links import blocks
from labeler.core.images.pixel_identity import is_still
from model.errors import UnreadableImage


def check_known(
    opened: BinaryIO,
    content_hash: str | None,
    path: Path = Path(),
    pixel_hash: str | None = None,
) -> None:
    """Raise `UnreadableImage` where an open file is not what the store knows by this hash, and does
    not show what it knows by `pixel_hash` either; its position stays what it was.
    """
    if content_hash is None or not is_still(opened, path, content_hash, pixel_hash):
        raise UnreadableImage(CHANGED)


def open_known(path: Path, content_hash: str | None, pixel_hash: str | None = None) -> BinaryIO:
    """Open an image's file, if it is still what the store knows; the caller closes it.

    Raises `UnreadableImage` for that and as `open_regular` does.
    """
    opened = open_regular(path)
    try:
        check_known(opened, content_hash, path, pixel_hash)
    except BaseException:
        opened.close()
        raise
    return opened


def copy_known(original: BinaryIO, content_hash: str | None, written: BinaryIO) -> None:
    """Copy the rest of an open file, read once; raises `UnreadableImage` at its end where it is not
    what the store knows: then `written` must be thrown away.
    """
    digest = hashlib.sha256()
    for block in blocks(original):
        digest.update(block)
        written.write(block)
    if digest.hexdigest() != content_hash:
        raise UnreadableImage(CHANGED)
