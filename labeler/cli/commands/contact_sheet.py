"""labeler export contact-sheet: many images with their scores as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.commands.export import FORCE, OUT
from labeler.cli.common import FractionBand, lower_priority, opened_project
from labeler.cli.output import print_message, print_result, progress_bar
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.core.project import Project
    from labeler.exports.contact_sheet import SheetImage


@click.command("contact-sheet")
@OUT
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only the N highest.")
@click.option(
    "--band", type=FractionBand(), metavar="LOW:HIGH", help="Predictions from and to, 0–1."
)
@click.option(
    "--round",
    "number",
    type=click.IntRange(1),
    metavar="N",
    help="The corrections of a round, as listed by labeler rounds.",
)
@click.option("--version", metavar="NAME", help="By this version; without it the active one.")
@click.option(
    "--columns",
    type=click.IntRange(1, 40),
    default=10,
    show_default=True,
    help="Images in a row.",
)
@click.option(
    "--tile", type=click.IntRange(32, 1024), default=160, show_default=True, help="Pixels an image."
)
@FORCE
def contact_sheet(
    *,
    out: Path,
    top: int | None,
    band: tuple[float, float] | None,
    number: int | None,
    version: str | None,
    columns: int,
    tile: int,
    force: bool,
) -> None:
    """Draw the best images as one picture.

    Each stands with its prediction, and its hand score if it has one; in a round's corrections with
    what was shown and what it was corrected to. Without an option the 100 highest are drawn. OUT
    ends with .png or .jpg; where one picture would be too large it becomes NAME-1.png and so on.
    """
    if number is not None and (top or band or version):
        raise click.UsageError("--round shows a round's corrections; leave out the other choices.")
    lower_priority()
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.core.files.export_writer import ExportWriter
    from labeler.exports.contact_sheet_files import write_sheets
    from labeler.exports.contact_sheet_images import MAX_IMAGES

    with opened_project() as project, progress_bar() as progress:
        shown = _shown(project, top, band, number, version)
        written = write_sheets(
            project,
            shown,
            out,
            writer=ExportWriter.of(project, force=force),
            columns=columns,
            tile=tile,
            progress=progress,
        )
    for file in written:
        print_result(f"Wrote {file}")
    print_result(f"It shows {count_of(len(shown), 'image')}.")
    if len(shown) == MAX_IMAGES:
        print_message("Sheets show no more than that; choose a narrower band for the others.")


def _shown(
    project: Project,
    top: int | None,
    band: tuple[float, float] | None,
    number: int | None,
    version: str | None,
) -> list[SheetImage]:
    from labeler.exports.contact_sheet_images import (
        DEFAULT_IMAGES,
        MAX_IMAGES,
        corrections_in_round,
        images_in_band,
    )
    from labeler.versions.activate import version_named
    from labeler.versions.browse import Band

    if number is not None:
        return corrections_in_round(project, number)
    low, high = band or (0.0, 1.0)
    by = version_named(project, version).name
    most = top or (MAX_IMAGES if band else DEFAULT_IMAGES)
    return images_in_band(project, Band(version=by, low=low, high=high), most)
