"""Parse the segments of a JPEG file: count its scans, strip its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

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
# What a decoder takes notice of; anything else that looks like a marker it passes over or refuses.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xdd\xe0-\xef\xfe])")
_END = 0xD9
_NO_FRAMES = (_TABLES, 0xC8, 0xCC)
_PROGRESSIVE_FRAMES = (0xC2, 0xC6, 0xCA, 0xCE)
_READ_AT_ONCE = 1 << 16
_LONGEST_HEAD = 16  # bytes from a marker to the last that is looked at
MOST_SEGMENTS = 100_000


class TooManySegments(Exception):
    """Raised for a file with more segments than any image needs."""


@dataclass(frozen=True, slots=True)
class Scans:
    """How a JPEG is stored: `count` 1 and not `are_several` for a file decoded in one pass.

    With several a decoder keeps the whole image's coefficients, and goes over it once for each.
    """

    are_several: bool
    count: int = 1


def scans_of(file: BinaryIO, most: int) -> Scans:
    """Return the scans of a JPEG, counted up to one more than `most`; the file's position stays.

    Raises `TooManySegments`. A progressive picture has several scans, and so has one whose first
    does not hold all its components, whatever its header calls it; behind a first one that does,
    nothing is decoded.
    """
    position = file.tell()
    try:
        return _counted(file, most)
    finally:
        file.seek(position)


def _counted(file: BinaryIO, most: int) -> Scans:
    components, progressive, scans = 0, False, 0
    for number, (code, head) in enumerate(_segments(file)):
        if number >= MOST_SEGMENTS:
            raise TooManySegments
        if code == _SCAN:
            scans += 1
            if scans == 1 and not progressive and head[4] >= components > 0:
                return Scans(are_several=False)
            if scans > most:
                break
        elif code in _FRAMES and code not in _NO_FRAMES and not scans:
            components, progressive = head[9], code in _PROGRESSIVE_FRAMES
    return Scans(True, max(scans, 1))


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield code and first bytes of each segment up to the image's end, as libjpeg reads them.

    Bytes within a segment are skipped, those between segments searched.
    """
    at = len(_START)
    while True:
        file.seek(at)
        block = file.read(_READ_AT_ONCE)
        is_last, place = len(block) < _READ_AT_ONCE, 0
        while marker := _MARKER.search(block, place):
            head = block[marker.start() : marker.start() + _LONGEST_HEAD]
            if len(head) < _LONGEST_HEAD and not is_last:
                place = marker.start()
                break
            code = head[1]
            if code == _END:
                return
            yield code, head.ljust(_LONGEST_HEAD, b"\0")
            place = marker.end() + max(2, int.from_bytes(head[2:4], "big"))
        else:
            # The last byte may be the first of a marker.
            place = max(place, len(block) - 1)
        if is_last:
            return
        at += place


def without_metadata(data: bytes) -> bytes | None:
    """Return the JPEG without metadata, not recompressed; `None` if a browser might not show it."""
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
