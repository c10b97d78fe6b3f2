"""The score as a filter over any folders: predict, choose, write the list, copy those that pass."""

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
    check_folder,
    check_own,
    check_unmixed,
    copy_images,
)
from labeler.prediction.predict_files import (
    PredictedImage,
    PredictedImages,
    predict_paths,
    with_contents,
)
from labeler.prediction.selection import as_table, select

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Filter:
    """Which predictions pass, 0–1 with both ends, the first `top` of them, by which version (None:
    the active one); where their images go, and the file of their list, which replaces one that is
    not as it was written only by `force`. With `follow_links` what links lead to elsewhere is
    predicted, too.
    """

    low: float = 0.0
    high: float = 1.0
    top: int | None = None
    version: str | None = None
    destination: Destination | None = None
    out: Path | None = None
    follow_links: bool = False
    force: bool = False

    def as_values(self) -> dict[str, Any]:
        """Plain values, so that a run's row can hold them."""
        where = self.destination and asdict(self.destination) | {
            "folder": str(self.destination.folder)
        }
        return asdict(self) | {"destination": where, "out": self.out and str(self.out)}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Filter:
        """A filter from `as_values`."""
        told = {name: values[name] for name in cls.__slots__ if values.get(name) is not None}
        if where := told.get("destination"):
            told["destination"] = Destination(**where | {"folder": Path(where["folder"])})
        if out := told.get("out"):
            told["out"] = Path(out)
        return cls(**told)


@dataclass
class FilterResult:
    """All that was predicted, and of it what passes, highest first."""

    result: PredictedImages
    chosen: list[PredictedImage]
    copies: CopyResult | None = None

    def sentences(self) -> str:
        """What became of it, as text."""
        passing, images = len(self.chosen), len(self.result.images)
        told = f"{passing:,} of {images:,} images pass by {self.result.version}."
        if self.copies is not None:
            told += f" {self.copies.made:,} written, {self.copies.there:,} there already."
        left_out = len(self.result.unreadable) + len(self.copies.lost if self.copies else ())
        return f"{told} {left_out:,} could not be read." if left_out else told


def filter_images(
    project: Project,
    paths: Sequence[Path],
    wanted: Filter,
    *,
    encoder: Encoder | None = None,
    progress: Progress = silent,
) -> FilterResult:
    """Predict all images in `paths`, and do with those that pass what is `wanted`.

    What is interrupted goes on when it is done again. Raises `BadInput` for what can't be, before
    anything is written, and `OSError` where it can't be written.
    """
    file_format = _checked(paths, wanted)
    writer = ExportWriter.of(project, force=wanted.force)
    if wanted.out is not None:
        writer.check(wanted.out)
    where = wanted.destination
    if where is not None:
        check_own(where.folder, project.folder)
    result = predict_paths(
        project,
        paths,
        version=wanted.version,
        leave_out=where.folder if where else None,
        follow_links=wanted.follow_links,
        encoder=encoder,
        progress=progress,
    )
    done = FilterResult(result, select(result.images, wanted.low, wanted.high, wanted.top))
    if where is not None:
        check_unmixed(result.images, where, paths)
        done.copies = copy_images(
            with_contents(project, done.chosen),
            where,
            result.version,
            sources=paths,
            progress=progress,
        )
    if wanted.out is not None:
        table = as_table(done.chosen, result.version)
        write_table(wanted.out, table, file_format, writer.whole)
    return done


def _checked(paths: Sequence[Path], wanted: Filter) -> str:
    """The format of the list, "" without one."""
    if wanted.destination is not None:
        check_folder(wanted.destination.folder, paths)
    if wanted.out is None:
        return ""
    file_format = format_of(wanted.out)
    if file_format is None:
        raise BadInput(f"{wanted.out} must end with .csv, .parquet or .jsonl.")
    return file_format
