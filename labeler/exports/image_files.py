"""Image files in an export: copied or linked under names that no two of them share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from db.records import Image
from labeler.errors import UnreadableImage
from labeler.file_names import plain_stem, usual_ending
from labeler.image_copies import blocks, keep_times, linked
from labeler.pictures import open_regular
from labeler.whole_files import whole_file

_MISSING = "The file is not there any more; import the folder that it lies in now."
_CHANGED = "The file has changed since it was imported; import its folder again."


def file_name(image: Image, suffix: str | None = None) -> str:
    """The original's name and the beginning of its content's hash: `cat-1a2b….jpg`.

    Letters of any language stay; what a shell, another system or a loader could take for its own
    becomes `_`. `suffix` replaces that of the picture.
    """
    stem = plain_stem(Path(image.path).stem, "image")
    known = (image.content_hash or f"id{image.id}")[:16]
    return f"{stem}-{known}{suffix or _suffix(image)}"


def _suffix(image: Image) -> str:
    """The original's, where it fits what the file holds."""
    from PIL import Image as Pillow

    written = Path(image.path).suffix.lower()
    held = image.format or ""
    if Pillow.registered_extensions().get(written) == ("JPEG" if held == "MPO" else held):
        return written
    return usual_ending(held)


def place(image: Image, target: Path, link: str) -> tuple[bool, bool]:
    """Put the image's file at `target`; returns whether it came now, and whether it was linked.

    `link` is copy, hard or sym; where a link can't be made (another disk, a picture within an
    archive) it is copied. A copy has the very bytes that were imported, and one that lies there
    stays, also where the original is gone. Raises `UnreadableImage` for what is wrong with the
    image's file, `OSError` for what is wrong where it is to be.
    """
    source = Path(image.path)
    plain = source.is_file()
    if _is_there(source, image, target, link if plain else "copy"):
        return False, target.is_symlink() or _is_same(source, target)
    if image.state != "fine":
        raise UnreadableImage(_MISSING)
    if link == "copy" or not plain:
        _copy(image, source, target)
        return True, False
    if source.stat().st_size != image.size_bytes:
        raise UnreadableImage(_CHANGED)
    return True, _link(image, source, target, link)


def _is_there(source: Path, image: Image, target: Path, link: str) -> bool:
    if link == "sym":
        here = target.is_symlink() and target.is_file()
        return here and os.readlink(target) == str(source)  # noqa: PTH115
    if target.is_symlink() or not target.is_file():
        return False
    if link == "copy" and _is_same(source, target):
        return False
    return target.stat().st_size == image.size_bytes


def _is_same(source: Path, target: Path) -> bool:
    return source.is_file() and target.exists() and source.samefile(target)


def _link(image: Image, source: Path, target: Path, link: str) -> bool:
    target.unlink(missing_ok=True)
    made = linked(source, target, link)
    if not made:
        _copy(image, source, target)
    return made


def _copy(image: Image, source: Path, target: Path) -> None:
    with open_regular(source) as original, whole_file(target) as scratch:
        digest = hashlib.sha256()
        with scratch.open("wb") as written:
            for block in blocks(original):
                digest.update(block)
                written.write(block)
        if digest.hexdigest() != image.content_hash:
            raise UnreadableImage(_CHANGED)
        if source.is_file():
            keep_times(source, scratch)
