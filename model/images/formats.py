"""Identify image files by their content: the formats that are read, and reasons for the others.

The content decides, not the extension: a PNG named `.jpg` is read as the PNG it is. Left out of
what Pillow can open: EPS (runs Ghostscript), WMF and EMF (drawn by the system), IPTC (opens
whatever it wraps), FITS and the BUFR, GRIB, HDF5 and MPEG stubs (data, not pictures).
"""

from __future__ import annotations

import functools
import io
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageFile, PngImagePlugin

from model.errors import UnreadableImage

# Imported where they are used: pillow-heif is an optional extra.

# Recognised by their first bytes; the usual ones first.
_BY_CONTENT = (
    *("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "TIFF", "BMP", "JPEG2000", "PSD", "QOI"),
    *("ICO", "CUR", "ICNS", "PPM", "DDS", "SGI", "SUN", "PCX", "DCX", "XBM", "XPM", "MSP"),
    *("BLP", "FLI", "FTEX", "GBR", "PIXAR", "XVTHUMB", "MCIDAS"),
)
MOST_COPIED = 64 << 20  # bytes
# Decoders that take all of a file into memory, whatever the picture needs of it.
_READ_WHOLE, _MOST_WHOLE = ("WEBP", "AVIF", "HEIF"), 256 << 20
MOST_IN_ICONS = 2048 * 2048  # pixels
MOST_TILES = 100_000
# Reading a header, whose parts may be without number: how often it may read, and for how long (of
# the thread's own time), and how often a PNG may afterwards, in which more parts follow the pixels.
MOST_READS = 100_000
LONGEST = 3.0  # seconds
MOST_READS_AFTERWARDS = 1_000_000
_MOST_EXIF = 4 << 20  # bytes
_MOST_PROFILES = 100
_LONGEST_ASIDE = 64 << 20  # bytes of a profile or text in a PNG, as it is stored
_MOST_TEXTS = 16 << 20  # of its texts together, unpacked
_LAST_OF_TIFF = 1023  # of its own tags; the others are other programs'
_BYTES = (1, 2, 6, 7)  # kinds of values in TIFF that are taken as they are
# No distinctive first bytes: tried only where the extension says so.
_BY_EXTENSION = ("TGA", "DIB", "PCD", "IM")
# Enough to import a file that has no image extension. TIFF is not here: many camera raw files and
# scientific data start like one.
_SURE_OF = frozenset({"JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "JPEG2000", "PSD", "QOI"})

_MUCH_ASIDE = "It carries a profile or text of more than 64 MB; save it without its metadata."
_MUCH_FOR_ITS_KIND = "It takes more than 256 MB, which no picture of its kind needs; save it anew."
DAMAGED = "The picture is damaged or breaks off early; copy it again from its original."
_BOMB = "It unpacks to far more pixels than are read here; make a smaller copy of it."
_WEB_PAGE = "A web page saved under an image's name; download the image again."
_HEIC = (
    "A HEIC photo, which needs one more package: pip install 'taste-labeler[heif]', "
    "then import again."
)
_RAW = "A camera raw file; develop it to JPEG or TIFF first."
_VECTOR = "A vector drawing, not pixels; save it as PNG first."
_JXL = "A JPEG XL picture, which can't be read yet; save it as PNG or JPEG."
_NOT_AN_IMAGE = "Its content is not a picture in any format that is read; save it as PNG or JPEG."
_AVIF = (
    "An AVIF picture that this Pillow can't read: pip install --upgrade pillow, then import again."
)

# Extensions of pictures that Pillow doesn't read (or that aren't let near it), with the reason.
_KNOWN_EXTENSIONS = (
    dict.fromkeys((".heic", ".heif", ".hif"), _HEIC)
    | dict.fromkeys((".svg", ".svgz", ".eps", ".ai", ".wmf", ".emf"), _VECTOR)
    | dict.fromkeys((".nef", ".cr2", ".cr3", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef"), _RAW)
    | {".jxl": _JXL, ".avif": _AVIF, ".avifs": _AVIF}
)
# Readable by content, but as extensions they usually mean something else.
_NOT_EXTENSIONS = frozenset({".im", ".rgb", ".rgba", ".bw", ".ras", ".flc", ".blp"})

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


def identify(file: BinaryIO, path: Path) -> ImageFile.ImageFile:
    """Return the image in `file`, only its header read; raises `UnreadableImage`.

    Not `Image.open`: that refuses or warns by a size limit which belongs to the whole process,
    and would try the decoders left out above.
    """
    head = _head(file)
    if path.suffix.lower() in _KNOWN_EXTENSIONS and head[:4] in (b"II*\0", b"MM\0*"):
        raise UnreadableImage(_RAW)  # else its small embedded preview would pass for the picture
    damaged = False
    for name, (factory, accept) in _decoders(path.suffix.lower()).items():
        if accept is not None and not _accepts(accept, head):
            continue
        try:
            if name == "ICO" and _most_in_icon(file) > MOST_IN_ICONS:
                raise UnreadableImage(_BOMB)  # Pillow unpacks it at once
            if name == "TIFF" and _longest_list(file) > MOST_TILES:
                raise UnreadableImage(DAMAGED)  # Pillow goes through it at once
            if name in _READ_WHOLE and file.seek(0, os.SEEK_END) > _MOST_WHOLE:
                raise UnreadableImage(_MUCH_FOR_ITS_KIND)
            file.seek(0)
            # This one closes what it is given.
            own = io.BytesIO(file.read(MOST_COPIED)) if name == "FTEX" else file
            walk = _Walk(own)
            image = factory(walk, "")
            walk.end(MOST_READS_AFTERWARDS if name == "PNG" else None)
        except UnreadableImage:
            raise
        except Image.DecompressionBombError as error:
            raise UnreadableImage(_BOMB) from error
        except Exception:  # damaged headers raise anything; the next decoder may know better
            damaged = damaged or name in _SURE_OF
        else:
            return image  # type: ignore[no-any-return, unused-ignore]
    raise UnreadableImage(_why_unknown(head, path, damaged=damaged))


def looks_like_image(path: Path) -> bool:
    """Return whether an import should take this file: by its extension, else by its content.

    Reads at most 32 bytes, and none of what isn't a plain file.
    """
    if path.suffix.lower() in image_extensions():
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        return False
    return begins_like_image(head)


def begins_like_image(head: bytes) -> bool:
    """Return whether the first 32 bytes of a file can only be those of an image."""
    return any(
        accept is not None and _accepts(accept, head)
        for name, (_, accept) in _decoders("").items()
        if name in _SURE_OF
    )


@functools.cache
def image_extensions() -> frozenset[str]:
    """Return lower-case extensions, with the dot, that mean an image, readable or not."""
    _load_plugins()
    read = {
        extension
        for extension, name in Image.registered_extensions().items()
        if name in (*_BY_CONTENT, *_BY_EXTENSION, "MPO")
    }
    return frozenset((read | _KNOWN_EXTENSIONS.keys()) - _NOT_EXTENSIONS)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1–8; 1 (upright) where there is none or it can't be read."""
    try:
        if len(image.info.get("exif", b"")) > _MOST_EXIF:  # its values may be as many
            return 1
        value = image.getexif().get(0x0112, 1)
    except Exception:  # broken metadata doesn't make the picture unreadable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _accepts(accept: Callable[[bytes], bool | str], head: bytes) -> bool:
    answer = accept(head[:16])
    return not isinstance(answer, str) and bool(answer)  # a string says what is not installed


def _most_in_icon(file: BinaryIO) -> int:
    """The pixels of the largest picture in it, which its directory may tell otherwise."""
    file.seek(4)
    count = int.from_bytes(file.read(2), "little")
    directory, most = file.read(16 * count), 0
    for at in range(12, len(directory), 16):
        file.seek(int.from_bytes(directory[at : at + 4], "little"))
        head = file.read(24)
        is_png = head.startswith(b"\x89PNG")
        at_size, form = (slice(16, 24), ">ii") if is_png else (slice(4, 12), "<ii")
        sides = struct.unpack(form, head[at_size].ljust(8, b"\0"))
        most = max(most, abs(sides[0] * sides[1]) // (1 if is_png else 2))
    return most


def _longest_list(file: BinaryIO) -> int:
    """Of how many values the longest tag of a TIFF is that tells how its pixels lie."""
    file.seek(0)
    head = file.read(16)
    is_big = b"+" in head[2:4]
    order = "<" if head[:2] == b"II" else ">"
    at, count, form = ("Q", "Q", "HHQ8x") if is_big else ("I", "H", "HHI4x")
    entry = struct.Struct(order + form)
    file.seek(struct.unpack_from(order + at, head, 8 if is_big else 4)[0])
    (entries,) = struct.unpack(order + count, file.read(struct.calcsize(count)))
    rows = file.read(entry.size * min(entries, 1 << 16))
    entries_of_tags = entry.iter_unpack(rows[: len(rows) // entry.size * entry.size])
    lists = (
        values
        for tag, kind, values in entries_of_tags
        if tag <= _LAST_OF_TIFF and kind not in _BYTES
    )
    return max(lists, default=0)


class _Walk:
    """A file of which only so much is read, until the `end` of its header.

    Stays in the place of the file, since parts of decoders keep hold of it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MOST_READS
        self._until = time.thread_time() + LONGEST
        self._exif, self._profiles = _MOST_EXIF, _MOST_PROFILES
        self.read = self._watched(file.read)
        self.readline = self._watched(file.readline)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def end(self, left: int | None) -> None:
        """From now on it may be read `left` times, None: at will."""
        self._left, self._until = left or 0, float("inf")
        if left is None:
            self.read, self.readline = self._file.read, self._file.readline

    def _watched(self, read: Callable[..., bytes]) -> Callable[..., bytes]:
        def counted(*most: int) -> bytes:
            self._left -= 1
            if self._left < 0 or time.thread_time() > self._until:
                raise UnreadableImage(DAMAGED)
            data = read(*most)
            if data.startswith(b"Exif\0\0"):  # a JPEG's pieces are put together one by one
                self._exif -= max(len(data), 1 << 14)
            elif data[4:] == b"iCCP":  # of a PNG's profiles each is unpacked
                self._profiles -= 1
            if min(self._exif, self._profiles) < 0:
                raise UnreadableImage(DAMAGED)
            return data

        return counted


def _head(file: BinaryIO) -> bytes:
    try:
        file.seek(0)
        return file.read(512)
    except OSError as error:
        raise UnreadableImage("The file can't be read; check the disk and import again.") from error


class _PixelsFirst(PngImagePlugin.PngStream):
    """A PNG whose profiles and texts, which nobody needs here, never cost its pixels.

    Pillow gives up a picture whose profile or text unpacks to more than a megabyte.
    """

    def chunk_iCCP(self, pos: int, length: int) -> bytes:  # noqa: N802
        return self._aside(super().chunk_iCCP, pos, length)

    def chunk_tEXt(self, pos: int, length: int) -> bytes:  # noqa: N802
        return self._aside(super().chunk_tEXt, pos, length)

    def chunk_zTXt(self, pos: int, length: int) -> bytes:  # noqa: N802
        return self._aside(super().chunk_zTXt, pos, length)

    def chunk_iTXt(self, pos: int, length: int) -> bytes:  # noqa: N802
        return self._aside(super().chunk_iTXt, pos, length)

    def _aside(self, read: Callable[[int, int], bytes], pos: int, length: int) -> bytes:
        assert self.fp is not None
        if length > _LONGEST_ASIDE:
            raise UnreadableImage(_MUCH_ASIDE)
        try:
            if length <= PngImagePlugin.MAX_TEXT_CHUNK and self.text_memory <= _MOST_TEXTS:
                return read(pos, length)
        except (ValueError, SyntaxError, IndexError):
            self.fp.seek(pos)
        return ImageFile._safe_read(self.fp, length)


@functools.cache
def _load_plugins() -> None:
    Image.init()
    PngImagePlugin.PngStream = _PixelsFirst  # type: ignore[misc]
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


@functools.cache
def _decoders(extension: str) -> dict[str, tuple]:
    _load_plugins()
    by_extension = [
        name for name in _BY_EXTENSION if Image.registered_extensions().get(extension) == name
    ]
    names = [*_BY_CONTENT, *by_extension, *(["DIB"] if extension == ".dib" else [])]
    return {name: Image.OPEN[name] for name in names if name in Image.OPEN}


def _why_unknown(head: bytes, path: Path, *, damaged: bool) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    explanations = (
        (head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS, _HEIC),
        (head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS and not damaged, _AVIF),
        (head[4:8] == b"ftyp" and not damaged, "A film, not a picture."),
        (head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")), _JXL),
        (damaged, DAMAGED),
        (text.startswith(b"%!ps") or b"<svg" in text, _VECTOR),
        (text.startswith(b"%pdf"), "A PDF document, not a picture; save its pages as PNG."),
        (text.startswith((b"<!doctype html", b"<html")), _WEB_PAGE),
    )
    fallback = _KNOWN_EXTENSIONS.get(path.suffix.lower(), _NOT_AN_IMAGE)
    return next((reason for holds, reason in explanations if holds), fallback)
