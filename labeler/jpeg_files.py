"""The bytes of a JPEG file: those that make the picture, without what was written about it."""

from __future__ import annotations

_START, _SCAN = b"\xff\xd8", 0xDA
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
    at = len(_START)
    while at + 4 <= len(data):
        marker, code = data[at : at + 2]
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker != 0xFF or end < at + 4 or (code in _FRAMES and not _shown(code)):
            return None
        if code == _SCAN:
            return b"".join((*kept, data[at:]))
        if not _said_about_it(code):
            kept.append(data[at:end])
        at = end
    return None


def _shown(frame: int) -> bool:
    return frame in _SHOWN_FRAMES or frame == _TABLES


def _said_about_it(code: int) -> bool:
    return code == _COMMENT or (code in _APPLICATIONS and code not in _KEPT_APPLICATIONS)
