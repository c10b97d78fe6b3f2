"""Protects small JPEGs that are shown as they are: only what every browser decodes, no metadata."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from model.images.jpeg_metadata import without_metadata
from tests.support.pictures import jpeg_bytes

SEGMENT = b"\xff\xe1\x00\x08Exif\x00\x00"


def test_segments_of_applications_are_left_out() -> None:
    plain = jpeg_bytes()
    assert without_metadata(plain[:2] + SEGMENT + plain[2:]) == plain == without_metadata(plain)


def test_what_is_behind_the_picture_is_left_out() -> None:
    plain = jpeg_bytes()
    assert without_metadata(plain + b"a film, a place, a name") == plain


def test_segments_between_the_scans_of_a_progressive_picture_are_left_out() -> None:
    with io.BytesIO() as file:
        Image.effect_noise((64, 48), 40).save(file, "JPEG", progressive=True, restart_marker_rows=1)
        plain = file.getvalue()
    first = plain.index(b"\xff\xda")
    between = plain.index(b"\xff\xc4", first)
    assert without_metadata(plain[:between] + SEGMENT + plain[between:]) == plain


@pytest.mark.parametrize("frame", [0xC3, 0xC9, 0xCA])
def test_arithmetic_and_lossless_coding_are_left_to_others(frame: int) -> None:
    assert without_metadata(jpeg_bytes().replace(b"\xff\xc0", bytes([0xFF, frame]))) is None


def test_a_picture_without_its_end_is_refused() -> None:
    assert without_metadata(jpeg_bytes()[:-2]) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG", b"\xff\xd8", jpeg_bytes()[:30], b"\xff\xd8\xff\xe1\x00\x00\x00\x00"]
)
def test_what_does_not_follow_the_rules_is_refused(data: bytes) -> None:
    assert without_metadata(data) is None
