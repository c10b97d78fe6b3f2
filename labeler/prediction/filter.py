"""Predictions as a filter over any folders: predict, select, write a list, copy what passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.files.tables import format_of, write_table
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.prediction.copy_images import (
    CopyResult,
    Destination,
    check_holds_no_originals,
    check_not_a_source,
    check_outside_project,
    copy_images,
)
from labeler.prediction.predict_files import (
    PredictedImage,
    PredictedImages,
    predict_paths,
    with_content_hashes,
)
from labeler.prediction.selection import as_table, select

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Filter:
    """The settings of `filter_images`: which predictions pass, and what is written."""

    low: float = 0.0  # 0–1, included
    high: float = 1.0  # 0–1, included
    top: int | None = None  # only the first so many
    version: str | None = None  # None: the active one
    destination: Destination | None = None  # of copies
    out: Path | None = None  # the file of the list
    follow_links: bool = False  # predict the targets of links out of the paths, too
    force: bool = False  # replace a list that was edited since it was written

    def as_values(self) -> dict[str, Any]:
        """Return values that JSON can store, for `params` of a job's row."""
        destination = self.destination and asdict(self.destination) | {
            "folder": str(self.destination.folder)
        }
        return asdict(self) | {"destination": destination, "out": self.out and str(self.out)}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Filter:
        """Return the filter that `as_values` made `values` of."""
        settings = {name: values[name] for name in cls.__slots__ if values.get(name) is not None}
        if destination := settings.get("destination"):
            settings["destination"] = Destination(
                **destination | {"folder": Path(destination["folder"])}
            )
        if out := settings.get("out"):
            settings["out"] = Path(out)
        return cls(**settings)


@dataclass
class FilterResult:
    """All predictions, and the images that pass, highest first."""

    result: PredictedImages
    chosen: list[PredictedImage]
    copies: CopyResult | None = None

    def sentences(self) -> str:
        """Return how many images passed, were copied and were unreadable, as text."""
        passing, images = len(self.chosen), len(self.result.images)
        message = f"{passing:,} of {images:,} images pass by {self.result.version}."
        if self.copies is not None:
            message += f" {self.copies.made:,} written, {self.copies.there:,} there already."
        left_out = len(self.result.unreadable) + len(self.copies.lost if self.copies else ())
        return f"{message} {left_out:,} could not be read." if left_out else message


def filter_images(
    project: Project,
    paths: Sequence[Path],
    settings: Filter,
    *,
    encoder: Encoder | None = None,
    progress: Progress = silent,
) -> FilterResult:
    """Predict all images in `paths`, then list and copy those that pass, as `settings` say.

    An interrupted run continues when it is called again. Raises `BadInput` for settings that can't
    be used, before anything is written, and `OSError` where a file can't be written.
    """
    file_format = _list_format(paths, settings)
    writer = ExportWriter.of(project, force=settings.force)
    if settings.out is not None:
        writer.check(settings.out)
    destination = settings.destination
    if destination is not None:
        check_outside_project(destination.folder, project.folder)
    result = predict_paths(
        project,
        paths,
        version=settings.version,
        leave_out=destination.folder if destination else None,
        follow_links=settings.follow_links,
        encoder=encoder,
        progress=progress,
    )
    filtered = FilterResult(
        result, select(result.images, settings.low, settings.high, settings.top)
    )
    if destination is not None:
        check_holds_no_originals(result.images, destination, paths)
        filtered.copies = copy_images(
            with_content_hashes(project, filtered.chosen),
            destination,
            result.version,
            sources=paths,
            progress=progress,
        )
    if settings.out is not None:
        table = as_table(filtered.chosen, result.version)
        write_table(settings.out, table, file_format, writer.whole)
    return filtered


def _list_format(paths: Sequence[Path], settings: Filter) -> str:
    """Check the paths that will be written; return the format of the list, "" without one.

    Raises `BadInput`.
    """
    if settings.destination is not None:
        check_not_a_source(settings.destination.folder, paths)
    if settings.out is None:
        return ""
    file_format = format_of(settings.out)
    if file_format is None:
        raise BadInput(f"{settings.out} must end with .csv, .parquet or .jsonl.")
    return file_format
