"""The model as others take it: labeler export model, onnx, python, model-card; labeler card."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.cli.commands.export import FORCE, OUT, export
from labeler.cli.common import TypedPath, opened_project
from labeler.cli.output import print_result

_SECTIONS = ("goals", "biases", "out-of-scope", "licence", "notes")


@export.command("model")
@OUT
@FORCE
def export_model(out: Path, force: bool) -> None:
    """Write the active version: weights and config.

    OUT is the weights' file if it ends with .safetensors; any other OUT is a folder. The pair loads
    wherever CityAesthetics files do.
    """
    _write("model", out, force=force)


@export.command("onnx")
@OUT
@FORCE
def export_onnx(out: Path, force: bool) -> None:
    """Write the active version as ONNX.

    It takes raw embeddings (B, width) and gives scores (B, 1) from 0 to 1, and is tried on stored
    embeddings before it is written. OUT is the file if it ends with .onnx, else a folder. Needs:
    pip install 'taste-labeler[onnx]'
    """
    _write("onnx", out, force=force)


@export.command("python")
@OUT
@FORCE
def export_python(out: Path, force: bool) -> None:
    """Write a script that scores images.

    One readable Python file with the weights and their config beside it: it runs without this
    program. OUT is the script if it ends with .py, else a folder.
    """
    _write("python", out, force=force)


@export.command("model-card")
@OUT
@FORCE
def export_model_card(out: Path, force: bool) -> None:
    """Write the model card and its pictures.

    What the active version is for, how it came about and how good it is, with the loss curve and
    its best images. OUT is the card if it ends with .md, else a folder that gets model-card.md.
    Your own words in it are edited with: labeler card set
    """
    _write("model-card", out, force=force)


def _write(kind: str, out: Path, *, force: bool) -> None:
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.exports.models.export import export_as

    with opened_project() as project:
        for file in export_as(project, kind, out, force=force):
            print_result(f"Wrote {file}")


@click.group()
def card() -> None:
    """Show the model card, or write your part of it."""


@card.command("set")
@click.argument("section", metavar="SECTION", type=click.Choice(_SECTIONS))
@click.argument("text", required=False)
@click.option(
    "--file",
    type=TypedPath(path_type=Path, dir_okay=False, exists=True),
    help="Take the text from a file.",
)
def set_section(section: str, text: str | None, file: Path | None) -> None:
    """Keep your own words for a section.

    SECTION is goals, biases, out-of-scope, licence or notes; the text is Markdown and stays over
    new versions. An empty TEXT takes it back.
    """
    from labeler.core.errors import BadInput
    from labeler.exports.models.card_sections import SECTIONS
    from labeler.exports.models.card_sections import set_section as store_section

    if (text is None) == (file is None):
        raise click.UsageError("Give either TEXT or --file FILE.")
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadInput(f"{file} is no text in UTF-8; save it as that.") from error
    with opened_project() as project:
        store_section(project, section, text or "")
        done = "Kept" if (text or "").strip() else "Took back"
        print_result(f"{done} the section {SECTIONS[section].title}.")


@card.command("show")
def show() -> None:
    """Print the model card."""
    from labeler.exports.models.model_card import model_card

    with opened_project() as project:
        for line in model_card(project).splitlines():
            print_result(line)
