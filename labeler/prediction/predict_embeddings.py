"""Predictions for embeddings in files, read and predicted a block at a time.

Embeddings of another encoder, or normalised ones where the version takes raw ones, are refused:
their predictions would look plausible and mean nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
from db.records import EncoderRecord, Version
from labeler.core.errors import BadInput
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.embedding.files.block import Block, Columns, EmbeddingFile
from labeler.embedding.files.checks import ExpectedEmbeddings, sample_of
from labeler.embedding.files.find import find_embeddings
from labeler.versions.activate import version_named
from model.encoders.names import canonical

if TYPE_CHECKING:
    import pyarrow

    from model.heads.inference import BatchPredictor


@dataclass(frozen=True, slots=True)
class PredictedBlock:
    """Names (N,) and predictions (N,) float32, 0–1, of consecutive rows."""

    names: pyarrow.Array
    predictions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shown(self) -> NDArray[np.float64]:
        """Return predictions (N,) float64 rounded as they are written: 0.5 passes a limit of .5."""
        return np.asarray(self.predictions, dtype=np.float64).round(6)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> PredictedBlock:
        """Return the rows at `places`, which are indices or a mask (N,)."""
        chosen = np.flatnonzero(places) if places.dtype == bool else places
        return PredictedBlock(self.names.take(chosen), self.predictions[chosen])

    def followed_by(self, other: PredictedBlock) -> PredictedBlock:
        """Return one block with the rows of both, `other`'s last."""
        # Imported where they are used: torch and pyarrow take seconds to load.
        import pyarrow

        names = pyarrow.concat_arrays([self.names, other.names])
        return PredictedBlock(names, np.concatenate([self.predictions, other.predictions]))


@dataclass
class PredictedEmbeddings:
    """The predictions of one run; `unusable` and `predicted` are complete after the last block."""

    version: str
    unusable: list[tuple[str, str]] = field(default_factory=list)  # (file, reason)
    predicted: int = 0  # rows
    blocks: Iterator[PredictedBlock] = field(default_factory=lambda: iter(()))


def predict_embeddings(
    project: Project,
    paths: Sequence[Path],
    encoder: str,
    *,
    version: str | None = None,
    columns: Columns = Columns(),  # noqa: B008
    progress: Progress = silent,
) -> PredictedEmbeddings:
    """Predict the embeddings in `paths`, made by `encoder`, with `version` (default: the active).

    A file that can't be used is in the result's `unusable`; the others are predicted. Raises
    `BadInput` for an unknown version, for another encoder than the version's, and for normalised
    vectors where the version takes raw ones or the reverse; `ModelError` for an unknown encoder.
    """
    from labeler.versions.inference import load_version

    version_record, record = _version_and_encoder(project, encoder, version)
    result = PredictedEmbeddings(version_record.name)
    discovered = [find_embeddings(path, columns) for path in paths]
    result.unusable += [unusable for each in discovered for unusable in each.unusable]
    files = [file for each in discovered for file in each.files]
    if not files:
        return result
    head = load_version(project, version_record).head
    expected = ExpectedEmbeddings(
        reader=version_record.name,
        identity=record.identity,
        width=record.width,
        normalised=None if head.normalises else record.normalised,
        instead_of_unit="save them without normalising, or predict the images themselves.",
        instead_of_raw="divide each by its length and save them again.",
    )
    result.unusable += [(file.shown, why) for file in files if (why := expected.misfit(file))]
    usable = [file for file in files if expected.misfit(file) is None]
    if usable:
        scorer = head.tuned(sample_of(usable, expected))
        result.blocks = _predict_files(scorer, usable, result, progress)
    return result


def _version_and_encoder(
    project: Project, encoder: str, name: str | None
) -> tuple[Version, EncoderRecord]:
    """Return the version and its encoder's record; raises `BadInput` for another encoder."""
    version = version_named(project, name)
    identity = canonical(encoder)
    record = db.images.embeddings.encoder(project.store, version.encoder)
    if record is None or identity != version.encoder:
        raise BadInput(
            f"{version.name} reads embeddings by {version.encoder}, not by {identity}; embed the "
            f"images with {version.encoder}, or use a project whose encoder is {identity}."
        )
    return version, record


def _predict_files(
    scorer: BatchPredictor,
    files: Sequence[EmbeddingFile],
    result: PredictedEmbeddings,
    progress: Progress,
) -> Generator[PredictedBlock, None, None]:
    """Yield predictions in the order of the files.

    Rows that are not finite are left out and counted in `result.unusable`.
    """
    from model.threads import parallel_map

    total, done = sum(file.rows for file in files), 0
    not_finite: dict[str, int] = {}
    blocks = (block for file in files for block in file.blocks())
    progress(0, total, "predicting")
    with closing(parallel_map(lambda block: _predict_block(scorer, block), blocks)) as parts:
        for shown, part, left_out in parts:
            not_finite[shown] = not_finite.get(shown, 0) + left_out
            result.predicted += len(part)
            done += len(part) + left_out
            yield part
            progress(done, total, "predicting")
    result.unusable += [(shown, _not_finite(rows)) for shown, rows in not_finite.items() if rows]


def _predict_block(scorer: BatchPredictor, block: Block) -> tuple[str, PredictedBlock, int]:
    """Return the block's file, the predictions of its finite rows, and the number of other rows."""
    from model.heads.inference import row_lengths

    predicted = PredictedBlock(block.names, scorer(block.vectors))
    finite = np.isfinite(row_lengths(block.vectors))
    if finite.all():
        return block.file, predicted, 0
    return block.file, predicted.take(finite), int((~finite).sum())


def _not_finite(rows: int) -> str:
    held = "1 row holds" if rows == 1 else f"{rows:,} rows hold"
    return f"{held} values that are not finite and are left out; embed these images again."
