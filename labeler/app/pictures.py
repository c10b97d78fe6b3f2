"""GET /img/{image id}/{thumbnail|preview|full}: an image's pixels, by id and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

import db.images
from db.records import Image
from labeler.archives import through
from labeler.errors import UnreadableImage
from labeler.pictures import open_picture, open_regular
from labeler.previews import preview_of, thumbnail_of
from labeler.project import Project

SMALL = {"thumbnail": thumbnail_of, "preview": preview_of}
KINDS = (*SMALL, "full")
# Formats, as recognised by content at import, that every browser shows as they are.
SHOWN_AS_THEY_ARE = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
}
FOR_EVER = "private, max-age=31536000, immutable"
FOR_A_WHILE = "private, max-age=300"


def picture(project: Project, request: Request) -> Response:
    kind = request.path_params["kind"]
    image = db.images.get(project.store, request.path_params["image_id"])
    if kind not in KINDS or image is None or image.content_hash is None:
        return _missing("There is no such picture.")
    try:
        if kind == "full":
            return _full(image)
        return _small(project, image, kind, request.query_params.get("h"))
    except UnreadableImage as error:
        return _missing(str(error))


def _small(project: Project, image: Image, kind: str, asked_hash: str | None) -> Response:
    path = SMALL[kind](project, image.content_hash or "", Path(image.path))
    # The content named by its hash never changes; without it the browser asks again.
    kept = FOR_EVER if asked_hash == image.content_hash else FOR_A_WHILE
    # A page asks for hundreds: some ten KB are sent quicker whole than as a stream.
    return Response(path.read_bytes(), media_type="image/jpeg", headers={"Cache-Control": kept})


def _full(image: Image) -> Response:
    headers = {"Cache-Control": FOR_A_WHILE}
    path = Path(image.path)
    as_it_is = SHOWN_AS_THEY_ARE.get(image.format or "")
    if as_it_is and path.is_file():
        return FileResponse(path, media_type=as_it_is, headers=headers)
    if as_it_is and through(path):
        with open_regular(path) as file:
            return Response(file.read(), media_type=as_it_is, headers=headers)
    buffer = io.BytesIO()
    open_picture(path).save(buffer, "JPEG", quality=95, subsampling=0)
    return Response(buffer.getvalue(), media_type="image/jpeg", headers=headers)


def _missing(sentence: str) -> Response:
    return JSONResponse({"problem": sentence}, status_code=404)
