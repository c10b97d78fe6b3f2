"""The small copies that the pages show: a preview per content, and a thumbnail if that is large.

They are JPEG files named after the content's hash, so they are made once however often the picture
occurs, and a browser may keep them for ever. They can be made again while a file of the picture is
there, thumbnails from the preview alone. Large pictures get theirs when they are imported. A small
one gets its single copy when somebody first looks at it, which takes a few milliseconds: of a
million small pictures most are never looked at.
"""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from db.plain_files import is_plain
from labeler import formats
from labeler.errors import LabelerError
from labeler.jpeg_files import END, without_metadata
from labeler.originals import check_known
from labeler.pictures import (
    Picture,
    decode,
    open_in_memory,
    open_regular,
    preview_path,
    read_header,
    thumbnail_path,
)
from labeler.whole_files import whole_file

if TYPE_CHECKING:
    from PIL import ImageFile

    from labeler.project import Project

PREVIEW_SIDE = 1024
# A JPEG that decodes to between this and PREVIEW_SIDE is not decoded larger and resized: from
# 2000 or 4000 px that saves most of the work.
PREVIEW_LEAST = 896
# A preview up to this size serves as the thumbnail, too.
OWN_THUMBNAIL_SIDE = 512
THUMBNAIL_SIDE = 256  # about: averaging whole pixels leaves 192 to 384
THUMBNAIL_LEAST = 192  # which also tells the fingerprint: less of a picture tells another one
QUALITY = 88
MOST_BYTES = 1 << 20  # of a small JPEG that becomes its own preview


def wanted_at_once(image: ImageFile.ImageFile) -> bool:
    """Whether the picture whose header is `image` is too large to be made small while one waits."""
    return max(image.size) > OWN_THUMBNAIL_SIDE


class Unkept(LabelerError):
    """A small copy can't be written; the picture itself may be as good as ever."""


def has_preview(project: Project, content_hash: str) -> bool:
    return _is_there(preview_path(project, content_hash))


def preview_of(project: Project, content_hash: str, original: Path) -> Path:
    """The preview's file, made again from `original` if it is gone.

    Raises `UnreadableImage` if the picture itself can't be read any more, or is another one now.
    """
    if not has_preview(project, content_hash):
        with open_in_memory(original) as file:
            header = read_header(file, original)
            check_known(file, content_hash)
            make_previews(project, content_hash, header, file)
    return preview_path(project, content_hash)


def thumbnail_of(project: Project, content_hash: str, original: Path) -> Path:
    """The file that serves as thumbnail, made again from the preview if it is gone.

    Raises `UnreadableImage` if that is gone, too, and the picture can't be read any more.
    """
    thumbnail = thumbnail_path(project, content_hash)
    if _is_there(thumbnail):
        return thumbnail
    preview = preview_of(project, content_hash, original)
    with open_regular(preview) as file:
        header = read_header(file, preview)
        if max(header.size) <= OWN_THUMBNAIL_SIDE:
            return preview
        picture = decode(header, longer=THUMBNAIL_LEAST)
    _write(thumbnail, _smaller(picture.image))
    return thumbnail


def passing(content_hash: str, original: Path, *, small: bool = False) -> Image.Image:
    """The preview, or the thumbnail if `small`, for where none can be kept.

    Raises `UnreadableImage` as `preview_of` does.
    """
    with open_in_memory(original) as file:
        header = read_header(file, original)
        check_known(file, content_hash)
        picture = decode(header, longer=PREVIEW_LEAST)
    shown = fit(picture.image, PREVIEW_LEAST, PREVIEW_SIDE)
    return _smaller(shown) if small else shown


def make_previews(
    project: Project, content_hash: str, image: ImageFile.ImageFile, file: BinaryIO | None = None
) -> Picture:
    """Decode the picture whose header is `image` and write what is to be kept of it.

    `file` is what it was read from. Returns it as small as it was decoded or made: good for a
    fingerprint only. Raises `UnreadableImage`.
    """
    data = file.getvalue() if isinstance(file, io.BytesIO) else b""
    own = own_preview(image, data)
    if own is None:
        picture = decode(image, longer=PREVIEW_LEAST)
        shown = fit(picture.image, PREVIEW_LEAST, PREVIEW_SIDE)
        large = max(shown.size) > OWN_THUMBNAIL_SIDE
    else:
        large = max(image.size) > OWN_THUMBNAIL_SIDE
        picture = decode(image, longer=THUMBNAIL_LEAST, grey=not large)
        shown = picture.image
    small = _smaller(shown) if large else shown
    if large:
        _write(thumbnail_path(project, content_hash), small)
    _write(preview_path(project, content_hash), own or shown)
    return Picture(small, picture.format, picture.width, picture.height)


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


def _smaller(image: Image.Image) -> Image.Image:
    """About the size of a thumbnail."""
    factor = int(max(image.size) / THUMBNAIL_SIDE + 0.5)
    return image.reduce(factor) if factor > 1 else image


def _is_there(path: Path) -> bool:
    """False also for the empty file that a crash may leave, and for a link to anything else."""
    return is_plain(path, path.parents[2]) and path.stat().st_size > 0


def _write(path: Path, content: Image.Image | bytes) -> None:
    """All or nothing: whoever looks sees no file or the whole one."""
    try:
        with whole_file(path, lasting=False, within=path.parents[2]) as scratch:
            _fill(scratch, content)
    except OSError as error:
        raise Unkept(
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
