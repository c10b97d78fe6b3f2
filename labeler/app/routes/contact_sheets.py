"""GET /api/sheet?…: a contact sheet of what Explore shows, drawn when it is asked for.

The parameters are the fields of an `explore.Band`, and the round in their place for a round's
corrections. One page is sent as a PNG, several in a zip.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from labeler.app.routes.downloads import file_response, respond_from_temporary_folder, zip_response
from labeler.app.routes.payloads import shown_name
from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.project import Project
from labeler.exports.contact_sheet import SheetImage
from labeler.exports.contact_sheet_files import write_sheets
from labeler.exports.contact_sheet_images import corrections_in_round, images_in_band
from labeler.versions.browse import Band

MAX_IMAGES = 1000  # images on the sheet of a page: somebody waits for it
_FLAGS = {"0": False, "1": True}


def routes() -> list[Route]:
    """Return the route to serve beside the app."""
    return [Route("/api/sheet", sheet, methods=["GET"])]


def read_band(query: dict[str, str]) -> Band:
    """Return the band in an address's parameters; raises `BadInput` for invalid ones."""
    try:
        return Band(
            version=query.get("version"),
            low=float(query.get("low", 0)),
            high=float(query.get("high", 1)),
            source=query.get("source"),
            scored=_FLAGS[query["scored"]] if "scored" in query else None,
            descending=_FLAGS[query.get("descending", "1")],
            top=int(query["top"]) if "top" in query else None,
        )
    except (ValueError, KeyError):
        raise BadInput("A value in the address is none; use the links on the page.") from None


def sheet(request: Request) -> Response:
    """Draw the requested sheet and send it as an attachment; 4xx with one sentence otherwise."""
    return respond_from_temporary_folder(request, _draw_response)


def _draw_response(project: Project, request: Request, folder: Path) -> Response:
    name = f"{shown_name(project.folder.name)}-sheet"
    shown = _requested_images(project, dict(request.query_params))
    written = write_sheets(project, shown, folder / "sheet.png", writer=ExportWriter.of(project))
    if len(written) > 1:
        return zip_response(folder, f"{name}.zip")
    return file_response(written[0], "image/png", f"{name}.png")


def _requested_images(project: Project, query: dict[str, str]) -> list[SheetImage]:
    number = query.get("round")
    if number is None:
        return images_in_band(project, read_band(query), MAX_IMAGES)
    if not (number.isdecimal() and len(number) < 10):
        raise BadInput("A round's number counts from 1.")
    return corrections_in_round(project, int(number))
