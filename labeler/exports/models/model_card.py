"""Write the model card: what the active version is for, how it came about and how good it is.

Facts are computed anew each time; what a person wrote (labeler/exports/models/card_sections.py)
stays as it is. Names and notes that others wrote are shown letter for letter: a name can't put a
picture or a link into the card.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from db.records import Version
from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.project import Project
from labeler.core.text import escape_markdown
from labeler.exports.models import card_facts, card_history
from labeler.exports.models.card_images import loss_curve_png, top_images_png
from labeler.exports.models.card_sections import SECTIONS, written_sections
from labeler.exports.models.target import active_version

CARD_NAME = "model-card.md"
_PLACEHOLDER = "*The picture comes with the file.*"


@dataclass(frozen=True, slots=True)
class CardImages:
    """Names of files beside the card: the loss curve and the best images; None without one."""

    loss: str | None
    top: str | None


def model_card(project: Project, pictures: CardImages | None = None) -> str:
    """Return the card in Markdown; without `pictures` it says where they will be.

    Raises `BadInput` if there is no version.
    """
    version = active_version(project)
    written = written_sections(project)
    name = card_history.escaped_version_name(version)
    parts = [
        [
            f"# {escape_markdown(project.folder.name)} {name}",
            *card_facts.description(version),
        ],
        _written_section(written, "goals"),
        _written_section(written, "biases") + card_facts.biases(project, version),
        ["## How to use it", *card_facts.usage(project, version)],
        ["## What the scores mean", *card_facts.brackets(project, version)],
        ["## Distribution", *card_facts.distribution(project, version)],
        ["## How good it is", *card_facts.metrics(project, version)],
        ["## Loss curve", *_loss_section(version, pictures)],
        ["## Highest predictions", *_top_section(pictures)],
        ["## Versions", *card_history.version_tables(project)],
        ["## Training data", *card_facts.training(project, version)],
        _written_section(written, "out-of-scope"),
        _written_section(written, "licence", "None is stated: ask whoever trained it."),
        _written_section(written, "notes"),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def export_model_card(project: Project, out: Path, writer: ExportWriter) -> list[Path]:
    """Write the card and its pictures; return their paths, the card first.

    OUT is the card's file if it ends with .md, else a folder. Raises `BadInput` without a version.
    """
    version = active_version(project)
    file = out if out.suffix.lower() == ".md" and not out.is_dir() else out / CARD_NAME
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name a file for the card.")
    pngs = {
        "loss": loss_curve_png(version),
        "top": top_images_png(project, version),
    }
    paths = {what: file.with_name(f"{file.stem}-{what}.png") for what, data in pngs.items() if data}
    names = CardImages(*(paths[what].name if what in paths else None for what in pngs))
    files = {place: pngs[what] or b"" for what, place in paths.items()}
    writer.write_all(files | {file: model_card(project, names).encode()})
    return [file, *files]


def _written_section(written: dict[str, str], name: str, otherwise: str = "") -> list[str]:
    """Return a section as the person wrote it, else its default; empty where there is neither."""
    section = SECTIONS[name]
    text = written[name] or section.default_text or otherwise
    return [f"## {section.title}", "", text] if text else []


def _loss_section(version: Version, pictures: CardImages | None) -> Sequence[str]:
    if not card_facts.has_curve(version):
        return ["", "There is none: nothing was trained step by step."]
    caption = "Mean absolute error (0–1) after each step, on the images learnt from and on others."
    if pictures is None or pictures.loss is None:
        return ["", _PLACEHOLDER]
    return ["", _image_link("Loss curve", pictures.loss), "", caption]


def _top_section(pictures: CardImages | None) -> Sequence[str]:
    if pictures is None:
        return ["", _PLACEHOLDER]
    if pictures.top is None:
        return ["", "No image with a prediction can be shown."]
    return ["", _image_link("The images with the highest predictions", pictures.top)]


def _image_link(text: str, name: str) -> str:
    return f"![{text}]({quote(os.fsencode(name))})"
