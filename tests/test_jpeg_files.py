"""Protects small JPEGs that are shown as they are: only what every browser decodes, no metadata."""

from __future__ import annotations

import pytest
from pictures import jpeg_bytes

from labeler.jpeg_files import without_metadata

SEGMENT = b"\xff\xe1\x00\x08Exif\x00\x00"


def test_segments_of_applications_are_left_out() -> None:
    plain = jpeg_bytes()
    assert without_metadata(plain[:2] + SEGMENT + plain[2:]) == plain == without_metadata(plain)


@pytest.mark.parametrize("frame", [0xC3, 0xC9, 0xCA])
def test_arithmetic_and_lossless_coding_are_left_to_others(frame: int) -> None:
    assert without_metadata(jpeg_bytes().replace(b"\xff\xc0", bytes([0xFF, frame]))) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG", b"\xff\xd8", jpeg_bytes()[:30], b"\xff\xd8\xff\xe1\x00\x00\x00\x00"]
)
def test_what_does_not_follow_the_rules_is_refused(data: bytes) -> None:
    assert without_metadata(data) is None
