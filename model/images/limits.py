"""Estimate from its header what decoding an image costs; refuse it, or make it wait for memory.

A few bytes of a file may unpack to gigabytes, or keep a decoder busy for minutes. Every format has
its own price: some decoders hold the picture several times over, some are slow.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageFile

from model.errors import UnreadableImage
from model.images import formats
from model.images.jpeg_metadata import Scans, TooManySegments, scans_of
from model.images.pixels import is_plain

# 100-megapixel cameras and 12k x 12k scans fit.
MAX_PIXELS = 150_000_000
LONGEST_SIDE = 1_000_000
# A picture up to this size comes out as it is. Of a larger one squares of pixels are averaged,
# so that no more comes out than MOST_AVERAGED.
MOST_OUT = 25_000_000
MOST_AVERAGED = 12_500_000
# Bytes that all pictures being unpacked at one time may take: with all the rest of an import, less
# than a gigabyte.
ROOM = 700_000_000
MUCH = 100_000_000
# Some rare formats are decoded pixel by pixel in Python: 2048 x 2048 takes seconds.
MOST_SLOWLY = 2048 * 2048
_QUICK_IN_PYTHON = ("MSP", "SGI16")  # row by row
# Pixels gone through, in all passes of a JPEG: some seconds.
MOST_PASSED = 5_000_000_000

# Bytes per pixel that a decoder holds beside the picture itself; measured.
_BESIDE = {"WEBP": 12, "AVIF": 12, "HEIF": 12, "SGI": 4, "PSD": 1, "FTEX": 4, "GBR": 4, "DDS": 4}
_BESIDE_ICON = 12
_DRAFTED = ("JPEG", "MPO")
_TURNED = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")
_OWN = {"1": 1, "L": 1, "P": 1}  # bytes per pixel in Pillow
_SCAN = b"\xff\xda"
_FRAME = re.compile(rb"\xff[\xc0-\xc2]\x00.\x08(..)(..)", re.DOTALL)
_DEEPEST_REDUCTION = 5


def check(image: ImageFile.ImageFile) -> None:
    """Raise `UnreadableImage` for what unpacks to too much, or takes far too long."""
    width, height = image.size
    pixels = width * height
    if pixels > MAX_PIXELS:
        raise _too_large(image, MAX_PIXELS)
    if max(width, height) > LONGEST_SIDE:  # every row and every line of pixels has its own price
        raise UnreadableImage(
            f"It is {width} x {height} pixels, and a side has at most {LONGEST_SIDE:,}; cut it up."
        )
    if pixels > MOST_SLOWLY and _is_slow(image):
        raise _too_large(image, MOST_SLOWLY, f" for {image.format}, which is read slowly")
    if image.format in ("ICNS", "BLP") and _most_inside(image) > formats.MOST_IN_ICONS:
        raise UnreadableImage(formats.DAMAGED)
    if image.format == "JPEG2000":
        _reduce(image)
    each = decoding_memory(image) / max(pixels, 1)
    if decoding_memory(image) > ROOM:
        most = int(ROOM / each) // 1_000_000 * 1_000_000
        if not most:  # its tiles, not its pixels
            raise UnreadableImage(formats.DAMAGED)
        raise _too_large(image, most, f" for {image.format} of its kind, which takes much memory")
    if _passed(image, pixels) > MOST_PASSED:
        raise UnreadableImage(
            "It is stored in more passes than any program needs, and would take very long to "
            "unpack; save it anew."
        )


def decoding_memory(image: ImageFile.ImageFile, stored: tuple[int, int] | None = None) -> int:
    """Return an upper bound, in bytes, of the memory that decoding takes, its result included.

    `stored` is the size that the file has, where only a part of that (`draft`) is wanted.
    """
    pixels = image.width * image.height
    out = _out(image)
    if stored is None and image.format in _DRAFTED and pixels > MOST_OUT:
        pixels //= 4  # as much of it as is ever unpacked
    return (
        int(pixels * (_own(image) + _beside(image)))
        + _held_whole(image, stored or image.size)
        + out
    )


def reduction_factor(size: tuple[int, int]) -> int:
    """Return the factor by which an image is reduced: 1 for all but the largest."""
    if size[0] * size[1] <= MOST_OUT:
        return 1
    factor = 2
    while -(-size[0] // factor) * -(-size[1] // factor) > MOST_AVERAGED:
        factor += 1
    return factor


class Room:
    """Memory that threads share: a request for more than is left waits, first come first served."""

    def __init__(self, size: int) -> None:
        self.size = self._left = size
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of it (all of it, if that is less)."""
        size, me = min(size, self.size), object()
        with self._changed:
            self._line.append(me)
            try:
                self._changed.wait_for(lambda: self._line[0] is me and self._left >= size)
                self._left -= size
            finally:
                self._line.remove(me)
                self._changed.notify_all()
        try:
            yield
        finally:
            if size >= MUCH:
                _hand_back()
            with self._changed:
                self._left += size
                self._changed.notify_all()


ROOM_FOR_ALL = Room(ROOM)


def _hand_back() -> None:
    """Return freed memory to the system: glibc keeps it for the thread that freed it."""
    with contextlib.suppress(OSError, AttributeError):  # other systems' allocators do otherwise
        ctypes.CDLL(None).malloc_trim(0)


def _too_large(image: ImageFile.ImageFile, most: int, why: str = "") -> UnreadableImage:
    width, height = image.size
    return UnreadableImage(
        f"It unpacks to {width * height:,} pixels ({width} x {height}), more than the limit of "
        f"{most:,}{why}; make a smaller copy of it."
    )


def _out(image: ImageFile.ImageFile) -> int:
    """Return bytes of the result: flattened, then rotated, each only where necessary."""
    factor = reduction_factor(image.size)
    pixels = -(-image.width // factor) * -(-image.height // factor)
    is_flat = factor == 1 and is_plain(image)
    # Asked of others it would unpack them; TIFF has its own price.
    is_turned = image.format in _TURNED and formats.orientation(image) != 1
    return 4 * pixels * ((not is_flat) + is_turned)


def _own(image: ImageFile.ImageFile) -> int:
    return 2 if image.mode.startswith("I;16") else _OWN.get(image.mode, 4)


def _beside(image: ImageFile.ImageFile) -> float:
    """Return bytes per pixel that the decoder holds beside the image."""
    if image.format == "JPEG2000":  # four bytes for each value, and the picture once more
        scale = 4 ** int(getattr(image, "_reduce", 0))
        return (4 * len(image.getbands()) + 2 * _own(image)) / scale - _own(image)
    if image.format == "TIFF":
        # One that lies on its side is turned as a whole.
        return _own(image) if formats.orientation(image) != 1 else 0
    if image.format in ("ICO", "ICNS"):
        return _BESIDE_ICON
    return _BESIDE.get(image.format or "", 0)


def _held_whole(image: ImageFile.ImageFile, stored: tuple[int, int]) -> int:
    """Return bytes that are taken even where a smaller image is requested."""
    if image.format in _DRAFTED and _scans(image).are_several:
        return _coefficients(image, stored)
    if image.format == "TIFF" and not _is_raw(image):
        return _strip(image)
    return 0


def _coefficients(image: ImageFile.ImageFile, stored: tuple[int, int]) -> int:
    """Return bytes of the coefficients of a JPEG in several scans, two for each."""
    layers = [(int(across), int(down)) for _, across, down, _ in getattr(image, "layer", ())]
    full = max((a for a, _ in layers), default=1) * max((d for _, d in layers), default=1)
    return int(2 * stored[0] * stored[1] * sum(a * d for a, d in layers) / max(full, 1))


def _is_raw(image: ImageFile.ImageFile) -> bool:
    return bool(image.tile) and image.tile[0][0] == "raw"


def _strip(image: ImageFile.ImageFile) -> int:
    """Return bytes of the largest strip or tile of a TIFF, which is decoded at once."""
    tags = getattr(image, "tag_v2", {})
    try:
        across = int(tags.get(322) or image.width)
        down = int(tags.get(323) or tags.get(278) or image.height)
    except (TypeError, ValueError):
        return 8 * image.width * image.height
    if tags.get(322) is None:
        down = min(down, image.height)
    return max(0, across) * max(0, down) * 4


def _is_slow(image: ImageFile.ImageFile) -> bool:
    codec = image.tile[0][0] if image.tile else ""
    return codec in Image.DECODERS and codec not in _QUICK_IN_PYTHON


def _reduce(image: ImageFile.ImageFile) -> None:
    """Let a large JPEG 2000 be decoded at half, a quarter … of its size, as such files offer."""
    while decoding_memory(image) > ROOM and image._reduce < _DEEPEST_REDUCTION:  # type: ignore[attr-defined]
        image.reduce = image._reduce + 1  # type: ignore[attr-defined,method-assign]


def _passed(image: ImageFile.ImageFile, pixels: int) -> int:
    """Return pixels processed, in all passes of a JPEG, also of one within a texture."""
    if image.format in _DRAFTED:
        return _scans(image).count * pixels
    if image.format == "BLP":
        return _whole(image).count(_SCAN) * _most_in_frames(image)
    return pixels


def _scans(image: ImageFile.ImageFile) -> Scans:
    """Return the scans of a JPEG whose file is open; counted once."""
    scans: Scans | None = getattr(image, "_scans", None)
    if scans is None:
        most = MOST_PASSED // max(image.width * image.height, 1)
        file = image.fp
        try:
            scans = Scans(are_several=True) if file is None else scans_of(file, most)  # type: ignore[arg-type]
        except TooManySegments:
            raise UnreadableImage(formats.DAMAGED) from None
        image._scans = scans  # type: ignore[attr-defined]
    return scans


def _most_inside(image: ImageFile.ImageFile) -> int:
    """Return the pixels of the largest image within icons or a texture, not by its header."""
    if image.format == "BLP":
        return _most_in_frames(image)
    file = image.icns.fobj  # type: ignore[attr-defined]
    starts = [start for start, _ in image.icns.dct.values()]  # type: ignore[attr-defined]
    position, most = file.tell(), 0
    for start in starts:
        file.seek(start)
        most = max(most, _pixels_of(file.read(1 << 12)))
    file.seek(position)
    return most


def _pixels_of(head: bytes) -> int:
    """Return the pixels of a PNG or JPEG 2000; 0 for another format."""
    try:
        width, height = formats.identify(io.BytesIO(head), Path("inside")).size
    except UnreadableImage:
        return 0
    return width * height


def _most_in_frames(image: ImageFile.ImageFile) -> int:
    frames = _FRAME.findall(_whole(image))
    sizes = [[int.from_bytes(side, "big") for side in frame] for frame in frames]
    return max((height * width for height, width in sizes), default=0)


def _whole(image: ImageFile.ImageFile) -> bytes:
    """Return all bytes of a file of a format that is never large."""
    file = image.fp
    if file is None:
        return b""
    position = file.tell()
    file.seek(0)
    data = file.read(formats.MOST_COPIED + 1)
    file.seek(position)
    if len(data) > formats.MOST_COPIED:
        raise UnreadableImage(formats.DAMAGED)
    return data
