"""GET /api/sheet?…: a contact sheet of what Explore shows, drawn when it is asked for.

The parameters are the fields of an `explore.Band`, and the round in their place for a round's
corrections. One page is sent as a PNG, several in a zip.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from labeler.app.downloads import zip_answer
from labeler.app.items import shown_name
from labeler.app.shell import PRESENTABLE, opened_project
from labeler.contact_sheet import Shown
from labeler.errors import BadInput
from labeler.explore import Band
from labeler.exports.contact_sheets import write_sheets
from labeler.failures import sentence
from labeler.project import Project
from labeler.sheet_choices import corrections, in_band

MOST = 1000  # images on the sheet of a page: somebody waits for it
_FLAGS = {"0": False, "1": True}


def routes() -> list[Route]:
    """The route to serve beside the app."""
    return [Route("/api/sheet", sheet, methods=["GET"])]


def read_band(asked: dict[str, str]) -> Band:
    """The band in an address's parameters; raises `BadInput` for what can't be."""
    try:
        return Band(
            version=asked.get("version"),
            low=float(asked.get("low", 0)),
            high=float(asked.get("high", 1)),
            source=asked.get("source"),
            scored=_FLAGS[asked["scored"]] if "scored" in asked else None,
            descending=_FLAGS[asked.get("descending", "1")],
            top=int(asked["top"]) if "top" in asked else None,
        )
    except (ValueError, KeyError):
        raise BadInput("A value in the address is none; use the links on the page.") from None


def sheet(request: Request) -> Response:
    """Draw what is asked for and send it as an attachment; 4xx with one sentence otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="labeler-sheet-"))
    try:
        project = opened_project()
        name = f"{shown_name(project.folder.name)}-sheet"
        written = write_sheets(
            project, _asked(project, dict(request.query_params)), folder / "sheet.png"
        )
        if len(written) > 1:
            return zip_answer(folder, f"{name}.zip")
        return FileResponse(
            written[0],
            media_type="image/png",
            filename=f"{name}.png",
            background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
        )
    except PRESENTABLE as error:
        shutil.rmtree(folder, ignore_errors=True)
        status = 404 if isinstance(error, BadInput) else 409
        return PlainTextResponse(sentence(error) or str(error), status)


def _asked(project: Project, asked: dict[str, str]) -> list[Shown]:
    number = asked.get("round")
    if number is None:
        return in_band(project, read_band(asked), MOST)
    if not number.isdecimal():
        raise BadInput("A round's number counts from 1.")
    return corrections(project, int(number))
