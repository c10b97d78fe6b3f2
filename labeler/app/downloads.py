"""Downloads made when they are asked for and sent from disk, however big they are.

GET /api/download/dataset?format=csv|parquet and GET /api/download/model; below /api/, so that only
the app's own pages get an answer. The file is written below the system's folder for temporary files
and removed once it is sent.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from labeler import exporting
from labeler.app.items import shown_name
from labeler.app.shell import PRESENTABLE, opened_project
from labeler.errors import BadInput
from labeler.failures import sentence
from labeler.project import Project

MEDIA_TYPES = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}


def routes() -> list[Route]:
    """The routes to serve beside the app."""
    return [Route("/api/download/{what}", download, methods=["GET"])]


def download(request: Request) -> Response:
    """Make the file asked for and send it as an attachment; 4xx with one sentence otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="labeler-download-"))
    try:
        file = _make(opened_project(), request, folder)
    except PRESENTABLE as error:
        shutil.rmtree(folder, ignore_errors=True)
        status = 404 if isinstance(error, BadInput) else 409
        return PlainTextResponse(sentence(error) or str(error), status)
    return FileResponse(
        file,
        media_type=MEDIA_TYPES.get(file.suffix, "application/zip"),
        filename=shown_name(file.name),
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


def _make(project: Project, request: Request, folder: Path) -> Path:
    what = request.path_params["what"]
    if what == "dataset":
        return dataset_file(project, request.query_params.get("format", "csv"), folder)
    if what == "model":
        return model_file(project, folder)
    raise BadInput(f"There is no download {what}; there are dataset and model.")


def dataset_file(project: Project, format_: str, folder: Path) -> Path:
    """The whole dataset as one file in `folder`."""
    if f".{format_}" not in MEDIA_TYPES:
        raise BadInput(f"There is no format {format_}; there are csv and parquet.")
    file = folder / f"{project.folder.name}.{format_}"
    exporting.export_dataset(project, file, format_)
    return file


def model_file(project: Project, folder: Path) -> Path:
    """The active version's pair of files, zipped in `folder` (weights don't shrink: stored)."""
    pair = folder / "model"
    exporting.export_model(project, pair)
    file = folder / f"{project.folder.name}-model.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(pair.rglob("*")):
            archive.write(path, path.relative_to(pair))
    return file
