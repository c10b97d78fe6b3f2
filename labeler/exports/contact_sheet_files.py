"""Write contact sheets to files: one picture, or several where one would be too large."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.exports.contact_sheet import COLUMNS, ROWS, TILE, SheetImage, draw_sheets

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAX_SHEET_PIXELS = 36_000_000  # of one page: what most programs open without waiting


def write_sheets(
    project: Project,
    shown: Sequence[SheetImage],
    out: Path,
    *,
    writer: ExportWriter,
    columns: int = COLUMNS,
    tile: int = TILE,
    progress: Progress = silent,
) -> list[Path]:
    """Write `out`, or NAME-1.png, NAME-2.png … beside it where it takes several pages.

    Raises `BadInput` if `out` is no name of a PNG or JPEG file or there is nothing to show.
    """
    kind = FORMATS.get(out.suffix.lower())
    if kind is None:
        raise BadInput(f"{out} must end with .png or .jpg.")
    if not shown:
        raise BadInput("No image with a picture is in there; choose a wider band.")
    rows = rows_per_sheet(columns, tile)
    count = -(-len(shown) // (columns * rows))
    paths = [
        out if count == 1 else out.with_name(_numbered(out, k + 1, count)) for k in range(count)
    ]
    writer.check(*paths)
    for number, page in enumerate(draw_sheets(project, shown, columns, tile, rows)):
        progress(number, count, "drawing")
        with writer.whole(paths[number]) as scratch:
            page.save(scratch, kind, quality=90)
    progress(count, count, "drawing")
    return paths


def rows_per_sheet(columns: int, tile: int) -> int:
    """Return how many rows of tiles keep a sheet within `_MAX_SHEET_PIXELS`, at least 1."""
    # With what is around a tile: the gap beside it, and the gap and the line below.
    return max(
        1, min(ROWS, _MAX_SHEET_PIXELS // (columns * (tile + 8) * (tile + 8 + tile // 4 + 16)))
    )


def _numbered(out: Path, number: int, count: int) -> str:
    return f"{out.stem}-{number:0{len(str(count))}}{out.suffix}"
