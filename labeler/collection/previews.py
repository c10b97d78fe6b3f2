"""The small copies that the pages show: a preview per content, and a thumbnail if that is large.

They are JPEG files named after the content's hash, so they are made once however often the picture
occurs, and a browser may keep them for ever. They can be made again while a file of the picture is
there, thumbnails from the preview alone. Large pictures get theirs when they are imported. A small
one gets its single copy when somebody first looks at it, which takes a few milliseconds: of a
million small pictures most are never looked at.
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
    """A small copy can't be written; the picture itself may be as good as ever."""


def has_preview(project: Project, content_hash: str) -> bool:
    return _is_there(preview_path(project, content_hash))


def preview_of(
    project: Project, content_hash: str, original: Path, pixel_hash: str | None = None
) -> Path:
    """The preview's file, made again from `original` if it is gone.

    Raises `UnreadableImage` if the picture itself can't be read any more, or is another one now:
    of another content, and not what `pixel_hash` tells either.
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
    """The file that serves as thumbnail, made again from the preview if it is gone.

    Raises `UnreadableImage` if that is gone, too, and the picture can't be read any more.
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
    """The preview, or the thumbnail if `small`, for where none can be kept.

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
    """Decode the picture whose header is `image` and write what is to be kept of it.

    `file` is what it was read from. Returns it as small as it was decoded or made: good for
    telling it from others only. Raises `UnreadableImage`.
    """
    made = preview_and_thumbnail(image, file)
    if made.thumbnail is not None:
        _write(thumbnail_path(project, content_hash), made.thumbnail)
    _write(preview_path(project, content_hash), made.preview)
    return made.picture


def forget_small_copies(project: Project, content_hash: str) -> None:
    """Remove those of a content that no image has any more."""
    for path in (preview_path(project, content_hash), thumbnail_path(project, content_hash)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    """False also for the empty file that a crash may leave, and for a link to anything else."""
    return is_plain(path, path.parents[2]) and path.stat().st_size > 0


def _write(path: Path, content: Image.Image | bytes) -> None:
    """All or nothing: whoever looks sees no file or the whole one."""
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
        # Into a file at once, not by way of memory: only so does Pillow let other threads run
        # meanwhile. Full colour resolution: red lines on white are what halved colour spoils first.
        content.save(file, "JPEG", quality=QUALITY, subsampling=0)
        file.seek(-len(END), os.SEEK_END)
        if file.read() != END:  # Pillow doesn't notice what the last write left out
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
