"""Image files in an export: copied or linked under unique names."""

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
    """Return the original's name with the start of its content hash: `cat-1a2b….jpg`.

    Letters of any language stay; characters that are special to a shell, a file system or a data
    loader become `_`. `suffix` replaces the image's.
    """
    stem = plain_stem(Path(image.path).stem, "image")
    known = re.sub(r"[^0-9a-z]", "_", (image.content_hash or f"id{image.id}")[:16])
    return f"{stem}-{known}{suffix or _suffix(image)}"


def _suffix(image: Image) -> str:
    """Return the original's suffix if it fits the image's format, else the format's usual one."""
    suffix = Path(image.path).suffix.lower()
    image_format = image.format or ""
    if Pillow.registered_extensions().get(suffix) == (
        "JPEG" if image_format == "MPO" else image_format
    ):
        return suffix
    return usual_ending(image_format)


def place_image(image: Image, target: Path, link: str, *, force: bool = False) -> tuple[bool, bool]:
    """Copy or link the image's file to `target`; return (whether it is new, whether it is a link).

    `link` is copy, hard or sym; where a link can't be made (another disk, an image in an archive)
    the file is copied. The content is checked against the import; an existing copy stays, even if
    the original is missing. Raises `UnreadableImage` for a missing, changed or unreadable original,
    `BadInput` if another file is at `target` (unless `force`), `OSError` if it can't be written.
    """
    source = Path(image.path)
    plain = _is_file(source)
    if _is_placed(source, image, target, link if plain else "copy"):
        return False, target.is_symlink() or _is_same(source, target)
    if image.state != "fine":
        raise UnreadableImage(_missing_reason(image))
    _check_replaceable(source, image, target, force=force)
    if link == "copy" or not plain:
        _copy(image, source, target)
        return True, False
    open_known(source, image.content_hash, image.pixel_hash).close()
    return True, _link(image, source, target, link)


def _missing_reason(image: Image) -> str:
    """Return why an image whose state is not fine has no file."""
    path = Path(image.path)
    if image.state == "unreadable" and image.reason is not None:
        return image.reason
    if not path.is_file():
        return _MISSING
    return _REPLACED if path.stat().st_size else _EMPTY


def placed_fingerprint(image: Image, target: Path) -> str:
    """Return the `export_writer.fingerprint` of a file that `place_image` made."""
    if target.is_symlink():
        return fingerprint(target)
    if target.stat().st_size != image.size_bytes:  # the same pixels in other bytes
        with target.open("rb") as placed:
            return file_fingerprint(target.stat().st_size, content_hash(placed))
    return file_fingerprint(image.size_bytes, image.content_hash or "")


def _is_placed(source: Path, image: Image, target: Path, link: str) -> bool:
    if link == "sym":
        return _is_link_to(source, target) and target.is_file() and _is_known(target, image)
    if target.is_symlink() or not target.is_file():
        return False
    if _is_same(source, target):  # a hard link: an edit of one changes the other
        return link == "hard" and _is_known(target, image)
    return target.stat().st_size == image.size_bytes


def _is_same(source: Path, target: Path) -> bool:
    return _is_file(source) and target.exists() and source.samefile(target)


def _is_file(source: Path) -> bool:
    """Return whether it is a plain file; False also in a folder that may not be read."""
    return os.path.isfile(source)  # noqa: PTH113 - `Path.is_file` raises in a closed folder


def _is_link_to(source: Path, target: Path) -> bool:
    return target.is_symlink() and os.readlink(target) == str(source)  # noqa: PTH115


def _is_known(file: Path, image: Image) -> bool:
    try:
        open_known(file, image.content_hash, image.pixel_hash).close()
    except UnreadableImage:
        return False
    return True


def _check_replaceable(source: Path, image: Image, target: Path, *, force: bool) -> None:
    """Check that `target` is free or holds this image; raises `BadInput`."""
    is_own = _is_link_to(source, target) or _is_same(source, target)
    if is_own or may_replace(target, _SameContent(image), force=force):
        return
    raise BadInput(refusal(target))


class _SameContent:
    """The record that `may_replace` asks: it knows every file with the image's content."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def knows(self, file: Path) -> bool:
        return not file.is_symlink() and _is_known(file, self._image)

    def keep(self, written: str) -> None: ...


def _link(image: Image, source: Path, target: Path, link: str) -> bool:
    target.unlink(missing_ok=True)
    is_linked = linked(source, target, link)
    if not is_linked:
        _copy(image, source, target)
    return is_linked


def _copy(image: Image, source: Path, target: Path) -> None:
    with open_regular(source) as original, atomic_write(target) as scratch:
        with scratch.open("wb") as written:
            known = _copy_unchanged(original, image, written)
        if not known:
            with scratch.open("rb") as copied:
                check_known(copied, image.content_hash, source, image.pixel_hash)
        if _is_file(source):
            keep_times(source, scratch)


def _copy_unchanged(original: BinaryIO, image: Image, written: BinaryIO) -> bool:
    """Copy the bytes; return False if their hash is new and the pixels must be compared."""
    try:
        copy_known(original, image.content_hash, written)
    except UnreadableImage:
        if image.pixel_hash is None:
            raise
        return False
    return True
