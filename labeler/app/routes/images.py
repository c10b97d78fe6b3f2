"""GET /img/{image id}/{thumbnail|preview|full}: an image's pixels, by id and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

from PIL.Image import Image as Pixels
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import db.images.lookup
from db.records import Image
from labeler.collection.previews import PreviewNotKept, preview_of, thumbnail_of, unkept_preview
from labeler.core.images.originals import open_known
from labeler.core.project import Project
from model.errors import UnreadableImage
from model.images.browser_orientation import browsers_agree, with_our_orientation
from model.images.decode import read_header, read_picture

SMALL_COPIES = {"thumbnail": thumbnail_of, "preview": preview_of}
KINDS = (*SMALL_COPIES, "full")
# Formats, as recognised by content at import, that every browser shows as they are.
BROWSER_FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
}
CACHE_FOREVER = "private, max-age=31536000, immutable"
CACHE_SHORTLY = "private, max-age=300"
_MAX_BYTES = 64 << 20  # bytes of a file that is sent as it is


def picture(project: Project, request: Request) -> Response:
    """Answer GET /img/{id}/{kind}; 404 where there is no such picture."""
    kind = request.path_params["kind"]
    image = db.images.lookup.get(project.store, request.path_params["image_id"])
    if kind not in KINDS or image is None or image.content_hash is None:
        return _missing("There is no such picture.")
    try:
        if kind == "full":
            return _full_response(image)
        return _small_response(project, image, kind, request.query_params.get("h"))
    except UnreadableImage as error:
        return _missing(str(error))


def _small_response(
    project: Project, image: Image, kind: str, requested_hash: str | None
) -> Response:
    """Return the thumbnail or preview."""
    source = image.content_hash or "", Path(image.path), image.pixel_hash
    try:
        path = SMALL_COPIES[kind](project, *source)
    except (
        PreviewNotKept
    ):  # The disk is full or read-only: the picture is drawn without being kept.
        return _jpeg_response(unkept_preview(*source, small=kind != "preview"))
    # The content named by its hash never changes; without it the browser asks again.
    cache_control = CACHE_FOREVER if requested_hash == image.content_hash else CACHE_SHORTLY
    # A page requests hundreds: small files are sent faster whole than as a stream.
    return Response(
        path.read_bytes(), media_type="image/jpeg", headers={"Cache-Control": cache_control}
    )


def _full_response(image: Image) -> Response:
    """Return the original file, if its content is still what was imported.

    The path may hold another file by now, or a link out of the app's folders. Very large files are
    drawn again, and so are formats that browsers don't show, or may show in another orientation
    than the preview.
    """
    path = Path(image.path)
    media_type = BROWSER_FORMATS.get(image.format or "")
    with open_known(path, image.content_hash, image.pixel_hash) as opened:
        data = opened.read(_MAX_BYTES + 1) if media_type else b""
        unchanged = _upright(data, path) if media_type and len(data) <= _MAX_BYTES else None
        if unchanged is not None:
            headers = {"Cache-Control": CACHE_SHORTLY}
            return Response(unchanged, media_type=media_type, headers=headers)
        opened.seek(0)
        return _jpeg_response(read_picture(opened, path).image)


def _upright(data: bytes, path: Path) -> bytes | None:
    """Return the file's bytes with the preview's orientation, changed if that is cheap; None if
    not.
    """
    header = read_header(io.BytesIO(data), path)
    return data if browsers_agree(header) else with_our_orientation(header, data)


def _jpeg_response(picture: Pixels) -> Response:
    """Return the picture as a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, subsampling=0)
    headers = {"Cache-Control": CACHE_SHORTLY}
    return Response(buffer.getvalue(), media_type="image/jpeg", headers=headers)


def _missing(sentence: str) -> Response:
    """Return 404 with a sentence."""
    return JSONResponse({"problem": sentence}, status_code=404)
