"""The two small copies that the pages show: a preview and a thumbnail per content.

Both are JPEG files named after the content's hash, so they are made once however often the
picture occurs, and a browser may keep them for ever. They can always be made again.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from labeler import formats
from labeler.errors import LabelerError
from labeler.jpeg_files import without_metadata
from labeler.pictures import (
    Picture,
    open_regular,
    preview_path,
    read_picture,
    thumbnail_path,
)

if TYPE_CHECKING:
    from PIL import ImageFile

    from labeler.project import Project

PREVIEW_SIDE = 1024
# A JPEG that decodes to between this and PREVIEW_SIDE is not decoded larger and resized: from
# 2000 or 4000 px that saves most of the work.
PREVIEW_LEAST = 896
THUMBNAIL_SIDE = 256  # about: averaging whole pixels leaves 192 to 384
THUMBNAIL_LEAST = 192
QUALITY = 88
MOST_BYTES = 1 << 20  # of a small JPEG that becomes its own preview


def have_previews(project: Project, content_hash: str) -> bool:
    paths = preview_path(project, content_hash), thumbnail_path(project, content_hash)
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)


def ensure_previews(project: Project, content_hash: str, path: Path) -> None:
    """Make the preview and the thumbnail of `path` again if one is gone.

    Raises `UnreadableImage` if the picture itself can't be read any more.
    """
    if not have_previews(project, content_hash):
        with open_regular(path) as file:
            picture = read_picture(file, path, longer=PREVIEW_LEAST)
        write_previews(project, content_hash, picture)


def own_preview(image: ImageFile.ImageFile, data: bytes) -> bytes | None:
    """The file itself as its preview, if it is a small JPEG that browsers show as we do.

    That is upright, in colour or grey; profile and metadata are left out. The rest gives `None`
    and has to be coded anew. `image` is the header of `data`.
    """
    as_it_is = image.format == "JPEG" and image.mode in ("RGB", "L")
    if not as_it_is or max(image.size) > PREVIEW_SIDE or formats.orientation(image) != 1:
        return None
    bare = without_metadata(data)
    return bare if bare and len(bare) <= MOST_BYTES else None


def write_previews(
    project: Project, content_hash: str, picture: Picture, own: bytes | None = None
) -> Image.Image:
    """Write both from one decoded picture; returns the thumbnail's pixels.

    `own` is what `own_preview` gave: the picture need then be no larger than a thumbnail.
    """
    preview = picture.image if own else fit(picture.image, PREVIEW_LEAST, PREVIEW_SIDE)
    factor = int(max(preview.size) / THUMBNAIL_SIDE + 0.5)
    thumbnail = preview.reduce(factor) if factor > 1 else preview
    data = own or _jpeg(preview)
    itself = thumbnail.size == (picture.width, picture.height) if own else thumbnail is preview
    _write(preview_path(project, content_hash), data)
    _write(thumbnail_path(project, content_hash), data if itself else _jpeg(thumbnail))
    return thumbnail


def fit(image: Image.Image, least: int, most: int) -> Image.Image:
    """The longer side at most `most` pixels, proportions kept; smaller pictures as they are.

    Whole pixels are averaged, quickest by far, if that leaves `least`; else they are filtered.
    """
    longer = max(image.size)
    if longer <= most:
        return image
    whole = -(-longer // most)
    if longer >= least * whole:
        return image.reduce(whole)
    width, height = (max(1, round(length * most / longer)) for length in image.size)
    return image.resize((width, height), Image.Resampling.HAMMING, reducing_gap=2.0)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Full colour resolution: red lines on white are what halved colour spoils first.
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    """All or nothing: whoever looks sees no file or the whole one."""
    temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        try:
            temporary.write_bytes(data)
        except FileNotFoundError:  # the first of its folder
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise LabelerError(
            f"Can't write previews in {path.parent} ({error.strerror}); make room or check its "
            "permissions and import again."
        ) from error
