"""The model card: what the active version is for, how it came about and how good it is.

Facts are read anew each time; what a person wrote (labeler/exports/models/card_prose.py) stays as
it is. Names and notes that others wrote are shown letter for letter: a name can't put a picture or
a link into the card.
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
from labeler.exports.models import card_facts as facts
from labeler.exports.models import card_history as story
from labeler.exports.models.card_images import loss_picture, top_picture
from labeler.exports.models.card_prose import SECTIONS, prose
from labeler.exports.models.target import active_version

CARD = "model-card.md"
_LATER = "*The picture comes with the file.*"


@dataclass(frozen=True, slots=True)
class CardImages:
    """Files beside the card: the loss curve, None where there is none, and the best images."""

    loss: str | None
    top: str | None


def model_card(project: Project, pictures: CardImages | None = None) -> str:
    """The card in Markdown; without `pictures` it says where they will be.

    Raises `BadInput` where there is no version.
    """
    version = active_version(project)
    written = prose(project)
    parts = [
        [
            f"# {escape_markdown(project.folder.name)} {story.version_in_markdown(version)}",
            *facts.description(version),
        ],
        _said(written, "goals"),
        _said(written, "biases") + facts.biases(project, version),
        ["## How to use it", *facts.usage(project, version)],
        ["## What the scores mean", *facts.brackets(project, version)],
        ["## Distribution", *facts.distribution(project, version)],
        ["## How good it is", *facts.figures_of(project, version)],
        ["## Loss curve", *_loss(version, pictures)],
        ["## Highest predictions", *_top(pictures)],
        ["## Versions", *story.versions(project)],
        ["## Training data", *facts.training(project, version)],
        _said(written, "out-of-scope"),
        _said(written, "licence", "None is stated: ask whoever trained it."),
        _said(written, "notes"),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def export_model_card(project: Project, out: Path, writer: ExportWriter) -> list[Path]:
    """Write the card to OUT if that ends with .md, else into the folder OUT, and its pictures
    beside it; returns what was written, the card first. Raises `BadInput` without a version.
    """
    version = active_version(project)
    file = out if out.suffix.lower() == ".md" and not out.is_dir() else out / CARD
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name a file for the card.")
    made = {
        "loss": loss_picture(version),
        "top": top_picture(project, version),
    }
    beside = {
        what: file.with_name(f"{file.stem}-{what}.png") for what, data in made.items() if data
    }
    names = CardImages(*(beside[what].name if what in beside else None for what in made))
    files = {place: made[what] or b"" for what, place in beside.items()}
    writer.write_all(files | {file: model_card(project, names).encode()})
    return [file, *files]


def _said(written: dict[str, str], name: str, otherwise: str = "") -> list[str]:
    """A section as the person wrote it, else what is usual; left out where there is neither."""
    section = SECTIONS[name]
    text = written[name] or section.usual or otherwise
    return [f"## {section.title}", "", text] if text else []


def _loss(version: Version, pictures: CardImages | None) -> Sequence[str]:
    if not facts.has_curve(version):
        return ["", "There is none: nothing was trained step by step."]
    told = "Mean absolute error (0–1) after each step, on the images learnt from and on others."
    if pictures is None or pictures.loss is None:
        return ["", _LATER]
    return ["", _picture("Loss curve", pictures.loss), "", told]


def _top(pictures: CardImages | None) -> Sequence[str]:
    if pictures is None:
        return ["", _LATER]
    if pictures.top is None:
        return ["", "No image with a prediction can be shown."]
    return ["", _picture("The images with the highest predictions", pictures.top)]


def _picture(text: str, name: str) -> str:
    return f"![{text}]({quote(os.fsencode(name))})"
