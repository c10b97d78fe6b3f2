"""One way to decode a picture: what every encoder, preview and prediction sees is decided here.

RGB pixels that are upright (EXIF orientation applied), the first frame of an animation, flattened
**on white** wherever the file is transparent. Colour profiles are not applied: the encoders were
trained on pixels taken as they are.

Files are hostile until read. Only the raster decoders listed in `model.images.formats` are tried
(none starts another program), the size in the header is checked before anything is unpacked, and no
text from a file (names of tags, comments, decoder messages) ends up in a reason.
"""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile

from model.errors import UnreadableImage
from model.images import formats, limits, pixels


@dataclass(frozen=True)
class Picture:
    """A decoded file: RGB pixels as described above, and what the file itself holds."""

    image: Image.Image
    format: str  # Pillow's name for the content: JPEG, PNG, ... whatever the extension says
    width: int  # of the upright picture in full size, even if `image` was decoded smaller
    height: int


def read_picture(
    file: BinaryIO, path: Path, *, shorter: int | None = None, longer: int | None = None
) -> Picture:
    """Decode an open file; `path` serves for its extension only. Raises `UnreadableImage`.

    `shorter` or `longer` is the length in pixels that this side must keep (see `open_picture`).
    """
    return decode(read_header(file, path), shorter=shorter, longer=longer)


def decode(
    image: ImageFile.ImageFile,
    *,
    shorter: int | None = None,
    longer: int | None = None,
) -> Picture:
    """The rest of `read_picture`, for a file whose header has been read and still is open."""
    with quiet_pillow():
        width, height = image.size
        wanted = _enough(image.size, shorter, longer)
        if shorter or longer or wanted != image.size:  # does nothing but for JPEG
            image.draft(None, wanted)
        with limits.ROOM_FOR_ALL.taken(limits.decoding_memory(image, (width, height))):
            picture, turned = _decode(image)
    if turned:
        width, height = height, width
    return Picture(picture, image.format or "", width, height)


def read_header(file: BinaryIO, path: Path) -> ImageFile.ImageFile:
    """What the first bytes say, nothing unpacked; raises `UnreadableImage` for what they rule out.

    The file's position belongs to the picture from here on: leave it as it is until `decode`.
    """
    with quiet_pillow():
        image = formats.identify(file, path)
        try:
            limits.check(image)
        except UnreadableImage:
            raise
        except Exception as error:  # what a header says of itself may be anything
            raise UnreadableImage(formats.DAMAGED) from error
    return image


def _enough(size: tuple[int, int], shorter: int | None, longer: int | None) -> tuple[int, int]:
    """The size to keep at least; of a picture too large to come out whole a part in any case."""
    scale = 1 / limits.reduction_factor(size)
    if shorter or longer:
        scale = min(scale, shorter / min(size) if shorter else (longer or 1) / max(size))
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def _decode(image: ImageFile.ImageFile) -> tuple[Image.Image, bool]:
    """Unpack, flatten and turn upright, with nothing of the file's metadata left on it.

    True if that exchanged its sides.
    """
    try:
        image.load()
        # Asked only now: TIFF turns itself while loading and then no longer says how.
        orientation = formats.orientation(image)
        flat = pixels.flatten(image, limits.reduction_factor(image.size))
        if flat is image:
            # The same pixels, of no format's own class: JPEG 2000 has another `reduce`.
            flat = image._new(image.im)
        picture = pixels.upright(flat, orientation)
        # Whoever has the header would hold all of it on, when its room is somebody else's.
        image.im = None  # type: ignore[assignment]
        picture.info = {}  # else a comment or profile would travel into what is saved from it
        return picture, orientation >= pixels.ON_ITS_SIDE
    except Image.DecompressionBombError as error:
        raise UnreadableImage(
            f"A picture inside it unpacks to far more than the limit of {limits.MAX_PIXELS:,} "
            "pixels; make a smaller copy of it."
        ) from error
    except MemoryError as error:
        size = f"{image.width} x {image.height}"
        raise UnreadableImage(
            f"Not enough memory to unpack its {size} pixels; make a smaller copy of it."
        ) from error
    except Exception as error:  # decoders raise whatever they like about a damaged file
        raise UnreadableImage(formats.DAMAGED) from error


_quiet_lock = threading.Lock()


_quiet_depth = 0


_quiet_stack = contextlib.ExitStack()


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about odd metadata and sizes while any thread is reading.

    The list of filters belongs to the whole process, so the first reader in changes it and the
    last one out restores it; `warnings.catch_warnings` alone would leave it changed when readers
    overlap.
    """
    global _quiet_depth  # noqa: PLW0603
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_stack.close()
