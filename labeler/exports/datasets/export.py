"""The formats of a dataset: their purposes, their options, and the export itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.exports.datasets.plan import Exported, Plan
from labeler.exports.datasets.rows import Dataset, dataset_of

DATASET = "dataset"
CARD = "data-card.md"


@dataclass(frozen=True, slots=True)
class Kind:
    """A format of exported datasets."""

    name: str
    label: str
    purpose: str
    scored_only: bool = False  # the default of the plan's field of this name
    only_scored: bool = False  # whether it can't hold unscored images
    choices: frozenset[str] = frozenset()  # the further fields of `Plan` that it uses
    card: str = CARD  # file name of the data card


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            DATASET,
            "Table",
            "One row per image, for a notebook, a table program or another labeler. Everything is "
            "in it but the pixels, and those come along if you like.",
            choices=frozenset({"file_format", "with_images", "link"}),
        ),
        Kind(
            "imagefolder",
            "Hugging Face imagefolder",
            "Images in train, validation and test with their scores beside them: load_dataset "
            "reads it, the Hub shows it, trainers of image models take it.",
            scored_only=True,
            choices=frozenset({"file_format", "link"}),
            card="README.md",
        ),
        Kind(
            "score-folders",
            "Folders by score",
            "The scored images in one folder per score, 00 to 10: for a look in any file browser, "
            "and for trainers that read labels from folders.",
            scored_only=True,
            only_scored=True,
            choices=frozenset({"link", "name"}),
        ),
        Kind(
            "cityclassifiers",
            "CityClassifiers",
            "The embeddings of the scored images as its trainer reads them: data/CLIP with one "
            "folder per score.",
            scored_only=True,
            only_scored=True,
            choices=frozenset({"name"}),
        ),
        Kind(
            "clip-retrieval",
            "clip-retrieval",
            "Embeddings in blocks with their paths, scores and predictions: for searching by text "
            "or image, and for whoever trains on embeddings.",
        ),
        Kind(
            "label-studio",
            "Label Studio",
            "Tasks with everybody's scores and the model's predictions, to go on scoring there, "
            "and the labelling config that fits them.",
            choices=frozenset({"image_url", "completed_by"}),
        ),
    )
}


def kind_named(name: str) -> Kind:
    """Return the format called `name`; raises `BadInput` for an unknown name."""
    if name not in KINDS:
        raise BadInput(f"There is no export {name}; there are {', '.join(KINDS)}.")
    return KINDS[name]


def with_defaults(kind: Kind, plan: Plan) -> Plan:
    """Return the plan with the format's defaults.

    Raises `BadInput` if the format can't hold unscored images and the plan asks for them.
    """
    if kind.only_scored and plan.scored_only is False:
        raise BadInput(f"{kind.name} takes images by their score; it can't hold unscored ones.")
    return plan if plan.scored_only is not None else replace(plan, scored_only=kind.scored_only)


def export(
    project: Project,
    name: str,
    out: Path,
    plan: Plan,
    progress: Progress = silent,
    *,
    force: bool = False,
) -> Exported:
    """Write the dataset in the format `name` to `out`, with its data card.

    `out` is a file or a folder for a table, else a folder: new, empty, or of an earlier export of
    the same format, which is continued and updated. Files that were edited since an earlier export
    are replaced only with `force`. Raises `BadInput` for a path, a plan or a format that can't be
    used, `OSError` where a file can't be written.
    """
    kind = kind_named(name)
    plan = with_defaults(kind, plan)
    if kind.name == DATASET:
        return _export_table(project, plan, out, progress, force=force)
    dataset = dataset_of(project, plan, progress)
    if not len(dataset):
        condition = "has a hand score" if dataset.plan.scored_only else "could be read"
        raise BadInput(f"There is nothing to export: no image of {project.folder} {condition}.")
    return _export_folder(kind, dataset, out, progress, force=force)


def write_card(
    project: Project, out: Path, plan: Plan, progress: Progress = silent, *, force: bool = False
) -> Path:
    """Write the data card alone, to `out` if it ends with .md, else into the folder `out`."""
    # Imported where they are used: each kind of export loads what it needs: scipy, Pillow.
    from labeler.exports.datasets.data_card import data_card

    file = out if out.suffix.lower() == ".md" and not out.is_dir() else out / CARD
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name a file for the card.")
    writer = ExportWriter.of(project, force=force)
    writer.check(file)
    writer.write(file, data_card(dataset_of(project, plan, progress)).encode())
    return file


def _export_table(
    project: Project, plan: Plan, out: Path, progress: Progress, *, force: bool
) -> Exported:
    from labeler.exports.datasets.data_card import data_card
    from labeler.exports.datasets.formats.dataset import history_file, table_file, write_dataset

    file, file_format = table_file(out, plan.file_format)
    card = file.with_name(f"{file.stem}.{CARD}")
    writer = ExportWriter.of(project, force=force)
    writer.check(file, card, *([history_file(file)] if file_format == "csv" else []))
    dataset = dataset_of(project, plan, progress)
    exported = write_dataset(dataset, out, writer, progress)
    writer.write(card, data_card(dataset, exported).encode())
    return exported


def _export_folder(
    kind: Kind, dataset: Dataset, out: Path, progress: Progress, *, force: bool
) -> Exported:
    from labeler.exports.datasets.data_card import data_card
    from labeler.exports.datasets.output_folder import export_folder

    exported = Exported(out)
    with export_folder(out, kind.name, force=force) as folder:
        _writer(kind.name)(dataset, folder, exported, progress)
        folder.write(kind.card, data_card(dataset, exported).encode())
        exported.removed, stayed = folder.finish()
    if stayed:
        exported.notes.append(
            f"{stayed:,} files of an earlier export were changed since and stay where they are; "
            "remove them by hand."
        )
    return exported


def _writer(name: str) -> Callable[..., None]:
    """Import the function that writes a format; `KINDS` is read without importing any of them."""
    module = name.replace("-", "_")
    writer: Callable[..., None] = getattr(
        import_module(f"labeler.exports.datasets.formats.{module}"), f"write_{module}"
    )
    return writer
