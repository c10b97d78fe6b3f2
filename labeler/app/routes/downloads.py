"""Downloads, made when they are requested.

GET /api/download/dataset?format=csv|parquet|jsonl sends the table alone; /api/download/KIND, with
the fields of a `Plan` as parameters, sends any export zipped, and so the forms of the model. The
address is below /api/, so that only the app's own pages get an answer. The files are made below the
system's folder for temporary files, with links in the place of images, and removed after sending.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from labeler.app.routes.export_urls import read_plan
from labeler.app.routes.payloads import shown_name
from labeler.app.routes.zip_stream import stream_zip
from labeler.app.widgets.page_errors import PRESENTABLE, opened_project
from labeler.core.error_messages import message_for
from labeler.core.errors import BadInput
from labeler.core.files.tables import FORMATS
from labeler.core.project import Project
from labeler.exports.datasets.export import DATASET, KINDS, export
from labeler.exports.models.export import MODEL_KINDS, export_in_subprocess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MEDIA_TYPES = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/jsonl",
}


def routes() -> list[Route]:
    """Return the routes to serve beside the app."""
    return [Route("/api/download/{what}", download, methods=["GET"])]


def download(request: Request) -> Response:
    """Make what is requested and send it as an attachment; 4xx with one sentence otherwise."""
    return respond_from_temporary_folder(request, _download_response)


def respond_from_temporary_folder(
    request: Request, make: Callable[[Project, Request, Path], Response]
) -> Response:
    """Return what `make` answers from the files of a temporary folder.

    `make` must see to it that the folder is removed after sending; on an error it is removed here.
    """
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix="labeler-download-"))
        return make(opened_project(), request, folder)
    except PRESENTABLE as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        status = 404 if isinstance(error, BadInput) else 409
        return PlainTextResponse(message_for(error) or str(error), status)


def _download_response(project: Project, request: Request, folder: Path) -> Response:
    what, query = request.path_params["what"], dict(request.query_params)
    name = shown_name(project.folder.name)
    if what in MODEL_KINDS:
        export_in_subprocess(project, what, folder)
        return zip_response(folder, f"{name}-{what}.zip")
    if what not in KINDS:
        kinds = ", ".join([*KINDS, *MODEL_KINDS])
        raise BadInput(f"There is no download {what}; there are {kinds}.")
    if what == DATASET and "format" in query:
        return _table(project, query, name, folder)
    done = export(project, what, folder, read_plan(query))
    return zip_response(folder, f"{name}-{what}.zip", done.contents)


def _table(project: Project, query: dict[str, str], name: str, folder: Path) -> Response:
    file_format = query["format"]
    if file_format not in FORMATS:
        raise BadInput(f"There is no format {file_format}; there are {', '.join(FORMATS)}.")
    file = folder / f"dataset.{file_format}"
    plan = replace(read_plan(query), file_format=file_format, with_images=False)
    export(project, DATASET, file, plan)
    return file_response(file, MEDIA_TYPES[file_format], f"{name}.{file_format}")


def file_response(file: Path, media_type: str, name: str) -> Response:
    """Send one file; its folder is removed after sending."""
    return FileResponse(
        file,
        media_type=media_type,
        filename=name,
        background=BackgroundTask(shutil.rmtree, file.parent, ignore_errors=True),
    )


def zip_response(folder: Path, name: str, contents: Mapping[str, str] | None = None) -> Response:
    """Send all files below `folder` as a zip; the folder is removed after sending. `contents` as
    for `stream_zip`.
    """

    def stream() -> Iterator[bytes]:
        try:
            yield from stream_zip(folder, contents)
        finally:  # also where the download is cancelled
            shutil.rmtree(folder, ignore_errors=True)

    disposition = f"attachment; filename*=utf-8''{quote(name)}"
    headers = {"Content-Disposition": disposition}
    return StreamingResponse(stream(), media_type="application/zip", headers=headers)
