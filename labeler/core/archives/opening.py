"""One way to read a picture: what every encoder, preview and prediction sees is decided here.

`open_picture` gives RGB pixels that are upright (EXIF orientation applied), the first frame of an
animation, and flattened **on white** wherever the file is transparent. Importing, embedding and
predicting all call it, so they can't disagree about the pixels. Colour profiles are not applied:
the encoders were trained on pixels taken as they are.

Files are hostile until read. Only the raster decoders listed in `model.images.formats` are tried
(none starts another program), the size in the header is checked before anything is unpacked, and no
text from a file (names of tags, comments, decoder messages) ends up in a reason.
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageFile

from labeler.core.archives.archives import open_member, through
from labeler.core.errors import LabelerError, UnreadableImage
from labeler.core.project import STORE_FILES
from model.files.bounded import TooLarge, open_plain
from model.images import formats, limits, pixels

if TYPE_CHECKING:
    from labeler.core.project import Project

# A file up to this size is read once, into memory, to be hashed and decoded from there.
IN_MEMORY = 16 << 20
# No file with a picture is larger: 150 megapixels of eight bytes each fit twice.
MOST_BYTES = 4 << 30
TOO_MANY_OPEN = (
    "Too many files are open at once; close other programs or raise the limit with ulimit -n, and "
    "try again."
)
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
    at 1/2, 1/4 or 1/8 of its size, never below it. What is larger than `unpacking.MOST_OUT` comes
    out smaller in any case, its pixels averaged. Raises `UnreadableImage` with a sentence for
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
) -> Picture:
    """The rest of `read_picture`, for a file whose header has been read and still is open."""
    with quiet_pillow():
        width, height = image.size
        wanted = _enough(image.size, shorter, longer)
        if shorter or longer or wanted != image.size:  # does nothing but for JPEG
            image.draft(None, wanted)
        with limits.ROOM_FOR_ALL.taken(limits.needed(image, (width, height))):
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
    scale = 1 / limits.shrinking(size)
    if shorter or longer:
        scale = min(scale, shorter / min(size) if shorter else (longer or 1) / max(size))
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def open_regular(path: Path) -> BinaryIO:
    """Open a plain file, or one within an archive, for reading; the caller closes it.

    Raises `UnreadableImage` for what is missing, forbidden, empty, larger than MOST_BYTES, almost
    all holes (a few bytes on the disk that would be read for hours), or not a plain file (pipes and
    devices are never opened: reading one may wait for ever), and `LabelerError` where the system
    can't open any file now.
    """
    if path.name in STORE_FILES:
        raise UnreadableImage("It is the store of a project and holds no picture; leave it out.")
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
        return open_plain(path, limit=MOST_BYTES)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # It says nothing about this picture.
            raise LabelerError(TOO_MANY_OPEN) from error
        raise UnreadableImage(_why_not_opened(path, error)) from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage("Its name can't be a file's; rename it.") from error


def open_in_memory(path: Path) -> BinaryIO:
    """The file open for reading, as a `BytesIO` unless it is large; the caller closes it.

    For what is hashed and then decoded: so it is read from the disk only once. Raises as
    `open_regular` does.
    """
    opened = open_regular(path)
    if isinstance(opened, io.BytesIO):
        return opened
    size_bytes = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    if size_bytes > IN_MEMORY:
        return opened
    with opened:
        # Not simply the most there may be: memory for all of that would be set aside each time.
        return io.BytesIO(opened.read(size_bytes + 1))


def _why_not_opened(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return "A link to a file that is not there; restore that file or remove the link."
        return "The file is not there any more; import the folder that it lies in now."
    if isinstance(error, PermissionError):
        return "No permission to read the file; change its permissions and import again."
    if isinstance(error, TooLarge):
        return f"It can't be a picture, for {error.strerror}; copy it again from its original."
    if error.errno == errno.ELOOP:
        return "A link that leads back to itself; remove it."
    return f"The file can't be opened ({error.strerror}); check the disk and import again."


def _decode(image: ImageFile.ImageFile) -> tuple[Image.Image, bool]:
    """Unpack, flatten and turn upright, with nothing of the file's metadata left on it.

    True if that exchanged its sides.
    """
    try:
        image.load()
        # Asked only now: TIFF turns itself while loading and then no longer says how.
        orientation = formats.orientation(image)
        flat = pixels.flatten(image, limits.shrinking(image.size))
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


def preview_path(project: Project, content_hash: str) -> Path:
    """Where the preview (JPEG, at most 1024 px) of this content is kept, made or not."""
    return project.previews / content_hash[:2] / f"{content_hash}.jpg"


def thumbnail_path(project: Project, content_hash: str) -> Path:
    """Where the thumbnail (JPEG, 192 to 384 px) is kept of content whose preview is larger."""
    return project.thumbnails / content_hash[:2] / f"{content_hash}.jpg"
