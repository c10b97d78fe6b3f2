"""The `labeler` command: the loop from a folder of images to a better version.

Each subcommand reads its input, calls the workflow and prints the result. Only click and the
standard library are imported here; what needs more imports it when it runs, so that
`labeler --help` answers at once.
"""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.commands import (
    app,
    carry_over,
    contact_sheet,
    embeddings,
    evaluate,
    export,
    export_model,
    maintenance,
    predict,
    scorers,
    scores,
    simulate,
    train_review,
    versions,
)
from labeler.cli.commands.carry_over import carry_all_near
from labeler.cli.common import (
    FOLLOW_LINKS,
    OWN_PROCESS,
    PATHS,
    Band,
    Commands,
    TypedPath,
    lower_priority,
    opened_project,
)
from labeler.cli.output import (
    first_items,
    print_json,
    print_message,
    print_result,
    print_unreadable,
    progress_bar,
)
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.collection.import_summary import ImportSummary


def _show_version(ctx: click.Context, param: click.Parameter, requested: bool) -> None:  # noqa: ARG001
    if not requested:
        return
    # Imported where they are used: `labeler --help` imports click alone.
    from importlib.metadata import PackageNotFoundError, version

    try:
        print_result(f"labeler {version('taste-labeler')}")
    except PackageNotFoundError:
        print_result("labeler, run from its source without being installed")
    ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--project",
    type=TypedPath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The project folder; without it LABELER_PROJECT, else the current folder.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def labeler(ctx: click.Context, project: Path | None) -> None:
    """Score images by hand from 0 to 10, train a model on your taste, correct it, train again.

    \b
    The loop:
      labeler init taste && cd taste
      labeler import ~/pictures
      labeler embed
      labeler app                 score in the browser, review, retrain, export
    """
    ctx.meta[OWN_PROCESS] = ctx.obj == OWN_PROCESS
    ctx.obj = project


@labeler.command()
@click.argument("folder", metavar="DIR", type=TypedPath(path_type=Path))
@click.option(
    "--encoder",
    default="clip-l14",
    show_default=True,
    metavar="NAME",
    help="clip-l14, clip-l14-336, clip-b32, lite (no download) or open_clip:MODEL/PRETRAINED.",
)
def init(folder: Path, encoder: str) -> None:
    """Make an empty project in DIR.

    The encoder turns each image into the numbers that the model learns from.
    """
    from labeler.core.project import Project

    project = Project.create(folder, encoder)
    print_result(f"Made a project in {project.folder} with the encoder {project.encoder}.")
    print_result(f"Next: labeler --project {shlex.quote(str(folder))} import FOLDER")
    project.close()


@labeler.command("import")
@PATHS
@click.option("--source", metavar="NAME", help="What to call where these images come from.")
@click.option(
    "--expect",
    type=Band(),
    metavar="LOW:HIGH",
    help="The hand scores (0–10) that this source's images are expected to get, such as 0:1.",
)
@click.option(
    "--tags",
    type=TypedPath(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Tags for these images, as in: labeler tag",
)
@FOLLOW_LINKS
@click.option(
    "--carry-over",
    is_flag=True,
    help="Also carry scores over to what took a scored picture's place and looks like it.",
)
@click.option("--json", "as_json", is_flag=True, help="Show what became of the files as JSON.")
def import_(
    *,
    paths: tuple[Path, ...],
    source: str | None,
    expect: tuple[float, float] | None,
    tags: Path | None,
    follow_links: bool,
    carry_over: bool,
    as_json: bool,
) -> None:
    """Take in images: folders, archives or files.

    Folders are searched to the bottom, and so are tar, zip and Parquet files, of which nothing is
    unpacked. The files stay where they are. Importing again takes only what is new, and finds moved
    files. A file that was written anew but shows the same picture (other metadata, packed or turned
    without loss) keeps its scores. A text beside an image (NAME.txt or NAME.jpg.txt, with commas
    between the tags, or NAME.json with a caption or keywords) is read for its tags.
    """
    from labeler.collection.importing import import_paths

    lower_priority()
    with opened_project() as project:
        with progress_bar() as progress:
            summary = import_paths(
                project,
                paths,
                source=source,
                expect=expect,
                follow_links=follow_links,
                progress=progress,
            )
        if as_json:
            print_json(summary.as_document())
        else:
            _show_import(summary)
        if carry_over:
            carry_all_near(project, verbose=not as_json)
        if tags is not None:
            evaluate.import_tags(project, tags)


def _show_import(summary: ImportSummary) -> None:
    for sentence in summary.sentences():
        print_result(sentence)
    for line in first_items(summary.left_out(), "all of them: labeler status --json"):
        print_message(line)


@labeler.command()
def embed() -> None:
    """Compute the embeddings that are missing.

    Ctrl-C keeps what is done; the next run goes on from there.
    """
    from labeler.embedding.embed import embed as embed_images
    from labeler.versions.activate import predict_active

    lower_priority()
    with opened_project() as project:
        with progress_bar() as progress:
            summary = embed_images(project, progress=progress)
            predict_active(project, progress)
        speed = f" ({summary.rate:.1f} a second)" if summary.embedded else ""
        print_result(
            f"Embedded {count_of(summary.embedded, 'image')}{speed}; before: {summary.already}."
        )
        print_unreadable(summary.failed)


for command in (
    scores.label,
    scorers.scorers,
    train_review.train,
    versions.versions,
    train_review.review,
    train_review.status,
    evaluate.audit,
    evaluate.rounds,
    evaluate.slices,
    evaluate.tag,
    simulate.simulate,
    embeddings.import_embeddings,
    embeddings.phantoms,
    predict.predict,
    predict.try_pictures,
    export.export,
    export_model.card,
    maintenance.backup,
    maintenance.restore,
    maintenance.doctor,
    carry_over.carry_over,
    app.app,
    app.demo,
    app.run_job,
):
    labeler.add_command(command)
export.export.add_command(contact_sheet.contact_sheet)


def main() -> None:
    """Run the `labeler` program."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown as an escape instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    labeler(prog_name="labeler", obj=OWN_PROCESS)
