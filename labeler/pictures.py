"""One way to read a picture: what every encoder, preview and prediction sees is decided here.

`open_picture` gives RGB pixels that are upright (EXIF orientation applied), the first frame of an
animation, and flattened **on white** wherever the file is transparent. Importing, embedding and
predicting all call it, so they can't disagree about the pixels. Colour profiles are not applied:
the encoders were trained on pixels taken as they are.

Files are hostile until read. Only the raster decoders listed in `labeler.formats` are tried (none
starts another program), the size in the header is checked before anything is unpacked, and no text
from a file (names of tags, comments, decoder messages) ends up in a reason.
"""

from __future__ import annotations

import contextlib
import errno
import math
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageFile

from labeler import formats, pixels
from labeler.archives import open_member, through
from labeler.errors import UnreadableImage

if TYPE_CHECKING:
    from labeler.project import Project

# 100-megapixel cameras and 12k x 12k scans fit; unpacked, such a picture takes about 0.5 GB.
MAX_PIXELS = 150_000_000
# Pictures larger than this are unpacked one at a time, so that memory doesn't grow with threads.
LARGE_PIXELS = 25_000_000
_large = threading.Lock()
CHANGED = "The file has changed since it was imported; import it again."


@dataclass(frozen=True)
class Picture:
    """A decoded file: RGB pixels as described above, and what the file itself holds."""

    image: Image.Image
    format: str  # Pillow's name for the content: JPEG, PNG, ... whatever the extension says
    width: int  # of the upright picture in full size, even if `image` was decoded smaller
    height: int


def open_picture(path: Path | str, *, at_least: int | None = None) -> Image.Image:
    """The pixels of the file: RGB, upright, flattened on white; fully loaded, the file closed.

    `at_least` is the length in pixels that the shorter side must keep: a JPEG may then be decoded
    at 1/2, 1/4 or 1/8 of its size, never below it. Raises `UnreadableImage` with a sentence for
    everything that can be wrong with a file.
    """
    path = Path(path)
    with open_regular(path) as file:
        return read_picture(file, path, shorter=at_least).image


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
    grey: bool = False,
) -> Picture:
    """The rest of `read_picture`, for a file whose header has been read and which is still open.

    `grey` leaves the colours of a JPEG undecoded, if all that is wanted is its brightness.
    """
    with quiet_pillow(), contextlib.ExitStack() as held:
        width, height = image.size
        if shorter or longer:  # does nothing but for JPEG
            image.draft("L" if grey else None, _enough(image.size, shorter, longer))
        if image.width * image.height > LARGE_PIXELS:
            held.enter_context(_large)
        drafted = image.size
        picture = _decode(image)
    if picture.size == drafted[::-1] != drafted:
        width, height = height, width
    return Picture(picture, image.format or "", width, height)


def read_header(file: BinaryIO, path: Path) -> ImageFile.ImageFile:
    """What the first bytes say, nothing unpacked; raises `UnreadableImage` for what they rule out.

    The file's position belongs to the picture from here on: leave it as it is until `decode`.
    """
    with quiet_pillow():
        image = formats.identify(file, path)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"It unpacks to {width * height:,} pixels ({width} x {height}), more than the limit "
            f"of {MAX_PIXELS:,}; make a smaller copy of it."
        )
    return image


def _enough(size: tuple[int, int], shorter: int | None, longer: int | None) -> tuple[int, int]:
    scale = shorter / min(size) if shorter else (longer or max(size)) / max(size)
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def open_regular(path: Path) -> BinaryIO:
    """Open a plain file, or one within an archive, for reading; the caller closes it.

    Raises `UnreadableImage` for what is missing, forbidden, empty, or not a plain file (pipes and
    devices are never opened: reading one may wait for ever).
    """
    try:
        if inside := through(path):
            return open_member(*inside)
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableImage("It is a folder, not a file; import the folder itself.")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("It is a pipe, socket or device, not a file.")
        if status.st_size == 0:
            raise UnreadableImage("The file is empty (0 bytes); copy it again from its original.")
        return path.open("rb")
    except OSError as error:
        raise UnreadableImage(_why_not_opened(path, error)) from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage("Its name can't be a file's; rename it.") from error


def _why_not_opened(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return "A link to a file that is not there; restore that file or remove the link."
        return "The file is not there any more; import its folder again."
    if isinstance(error, PermissionError):
        return "No permission to read the file; change its permissions and import again."
    if error.errno == errno.ELOOP:
        return "A link that leads back to itself; remove it."
    return f"The file can't be opened ({error.strerror}); check the disk and import again."


def _decode(image: ImageFile.ImageFile) -> Image.Image:
    """Unpack, flatten and turn upright, with nothing of the file's metadata left on it."""
    try:
        image.load()
        # Asked only now: TIFF turns itself while loading and then no longer says how.
        picture = pixels.upright(pixels.flatten(image), formats.orientation(image))
        picture.info = {}  # else a comment or profile would travel into what is saved from it
        return picture
    except Image.DecompressionBombError as error:
        raise UnreadableImage(
            f"A picture inside it unpacks to far more than the limit of {MAX_PIXELS:,} pixels; "
            "make a smaller copy of it."
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


def preview_path(project: Project, content_hash: str) -> Path:
    """Where the preview (JPEG, at most 1024 px) of this content is kept, made or not."""
    return project.previews / content_hash[:2] / f"{content_hash}.jpg"


def thumbnail_path(project: Project, content_hash: str) -> Path:
    """Where the thumbnail (JPEG, 192 to 384 px) is kept of content whose preview is larger."""
    return project.thumbnails / content_hash[:2] / f"{content_hash}.jpg"
