"""labeler export: the dataset in the formats of others, and its card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import TypedPath, lower_priority, opened_project
from labeler.cli.output import first_items, print_message, print_result, progress_bar
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.exports.datasets.plan import Exported

Command = Callable[..., None]
OUT = click.argument("out", metavar="OUT", type=TypedPath(path_type=Path))
SCOPE = click.option(
    "--scored-only/--all",
    default=None,
    help="Only images with a hand score, or unscored ones, too.",
)
FORCE = click.option(
    "--force", is_flag=True, help="Replace also files that are not as an export left them."
)
LINK = click.option(
    "--link",
    type=click.Choice(["copy", "hard", "sym"]),
    default="copy",
    show_default=True,
    help="Copy the image files, or link to them: hard and sym take no room.",
)
NAME = click.option("--name", metavar="NAME", help="What follows the score in a folder's name.")


def _format_option(formats: list[str], usual: str, what: str = "") -> Callable[[Command], Command]:
    return click.option(
        "--format",
        "file_format",
        type=click.Choice(formats),
        help=f"{what}Without it {usual}.",
    )


def split_options(command: Command) -> Command:
    """Add the options of the splits to a command."""
    for option in (
        click.option(
            "--seed", type=int, default=0, show_default=True, help="Another one draws others."
        ),
        click.option(
            "--split",
            metavar="TRAIN:VALIDATION:TEST",
            default="80:10:10",
            show_default=True,
            help="Shares of the splits; near-duplicates and groups stay together.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def export() -> None:
    """Write the dataset or the model to files.

    Beside every dataset lies a data card that says what is in it and how it came about. A folder
    must be new, empty, or hold an earlier export of the same kind: what is there already is not
    copied again, and what is no part of it any more is removed. A file that was not written by an
    export, or was edited since, stays as it is unless --force is given.
    """


@export.command("dataset")
@OUT
@_format_option(["csv", "parquet", "jsonl"], "csv")
@click.option("--with-images", is_flag=True, help="Put the image files beside the table, too.")
@LINK
@SCOPE
@split_options
@FORCE
def export_dataset(out: Path, **chosen: Any) -> None:
    """Write a table with one row per image.

    It holds path, hash, source, hand score, prediction, split, tags and more, and the history of
    all hand scores: in a column (Parquet, JSON lines) or a second file (CSV). OUT is the file if it
    ends with .csv, .parquet or .jsonl; any other OUT is a folder that gets dataset.csv (or the
    like).
    """
    _export("dataset", out, chosen)


@export.command("imagefolder")
@OUT
@_format_option(["parquet", "jsonl", "csv"], "parquet", "Of the metadata. ")
@LINK
@SCOPE
@split_options
@FORCE
def export_imagefolder(out: Path, **chosen: Any) -> None:
    """Write images as a Hugging Face imagefolder.

    OUT gets train, validation and test, each with its images and metadata. Read it with
    load_dataset("imagefolder", data_dir=OUT). Scored images only, unless --all is given.
    """
    _export("imagefolder", out, chosen)


@export.command("score-folders")
@OUT
@NAME
@LINK
@split_options
@FORCE
def export_score_folders(out: Path, **chosen: Any) -> None:
    """Write scored images into a folder per score.

    07_NAME and so on, halves rounded up; the exact scores are in metadata.csv.
    """
    _export("score-folders", out, chosen)


@export.command("cityclassifiers")
@OUT
@NAME
@split_options
@FORCE
def export_cityclassifiers(out: Path, **chosen: Any) -> None:
    """Write embeddings as CityClassifiers trains on.

    OUT gets data/CLIP with the raw embeddings of the scored images, in a folder per score, and its
    test.npy.
    """
    _export("cityclassifiers", out, chosen)


@export.command("clip-retrieval")
@OUT
@SCOPE
@split_options
@FORCE
def export_clip_retrieval(out: Path, **chosen: Any) -> None:
    """Write embeddings in the layout of clip-retrieval.

    OUT gets img_emb (float16, unit length) and metadata (Parquet) with paths, scores and
    predictions, row by row.
    """
    _export("clip-retrieval", out, chosen)


@export.command("label-studio")
@OUT
@click.option(
    "--image-url",
    metavar="PREFIX",
    help="What each image's path is put behind; without it Label Studio's local files.",
)
@click.option(
    "--completed-by",
    "accounts",
    metavar="[SCORER=]ACCOUNT",
    multiple=True,
    help="Number or e-mail address of an account there that has a scorer's annotations, or all.",
)
@SCOPE
@split_options
@FORCE
def export_label_studio(out: Path, accounts: tuple[str, ...], **chosen: Any) -> None:
    """Write tasks for Label Studio with all scores.

    OUT gets tasks.json, with an annotation for each scorer and the prediction of the active
    version, and config.xml, the labelling config that fits them. Pictures inside archives are
    copied to OUT/images. Who gave which score comes back with an export of that server.
    """
    _export("label-studio", out, chosen | {"completed_by": ",".join(accounts) or None})


@export.command("data-card")
@OUT
@click.option(
    "--licence",
    "said",
    metavar="[SOURCE=]TEXT",
    multiple=True,
    help="Of all images or of one source; kept for later cards.",
)
@SCOPE
@split_options
@FORCE
def export_data_card(out: Path, said: tuple[str, ...], force: bool, **chosen: Any) -> None:
    """Write the data card alone.

    Counts, distribution, sources with what was expected of them, licences, versions and rounds,
    scorers. OUT is the file if it ends with .md, else a folder that gets data-card.md.
    """
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.exports.datasets.export import write_card
    from labeler.exports.datasets.plan import Plan
    from labeler.exports.licences import parse_licence

    with opened_project() as project:
        for text in said:
            parse_licence(project, text)
        print_result(f"Wrote {write_card(project, out, Plan(**chosen), force=force)}")


def _export(kind: str, out: Path, chosen: dict[str, Any]) -> None:
    from labeler.exports.datasets.export import export as write
    from labeler.exports.datasets.plan import Plan

    lower_priority()
    force = chosen.pop("force")
    plan = Plan(**chosen)
    with opened_project() as project:
        with progress_bar() as progress:
            done = write(project, kind, out, plan, progress, force=force)
        _print_exported(done)


def _print_exported(done: Exported) -> None:
    print_result(f"Wrote {count_of(done.images, 'image')} to {done.place}")
    if done.made or done.there:
        print_result(f"Files: {done.made} written, {done.there} there already.")
    if done.removed:
        print_result(f"Removed {count_of(done.removed, 'file')} of an earlier export.")
    left_out = [f"{path}: {reason}" for path, reason in done.left_out]
    for line in first_items(left_out, "put them right and run the same command again"):
        print_message(line)
    for note in done.notes:
        print_message(note)
