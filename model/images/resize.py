"""Previews and thumbnails of images, and the small image that an import compares."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from model.images import formats
from model.images.decode import Picture, decode
from model.images.jpeg_metadata import without_metadata

if TYPE_CHECKING:
    from PIL import ImageFile

PREVIEW_SIDE = 1024
# A JPEG that decodes to between this and PREVIEW_SIDE is not decoded larger and resized: from
# 2000 or 4000 px that saves most of the work.
PREVIEW_LEAST = 896
# A preview up to this size serves as the thumbnail, too.
OWN_THUMBNAIL_SIDE = 512
THUMBNAIL_SIDE = 256  # about: averaging whole pixels leaves 192 to 384
THUMBNAIL_LEAST = 192
# As an import sees a small JPEG: pictures are told apart by this, and nothing is made of it.
SEEN_LEAST = 128
MOST_BYTES = 1 << 20  # of a small JPEG that becomes its own preview


def is_large(image: ImageFile.ImageFile) -> bool:
    """Return whether the image of this header is larger than its own thumbnail may be."""
    return max(image.size) > OWN_THUMBNAIL_SIDE


def small_image(image: ImageFile.ImageFile, file: BinaryIO) -> Picture:
    """Return the small image by which an import tells images apart; nothing is written."""
    if is_large(image):
        return preview_and_thumbnail(image, file).picture
    return decode(image, longer=SEEN_LEAST)


@dataclass(frozen=True, slots=True)
class PreviewImages:
    """`picture` is what became of the pixels; the rest is what is to be kept."""

    picture: Picture
    preview: Image.Image | bytes
    thumbnail: Image.Image | None


def preview_and_thumbnail(image: ImageFile.ImageFile, file: BinaryIO | None) -> PreviewImages:
    """Decode the image of the header `image` at the sizes that are kept; `file` holds its bytes."""
    data = file.getvalue() if isinstance(file, io.BytesIO) else b""
    own = jpeg_as_preview(image, data)
    if own is None:
        picture = decode(image, longer=PREVIEW_LEAST)
        shown = fit(picture.image, PREVIEW_LEAST, PREVIEW_SIDE)
        large = max(shown.size) > OWN_THUMBNAIL_SIDE
    else:
        large = max(image.size) > OWN_THUMBNAIL_SIDE
        picture = decode(image, longer=THUMBNAIL_LEAST)
        shown = picture.image
    small = smaller(shown) if large else shown
    whole = Picture(small, picture.format, picture.width, picture.height)
    return PreviewImages(whole, own or shown, small if large else None)


def jpeg_as_preview(image: ImageFile.ImageFile, data: bytes) -> bytes | None:
    """Return the file itself as its preview, if it is a small JPEG that browsers show as we do.

    That is upright, in colour or grey; profile and metadata are left out. The rest gives `None`
    and has to be coded anew. `image` is the header of `data`.
    """
    as_it_is = image.format == "JPEG" and image.mode in ("RGB", "L")
    if not as_it_is or max(image.size) > PREVIEW_SIDE or formats.orientation(image) != 1:
        return None
    bare = without_metadata(data)
    return bare if bare and len(bare) <= MOST_BYTES else None


def fit(image: Image.Image, least: int, most: int) -> Image.Image:
    """Return the image with its longer side at most `most` pixels; smaller ones as they are.

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


def smaller(image: Image.Image) -> Image.Image:
    """Return the image reduced to about the size of a thumbnail."""
    factor = int(max(image.size) / THUMBNAIL_SIDE + 0.5)
    return image.reduce(factor) if factor > 1 else image
