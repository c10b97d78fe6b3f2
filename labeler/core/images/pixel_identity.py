"""Identity of pictures by their pixels, whatever else their files hold.

What a file shows is kept in two ways. `pixel_hash` is a hash of the upright pixels as an import
sees them (whole up to 512 pixels, else reduced) and of their full size: equal ones mean the same
picture. `glimpse` is 8 × 8 colours, how the pixels are coded, and which way up they are stored:
it tells what is nearly the same where a hash can't, as after a lossless turn, whose decoding is
off by a shade here and there, or a recompression.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image as Pillow
from PIL import features

from db.records import Image, ImportedFile, Pixels
from labeler.core.archives.opening import open_in_memory
from model.errors import UnreadableImage
from model.images import formats
from model.images.decode import Picture, read_header, read_picture
from model.images.hashing import content_hash
from model.images.resize import small_image

if TYPE_CHECKING:
    from PIL import ImageFile

_HEX = 32  # digits kept of a hash
_SIDE = 8
_PIECE = 1 << 16  # bytes of pixels that are hashed at once
_HEAD = 11  # bytes of a glimpse before its colours: layout, orientation, coding, decoder
_LAYOUT = 1
_BLOCK = 16  # pixels that a lossless turn may cut off, or leave where they were
# Mean differences of colours, 0 to 255. Recompressing makes about 0.3, whatever the quality.
_ROUNDING, _SHIFTED, _NEARLY = 1.5, 30.0, 16.0
_SQUEEZED = 0.04  # by how much the proportions may differ of what is nearly the same
_ON_ITS_SIDE = (1, 3, 5, 7)  # of all turns
_JPEG = b"J"
_NEAR_BITS = 10  # of the fingerprint, for images that were imported before pixels were kept


def pixels_of(header: ImageFile.ImageFile, seen: Picture) -> Pixels:
    """Return the hash and the glimpse of a picture, by its header and its decoded pixels."""
    small = seen.image
    digest = hashlib.sha256(f"{seen.width}x{seen.height}:{small.width}x{small.height}:".encode())
    for piece in _packed(small):
        digest.update(piece)
    colours = small.resize((_SIDE, _SIDE), Pillow.Resampling.BOX)
    head = (
        bytes((_LAYOUT, formats.orientation(header)))
        + _coding(header)
        + _decoder(header.format or "")
    )
    return Pixels(digest.hexdigest()[:_HEX], head + colours.tobytes())


def _packed(image: Pillow.Image) -> Iterator[bytes]:
    """Yield the pieces of `image.tobytes()`, which would join them in one more copy."""
    encoder = Pillow._getencoder(image.mode, "raw", (image.mode,))
    encoder.setimage(image.im, (0, 0, *image.size))
    is_last = 0
    while not is_last:
        _, is_last, piece = encoder.encode(max(_PIECE, 4 * image.width))
        yield piece


def is_still(file: BinaryIO, path: Path, known_content: str | None, pixel_hash: str | None) -> bool:
    """Return whether an open file has this content or these pixels; its position is kept.

    For files of images use `labeler.core.images.originals`.
    """
    if content_hash(file) == known_content:
        return True
    if pixel_hash is None:
        return False
    position = file.tell()
    try:
        header = read_header(file, path)
        return pixels_of(header, small_image(header, file)).pixel_hash == pixel_hash
    except UnreadableImage:
        return False
    finally:
        file.seek(position)


def shows_the_same(path: Path, other: Path) -> bool:
    """Return whether all decoded pixels of two files are equal."""
    with open_in_memory(path) as file, open_in_memory(other) as beside:
        one, two = read_picture(file, path), read_picture(beside, other)
    if one.image.size != two.image.size:
        return False
    return one.image.tobytes() == two.image.tobytes()


@dataclass(frozen=True, slots=True)
class Likeness:
    """Comparison of a file's picture with its earlier one; at most one field is true.

    `same`: equal pixels; `turned`: rotated or mirrored; `near`: looks alike.
    """

    same: bool = False
    turned: bool = False
    near: bool = False


def likeness(before: Image, shown: Pixels | None, now: ImportedFile) -> Likeness:
    """Compare the picture in a rewritten file with the image `before`.

    `shown` are the pixels of `before`; without them its fingerprint is compared.
    """
    if now.pixels is None or None in (before.width, before.height, now.width, now.height):
        return Likeness()
    if shown is None or shown.glimpse[:1] != now.pixels.glimpse[:1]:
        return _by_fingerprint(before, now)
    if shown.pixel_hash == now.pixels.pixel_hash:
        return Likeness(same=True)
    then, here = _Glimpse.read(shown.glimpse), _Glimpse.read(now.pixels.glimpse)
    if _is_lossless(then, here, _size(before), _size(now)):
        return Likeness(same=True)
    turns = _turns(here.colours)
    apart = [_difference(then.colours, colours) for colours in turns]
    best = int(np.argmin(apart))
    size = _size(now)[::-1] if best in _ON_ITS_SIDE else _size(now)
    if best and then.coding == here.coding and _within_a_block(size, _size(before)):
        most = min(_SHIFTED, apart[0] / 2) if here.coding[:1] == _JPEG else _ROUNDING
        if apart[best] <= most:
            return Likeness(turned=True)
    return Likeness(near=apart[best] <= _NEARLY and _is_proportional(_size(before), size))


@dataclass(frozen=True, slots=True)
class _Glimpse:
    """`coding` is what a lossless change leaves as it is; `colours` (8, 8, 3) 0 to 255."""

    turn: int
    coding: bytes
    decoder: bytes
    colours: np.ndarray

    @classmethod
    def read(cls, data: bytes) -> _Glimpse:
        shape = (_SIDE, _SIDE, 3)
        told = np.frombuffer(data[_HEAD:].ljust(192, b"\0")[:192], np.uint8)
        return cls(data[1], data[2:9], data[9:_HEAD], told.reshape(shape).astype(np.int16))


def _is_lossless(
    then: _Glimpse, here: _Glimpse, before: tuple[int, int], now: tuple[int, int]
) -> bool:
    """Coded as before, and off by no more than a turn, or another decoder, explains."""
    if then.coding != here.coding:
        return False
    apart = _difference(then.colours, here.colours)
    if before == now and apart <= _ROUNDING:
        return then.turn != here.turn or then.decoder != here.decoder
    is_jpeg = here.coding[:1] == _JPEG
    return is_jpeg and then.turn != here.turn and _within_a_block(before, now) and apart <= _SHIFTED


def _turns(colours: np.ndarray) -> list[np.ndarray]:
    """Every way up, as it is first; those in _ON_ITS_SIDE exchange width and height."""
    return [np.rot90(one, quarter) for one in (colours, colours[:, ::-1]) for quarter in range(4)]


def _difference(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.abs(one - two).mean())


def _by_fingerprint(before: Image, now: ImportedFile) -> Likeness:
    if before.fingerprint is None or now.fingerprint is None:
        return Likeness()
    bits = (before.fingerprint ^ now.fingerprint).bit_count()
    if not bits and _size(before) == _size(now) and before.format == now.format:
        return Likeness(same=True)  # as far as can be told: the pixels may be others
    return Likeness(near=bits <= _NEAR_BITS and _is_proportional(_size(before), _size(now)))


def _size(described: Image | ImportedFile) -> tuple[int, int]:
    return described.width or 0, described.height or 0


def _within_a_block(one: tuple[int, int], two: tuple[int, int]) -> bool:
    return all(abs(a - b) <= _BLOCK for a, b in zip(one, two, strict=True))


def _is_proportional(one: tuple[int, int], two: tuple[int, int]) -> bool:
    across, along = one[0] * two[1], one[1] * two[0]
    return abs(across - along) <= _SQUEEZED * max(across, along, 1)


def _coding(header: ImageFile.ImageFile) -> bytes:
    """Seven bytes of how the pixels are coded: the same for a JPEG turned or packed anew."""
    if header.format not in ("JPEG", "MPO"):
        return b"-" + _digest_of(header.format)
    tables = getattr(header, "quantization", {})
    layers = getattr(header, "layer", ())
    return _JPEG + _jpeg_coding(
        tuple((layer[1], layer[2], tuple(tables.get(layer[3], ()))) for layer in layers)
    )


@functools.lru_cache(maxsize=256)  # most files of a collection were coded alike
def _jpeg_coding(layers: tuple[tuple[int, int, tuple[int, ...]], ...]) -> bytes:
    return _digest_of([(sorted(sampling), sorted(table)) for *sampling, table in layers])


def _digest_of(told: object) -> bytes:
    return hashlib.sha256(repr(told).encode()).digest()[:6]


@functools.cache
def _decoder(format_name: str) -> bytes:
    """Two bytes of what decoded it: another version may round otherwise."""
    told = Pillow.__version__ if format_name != "JPEG" else _jpeg_version()
    return hashlib.sha256(f"{format_name} {told}".encode()).digest()[:2]


def _jpeg_version() -> str:
    return f"{features.version('libjpeg_turbo')} {features.version('jpg')}"
