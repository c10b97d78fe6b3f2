"""What leaves the project: the dataset as a table, with its images if wanted, and the model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db import images, scores, versions
from db.records import Image, Version
from labeler.errors import BadInput
from labeler.progress import Progress, silent
from labeler.project import Project
from labeler.tables import FORMATS, Table, format_of, write_table
from labeler.whole_files import copy_beside, whole_file

COLUMNS: dict[str, type] = {
    "path": str,
    "hash": str,
    "source": str,
    "score": float,  # the hand score, 0–10; empty where unscored
    "history_count": int,  # how many hand scores the image was ever given
    "prediction": float,  # 0–1, of the active version
    "version": str,
    "state": str,
    "group": str,
    "format": str,
    "width": int,
    "height": int,
}
FILE_COLUMN = "file"  # the copied image, relative to the table
WEIGHTS_SUFFIX, CONFIG_SUFFIX = ".safetensors", ".config.json"
_BATCH = 1000


@dataclass(frozen=True)
class DatasetPreview:
    """What `export_dataset` would write: how many images, and the first few rows."""

    images: int
    scored: int
    predicted: int
    version: str | None
    sample: Table


@dataclass
class DatasetExport:
    """What `export_dataset` wrote; `not_copied` are (path, reason)."""

    file: Path
    images: int
    copied: int = 0
    not_copied: list[tuple[str, str]] = field(default_factory=list)


def dataset_file(out: Path, file_format: str | None) -> tuple[Path, str]:
    """The file that OUT means, and its format.

    A name that ends with .csv or .parquet is the file; anything else is a folder that gets
    dataset.csv or dataset.parquet. Raises `BadInput` if the name and `file_format` disagree.
    """
    named = None if out.is_dir() else format_of(out)
    if file_format is not None and file_format not in FORMATS:
        raise BadInput(f"There is no format {file_format}; choose csv or parquet.")
    if named and file_format and named != file_format:
        raise BadInput(f"{out} ends with .{named}, but the format is {file_format}; drop one.")
    chosen = file_format or named or "csv"
    return (out if named else out / f"dataset.{chosen}"), chosen


def preview_dataset(project: Project, rows: int = 10) -> DatasetPreview:
    """`rows` is how many images the sample holds."""
    ids = _image_ids(project)
    version = versions.active(project.store)
    predicted = versions.predictions(project.store, version.id) if version else ()
    return DatasetPreview(
        images=len(ids),
        scored=scores.scored_count(project.store),
        predicted=len(predicted),
        version=version.name if version else None,
        sample=Table(COLUMNS, [row for _, row in _rows(project, ids[:rows])]),
    )


def export_dataset(
    project: Project,
    out: Path,
    file_format: str | None = None,
    *,
    with_images: bool = False,
    progress: Progress = silent,
) -> DatasetExport:
    """Write one row per image (see `COLUMNS`), replacing a table that is there already.

    Images that could never be read are left out. `with_images` also copies the image files into
    the folder `images` beside the table and adds the column `file`. Paths are absolute.
    Raises `BadInput`, and `OSError` where it can't be written.
    """
    file, chosen = dataset_file(out, file_format)
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name a file in it, such as {file / 'dataset.csv'}")
    rows = list(_rows(project, _image_ids(project)))
    export = DatasetExport(file, len(rows))
    if not with_images:
        write_table(file, Table(COLUMNS, [row for _, row in rows]), chosen)
        return export
    copies = []
    for done, (image, row) in enumerate(rows):
        progress(done, len(rows), "copying images")
        copies.append([*row, _copy(image, file.parent, export)])
    progress(len(rows), len(rows), "copying images")
    write_table(file, Table(COLUMNS | {FILE_COLUMN: str}, copies), chosen)
    return export


def model_files(project: Project, out: Path) -> list[tuple[Path, Path]]:
    """(from, to) for the files that `export_model` writes; nothing is written here.

    A name that ends with .safetensors is the weights' file; anything else is a folder that gets
    PROJECT-VERSION.safetensors, and the config beside it. Raises `BadInput` without a version.
    """
    version = versions.active(project.store)
    if version is None:
        raise BadInput(f"{project.folder} has no version yet; make one with: labeler train")
    if out.suffix == WEIGHTS_SUFFIX and not out.is_dir():
        folder, stem = out.parent, out.name.removesuffix(WEIGHTS_SUFFIX)
    else:
        folder, stem = out, f"{project.folder.name}-{version.name}"
    return [
        (project.models / f"{version.name}{suffix}", folder / f"{stem}{suffix}")
        for suffix in (CONFIG_SUFFIX, WEIGHTS_SUFFIX)
    ]


def export_model(project: Project, out: Path) -> list[Path]:
    """Write the active version's pair of files (see `model_files`), replacing older ones.

    Raises `BadInput` without a version, where its files are gone, or where OUT lies among the
    project's own models; `OSError` where it can't write.
    """
    pairs = model_files(project, out)
    if pairs[0][1].parent.resolve() == project.models.resolve():
        raise BadInput(f"{out} is where the project keeps its versions; choose another folder.")
    for source, _ in pairs:
        if not source.is_file():
            raise BadInput(f"{source} is gone; put it back, or train again with: labeler train")
    for source, target in pairs:
        with whole_file(target) as scratch:
            shutil.copyfile(source, scratch)
    return [target for _, target in pairs]


def _copy(image: Image, folder: Path, export: DatasetExport) -> str | None:
    """The copy's path relative to `folder`; named by content, so no two images can collide."""
    if image.state != "fine":
        return None
    source = Path(image.path)
    target = folder / "images" / f"{image.content_hash}{source.suffix.lower()}"
    try:
        place, made = copy_beside(source, target)
    except OSError as error:
        if not source.is_file():
            export.not_copied.append((image.path, error.strerror or "it can't be read"))
            return None
        raise  # The trouble is where it is copied to: every other image would meet it too.
    export.copied += made
    return place.relative_to(folder).as_posix()


def _image_ids(project: Project) -> list[int]:
    return sorted(set(images.ids_by_path(project.store).values()))


def _rows(project: Project, ids: list[int]) -> Iterator[tuple[Image, list[Any]]]:
    """Each image of `ids` that has ever been readable, with its row."""
    version = versions.active(project.store)
    predictions = _predictions(project, version)
    counts = scores.history_counts(project.store)
    for start in range(0, len(ids), _BATCH):
        for image in images.by_ids(project.store, ids[start : start + _BATCH]):
            if image.state == "unreadable":
                continue
            prediction = predictions.get(image.id)
            yield image, _row(image, counts.get(image.id, 0), prediction, version)


def _predictions(project: Project, version: Version | None) -> dict[int, float]:
    if version is None:
        return {}
    found = versions.predictions(project.store, version.id)
    return dict(zip(found.image_ids.tolist(), found.scores.tolist(), strict=True))


def _row(
    image: Image, history: int, prediction: float | None, version: Version | None
) -> list[Any]:
    return [
        image.path,
        image.content_hash,
        image.source,
        image.hand_score,
        history,
        None if prediction is None else round(prediction, 6),
        version.name if version and prediction is not None else None,
        image.state,
        image.group,
        image.format,
        image.width,
        image.height,
    ]
