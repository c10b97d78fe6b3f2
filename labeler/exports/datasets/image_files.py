"""Image files in an export: copied or linked under names that no two of them share."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from PIL import Image as Pillow

from db.records import Image
from labeler.core.archives.opening import open_regular
from labeler.core.errors import BadInput
from labeler.core.files.atomic import atomic_write
from labeler.core.files.export_writer import file_fingerprint, fingerprint, may_replace, refusal
from labeler.core.files.links import keep_times, linked
from labeler.core.files.names import plain_stem, usual_ending
from labeler.core.images.originals import check_known, copy_known, open_known
from model.errors import UnreadableImage
from model.images.hashing import content_hash

_MISSING = "The file is not there any more; import the folder that it lies in now."
_REPLACED = (
    "Another picture has taken its place; its score goes over to that by: labeler carry-over"
)
_EMPTY = "The file is empty now (0 bytes); restore it and import it again."


def file_name(image: Image, suffix: str | None = None) -> str:
    """The original's name and the beginning of its content's hash: `cat-1a2b….jpg`.

    Letters of any language stay; what a shell, another system or a loader could take for its own
    becomes `_`. `suffix` replaces that of the picture.
    """
    stem = plain_stem(Path(image.path).stem, "image")
    known = re.sub(r"[^0-9a-z]", "_", (image.content_hash or f"id{image.id}")[:16])
    return f"{stem}-{known}{suffix or _suffix(image)}"


def _suffix(image: Image) -> str:
    """The original's, where it fits what the file holds."""
    written = Path(image.path).suffix.lower()
    held = image.format or ""
    if Pillow.registered_extensions().get(written) == ("JPEG" if held == "MPO" else held):
        return written
    return usual_ending(held)


def place_image(image: Image, target: Path, link: str, *, force: bool = False) -> tuple[bool, bool]:
    """Put the image's file at `target`; returns whether it came now, and whether it was linked.

    `link` is copy, hard or sym; where a link can't be made (another disk, a picture within an
    archive) it is copied. Copies and links have the very bytes that were imported, and a copy that
    lies there stays, also where the original is gone. Raises `UnreadableImage` for what is wrong
    with the image's file, `BadInput` where another file lies at `target` (unless by `force`), and
    `OSError` for what is wrong where it is to be.
    """
    source = Path(image.path)
    plain = _is_plain(source)
    if _is_there(source, image, target, link if plain else "copy"):
        return False, target.is_symlink() or _is_same(source, target)
    if image.state != "fine":
        raise UnreadableImage(_why_not(image))
    _check_replaceable(source, image, target, force=force)
    if link == "copy" or not plain:
        _copy(image, source, target)
        return True, False
    open_known(source, image.content_hash, image.pixel_hash).close()
    return True, _link(image, source, target, link)


def _why_not(image: Image) -> str:
    """Why there is no file of an image that is not fine."""
    path = Path(image.path)
    if image.state == "unreadable" and image.reason is not None:
        return image.reason
    if not path.is_file():
        return _MISSING
    return _REPLACED if path.stat().st_size else _EMPTY


def placed_fingerprint(image: Image, target: Path) -> str:
    """What `labeler.core.files.export_writer.fingerprint` says of what `place_image` has put at
    `target`.
    """
    if target.is_symlink():
        return fingerprint(target)
    if target.stat().st_size != image.size_bytes:  # the same picture in other bytes
        with target.open("rb") as placed:
            return file_fingerprint(target.stat().st_size, content_hash(placed))
    return file_fingerprint(image.size_bytes, image.content_hash or "")


def _is_there(source: Path, image: Image, target: Path, link: str) -> bool:
    if link == "sym":
        return _leads_to(source, target) and target.is_file() and _is_known(target, image)
    if target.is_symlink() or not target.is_file():
        return False
    if _is_same(source, target):  # one file under two names: what is done to one is in the other
        return link == "hard" and _is_known(target, image)
    return target.stat().st_size == image.size_bytes


def _is_same(source: Path, target: Path) -> bool:
    return _is_plain(source) and target.exists() and source.samefile(target)


def _is_plain(source: Path) -> bool:
    """Whether it is a file of its own; False too where nobody may look, which reading it says."""
    return os.path.isfile(source)  # noqa: PTH113 - `Path.is_file` raises in a closed folder


def _leads_to(source: Path, target: Path) -> bool:
    return target.is_symlink() and os.readlink(target) == str(source)  # noqa: PTH115


def _is_known(file: Path, image: Image) -> bool:
    try:
        open_known(file, image.content_hash, image.pixel_hash).close()
    except UnreadableImage:
        return False
    return True


def _check_replaceable(source: Path, image: Image, target: Path, *, force: bool) -> None:
    """Raise `BadInput` unless `target` holds this image and nothing else, which loses nothing."""
    own = _leads_to(source, target) or _is_same(source, target)
    if own or may_replace(target, _Bytes(image), force=force):
        return
    raise BadInput(refusal(target))


class _Bytes:
    """A file with the image's own bytes is known, whoever has put it there."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def knows(self, file: Path) -> bool:
        return not file.is_symlink() and _is_known(file, self._image)

    def keep(self, written: str) -> None: ...


def _link(image: Image, source: Path, target: Path, link: str) -> bool:
    target.unlink(missing_ok=True)
    made = linked(source, target, link)
    if not made:
        _copy(image, source, target)
    return made


def _copy(image: Image, source: Path, target: Path) -> None:
    with open_regular(source) as original, atomic_write(target) as scratch:
        with scratch.open("wb") as written:
            known = _copied_as_known(original, image, written)
        if not known:
            with scratch.open("rb") as copied:
                check_known(copied, image.content_hash, source, image.pixel_hash)
        if _is_plain(source):
            keep_times(source, scratch)


def _copied_as_known(original: BinaryIO, image: Image, written: BinaryIO) -> bool:
    """Whether the very bytes were copied that the store knows; else it has to be looked at."""
    try:
        copy_known(original, image.content_hash, written)
    except UnreadableImage:
        if image.pixel_hash is None:
            raise
        return False
    return True
