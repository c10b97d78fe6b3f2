"""The two small copies that the pages show: a preview and a thumbnail per content.

Both are JPEG files named after the content's hash, so they are made once however often the
picture occurs, and a browser may keep them for ever. They can always be made again.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from labeler.errors import LabelerError
from labeler.pictures import open_picture, preview_path, thumbnail_path

if TYPE_CHECKING:
    from labeler.project import Project

PREVIEW_SIDE = 1024
# A JPEG that decodes to between this and PREVIEW_SIDE is not decoded larger and resized: from
# 2000 or 4000 px that saves most of the work.
PREVIEW_LEAST = 896
THUMBNAIL_SIDE = 256
QUALITY = 88


def have_previews(project: Project, content_hash: str) -> bool:
    paths = preview_path(project, content_hash), thumbnail_path(project, content_hash)
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)


def ensure_previews(project: Project, content_hash: str, path: Path) -> None:
    """Make the preview and the thumbnail of `path` again if one is gone.

    Raises `UnreadableImage` if the picture itself can't be read any more.
    """
    if not have_previews(project, content_hash):
        write_previews(project, content_hash, open_picture(path, at_least=PREVIEW_LEAST))


def write_previews(project: Project, content_hash: str, image: Image.Image) -> Image.Image:
    """Write both from one decoded RGB picture; returns the thumbnail's pixels."""
    preview = shrink(image, PREVIEW_SIDE)
    thumbnail = shrink(preview, THUMBNAIL_SIDE, care=1.0)
    data = _jpeg(preview)
    _write(preview_path(project, content_hash), data)
    _write(
        thumbnail_path(project, content_hash), data if thumbnail is preview else _jpeg(thumbnail)
    )
    return thumbnail


def shrink(image: Image.Image, side: int, care: float = 2.0) -> Image.Image:
    """At most `side` pixels on the longer side, proportions kept; smaller pictures as they are.

    Whole pixels are averaged until the size is within `care` times the wanted one, then filtered:
    1 is fastest, from 2 on there is no difference to be seen.
    """
    scale = side / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.HAMMING, reducing_gap=care)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Full colour resolution: red lines on white are what halved colour spoils first.
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    """All or nothing: whoever looks sees no file or the whole one."""
    temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise LabelerError(
            f"Can't write previews in {path.parent} ({error.strerror}); make room or check its "
            "permissions and import again."
        ) from error
