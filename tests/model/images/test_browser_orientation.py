"""A picture in full size stands as its preview and what the encoder sees do.

Protects people from judging a picture that lies on its side. What is sent is read here as browsers
read it: an orientation counts where EXIF in a JPEG gives it as one short number.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import db.images.lookup
from labeler.app.routes.images import _full_response
from labeler.collection.importing import import_paths
from labeler.collection.previews import preview_of
from labeler.core.archives.opening import open_picture
from labeler.core.project import Project
from tests.support.pictures import make_halves, with_orientation

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def exif(kind: int, *values: int) -> bytes:
    """EXIF of one entry: the orientation, of that type."""
    form = {3: "H", 4: "I"}[kind]
    value = struct.pack(f">{len(values)}{form}", *values).ljust(4, b"\0")
    return (
        b"Exif\0\0MM\0*" + struct.pack(">IHHHI", 8, 1, 0x0112, kind, len(values)) + value + bytes(4)
    )


SAVED = {
    "a.jpg": {"exif": with_orientation(6).tobytes()},
    "long.jpg": {"exif": exif(4, 6)},
    "two values.jpg": {"exif": exif(3, 6, 6)},
    "nonsense.jpg": {"exif": exif(3, 9)},
    "xmp.jpg": {"xmp": XMP},
    "a.webp": {"exif": with_orientation(6).tobytes()},
    "xmp.webp": {"xmp": XMP},
    "a.png": {"exif": with_orientation(8).tobytes()},
    "a.tif": {"exif": with_orientation(6).tobytes()},
    "none.jpg": {},
    "none.webp": {},
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def as_a_browser(data: bytes) -> Image.Image:
    """With nothing followed that not every browser follows; and nothing left that some do."""
    image = Image.open(io.BytesIO(data))
    told = image.info.get("exif", b"")
    if image.format == "JPEG":
        assert told in (
            b"",
            *(exif(3, turn) for turn in range(1, 10)),
            with_orientation(6).tobytes(),
        )
        if not told:
            image.info.pop("xmp", None)
        image = ImageOps.exif_transpose(image) if told else image
    else:
        assert not told
    return image.convert("RGB")


@pytest.mark.parametrize("name", list(SAVED))
def test_full_size_stands_as_the_preview(project: Project, tmp_path: Path, name: str) -> None:
    path = make_halves(tmp_path / "photos" / name, **SAVED[name])
    import_paths(project, [path.parent])
    image = db.images.lookup.find_by_path(project.store, str(path))
    assert image is not None and image.content_hash is not None
    full = as_a_browser(_full_response(image).body)
    preview = Image.open(preview_of(project, image.content_hash, path)).convert("RGB")
    assert full.size == preview.size == open_picture(path).size == (image.width, image.height)
    difference = np.abs(np.asarray(full, np.int16) - np.asarray(preview, np.int16))
    assert difference.mean() < 12
    if name.startswith("none") or name == "a.jpg":
        assert _full_response(image).body == path.read_bytes()
