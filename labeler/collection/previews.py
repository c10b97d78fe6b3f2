"""Previews and thumbnails of pictures, the JPEG files that the pages show.

Their names are the content's hash, so copies of a picture share them, and a browser may cache them
for ever. A small preview serves as thumbnail, too. Lost ones are made again, a preview from the
picture and a thumbnail from the preview. Large pictures get theirs at the import. A small picture
gets its preview when it is first shown, which takes a few milliseconds: most of a million small
pictures are never shown.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from db.store.regular_files import is_plain
from labeler.core.archives.opening import open_in_memory, open_regular
from labeler.core.errors import LabelerError
from labeler.core.files.atomic import atomic_write
from labeler.core.images.originals import check_known
from labeler.core.project import preview_path, thumbnail_path
from model.images.decode import Picture, decode, read_header
from model.images.jpeg_metadata import END
from model.images.resize import (
    OWN_THUMBNAIL_SIDE,
    PREVIEW_LEAST,
    PREVIEW_SIDE,
    THUMBNAIL_LEAST,
    fit,
    preview_and_thumbnail,
    smaller,
)

if TYPE_CHECKING:
    from PIL import ImageFile

    from labeler.core.project import Project

QUALITY = 88


class PreviewNotKept(LabelerError):
    """A preview or thumbnail can't be written; the picture itself may be fine."""


def has_preview(project: Project, content_hash: str) -> bool:
    """Return whether the preview's file exists."""
    return _is_there(preview_path(project, content_hash))


def preview_of(
    project: Project, content_hash: str, original: Path, pixel_hash: str | None = None
) -> Path:
    """Return the preview's file, made again from `original` if it is missing.

    Raises `UnreadableImage` if `original` can't be read, or has neither this content nor pixels of
    this `pixel_hash`, and `PreviewNotKept` if the file can't be written.
    """
    if not has_preview(project, content_hash):
        with open_in_memory(original) as file:
            check_known(file, content_hash, original, pixel_hash)
            header = read_header(file, original)
            make_previews(project, content_hash, header, file)
    return preview_path(project, content_hash)


def thumbnail_of(
    project: Project, content_hash: str, original: Path, pixel_hash: str | None = None
) -> Path:
    """Return the file that serves as thumbnail, made again from the preview if it is missing.

    Raises as `preview_of` does.
    """
    thumbnail = thumbnail_path(project, content_hash)
    if _is_there(thumbnail):
        return thumbnail
    preview = preview_of(project, content_hash, original, pixel_hash)
    with open_regular(preview) as file:
        header = read_header(file, preview)
        if max(header.size) <= OWN_THUMBNAIL_SIDE:
            return preview
        picture = decode(header, longer=THUMBNAIL_LEAST)
    _write(thumbnail, smaller(picture.image))
    return thumbnail


def unkept_preview(
    content_hash: str, original: Path, pixel_hash: str | None = None, *, small: bool = False
) -> Image.Image:
    """Return the preview, or the thumbnail if `small`, without writing a file.

    Raises `UnreadableImage` as `preview_of` does.
    """
    with open_in_memory(original) as file:
        check_known(file, content_hash, original, pixel_hash)
        header = read_header(file, original)
        picture = decode(header, longer=PREVIEW_LEAST)
    shown = fit(picture.image, PREVIEW_LEAST, PREVIEW_SIDE)
    return smaller(shown) if small else shown


def make_previews(
    project: Project, content_hash: str, image: ImageFile.ImageFile, file: BinaryIO | None = None
) -> Picture:
    """Decode the picture whose header is `image`, and write its preview and thumbnail.

    `file` is what the header was read from. Returns the picture, maybe at a smaller size: enough to
    compare it with others. Raises `UnreadableImage` and `PreviewNotKept`.
    """
    images = preview_and_thumbnail(image, file)
    if images.thumbnail is not None:
        _write(thumbnail_path(project, content_hash), images.thumbnail)
    _write(preview_path(project, content_hash), images.preview)
    return images.picture


def delete_previews(project: Project, content_hash: str) -> None:
    """Delete the preview and the thumbnail of a content; errors are ignored."""
    for path in (preview_path(project, content_hash), thumbnail_path(project, content_hash)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    """Return whether it is a file with bytes; no link, nor an empty file that a crash left."""
    return is_plain(path, path.parents[2]) and path.stat().st_size > 0


def _write(path: Path, content: Image.Image | bytes) -> None:
    """Write the file atomically; raises `PreviewNotKept`."""
    try:
        with atomic_write(path, lasting=False, within=path.parents[2]) as scratch:
            _fill(scratch, content)
    except OSError as error:
        raise PreviewNotKept(
            f"Can't write previews in {path.parent} ({error.strerror}); make room or check its "
            "permissions and import again."
        ) from error


def _fill(path: Path, content: Image.Image | bytes) -> None:
    with path.open("w+b") as file:
        if isinstance(content, bytes):
            file.write(content)
            return
        # Into a file, not into memory: then Pillow releases Python's lock. Full colour resolution,
        # since with chroma subsampling red lines on white blur.
        content.save(file, "JPEG", quality=QUALITY, subsampling=0)
        file.seek(-len(END), os.SEEK_END)
        if file.read() != END:  # Pillow doesn't notice that the last write was cut short
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
