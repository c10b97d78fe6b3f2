"""The bytes of a JPEG file: those that make the picture, without what was written about it."""

from __future__ import annotations

import re

END = b"\xff\xd9"
_START, _SCAN = b"\xff\xd8", 0xDA
# Within a scan 0xFF is followed by 0, by the number of a restart, or by another 0xFF.
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# How the pixels may be coded for every browser to show them: baseline, extended, progressive.
# Arithmetic and lossless coding, which Pillow may know, are among the others.
_FRAMES = range(0xC0, 0xD0)
_SHOWN_FRAMES = (0xC0, 0xC1, 0xC2)
_TABLES = 0xC4  # numbered among the frames
_COMMENT = 0xFE
_APPLICATIONS = range(0xE0, 0xF0)
# JFIF and Adobe say what the colours are; the other applications' segments hold EXIF, XMP,
# profiles, small copies of the picture.
_KEPT_APPLICATIONS = (0xE0, 0xEE)


def without_metadata(data: bytes) -> bytes | None:
    """The same picture, nothing coded anew; `None` if not every browser might show it."""
    if not data.startswith(_START):
        return None
    kept = [_START]
    at, scanned = len(_START), False
    while at + len(END) <= len(data):
        if data.startswith(END, at):  # whatever is behind it
            return b"".join((*kept, END)) if scanned else None
        marker, code = data[at : at + 2]
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker != 0xFF or end < at + 4 or (code in _FRAMES and not _shown(code)):
            return None
        if code == _SCAN:
            behind = _BEHIND_SCAN.search(data, end)
            if behind is None:
                return None
            end, scanned = behind.start(), True
        if not _said_about_it(code):
            kept.append(data[at:end])
        at = end
    return None


def _shown(frame: int) -> bool:
    return frame in _SHOWN_FRAMES or frame == _TABLES


def _said_about_it(code: int) -> bool:
    return code == _COMMENT or (code in _APPLICATIONS and code not in _KEPT_APPLICATIONS)
