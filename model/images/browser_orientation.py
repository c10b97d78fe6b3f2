"""Compare the orientation in which browsers show a file with `model.images.formats.orientation`.

Browsers follow an orientation where EXIF in a JPEG gives it as one short number; about all else
(other formats, XMP, other types, several values) they differ among themselves.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from model.images import formats
from model.images.jpeg_metadata import without_metadata

if TYPE_CHECKING:
    from PIL import ImageFile

_TAG, _SHORT = 0x0112, 3
_UPRIGHT = 1
_MOST_ENTRIES = 1000


def browsers_agree(header: ImageFile.ImageFile) -> bool:
    """Return whether every browser shows the file in the orientation of previews and embeddings."""
    ours = formats.orientation(header)
    written = _written(header.info.get("exif"))
    if written is None:
        return ours == _UPRIGHT
    kind, count, value = written
    if (kind, count) == (_SHORT, 1) and header.format == "JPEG":
        return ours == (value if 1 <= value <= 8 else _UPRIGHT)
    return ours == _UPRIGHT == value


def with_our_orientation(header: ImageFile.ImageFile, data: bytes) -> bytes | None:
    """Return the JPEG `data` so that every browser shows our orientation, not recompressed.

    `None` for other formats, and for what not every browser shows.
    """
    bare = without_metadata(data) if header.format == "JPEG" else None
    if bare is None:
        return None
    # One directory of one entry: tag, type, count, value; then no other directory.
    entry = struct.pack(">HHIHH", _TAG, _SHORT, 1, formats.orientation(header), 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    return bare[:2] + segment + bare[2:]


def _written(exif: object) -> tuple[int, int, int] | None:
    """Return type, count and first value of the EXIF orientation, zeros where unreadable."""
    if not isinstance(exif, bytes) or not exif:
        return None
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, start)
        for number in range(min(entries, _MOST_ENTRIES)):
            at = start + 2 + 12 * number
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, at)
            if tag == _TAG:
                form = "H" if kind == _SHORT else "I"
                where = at + 8
                if kind == _SHORT and count > 2:
                    (where,) = struct.unpack_from(f"{order}I", data, where)
                return kind, count, struct.unpack_from(f"{order}{form}", data, where)[0]
    except struct.error:
        return 0, 0, 0
    return None
