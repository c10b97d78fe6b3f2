"""What a version says of embeddings in files: read, predicted and handed out a block at a time.

Vectors that another encoder made, or that are normalised where the version reads raw ones, would
get predictions that look fine and mean nothing: they are refused.
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
    """Names (n,) and predictions (n,) 0–1 of rows in their order."""

    names: pyarrow.Array
    predictions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shown(self) -> NDArray[np.float64]:
        """Predictions (n,) as they are written: what shows 0.5 passes a limit of 0.5."""
        return np.asarray(self.predictions, dtype=np.float64).round(6)

    def take(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> PredictedBlock:
        """The rows at `places`, or where a mask (n,) says so."""
        chosen = np.flatnonzero(places) if places.dtype == bool else places
        return PredictedBlock(self.names.take(chosen), self.predictions[chosen])

    def followed_by(self, other: PredictedBlock) -> PredictedBlock:
        # Imported where they are used: torch and pyarrow take seconds to load.
        import pyarrow

        names = pyarrow.concat_arrays([self.names, other.names])
        return PredictedBlock(names, np.concatenate([self.predictions, other.predictions]))


@dataclass
class PredictedEmbeddings:
    """`unusable` are (file, reason): complete once all blocks were read, as is `predicted`."""

    version: str
    unusable: list[tuple[str, str]] = field(default_factory=list)
    predicted: int = 0
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
    """What a version (the active one without `version`) says of the embeddings in `paths`, which
    `encoder` made.

    A file that can't be used is in the result's `unusable`, and the others go on. Raises `BadInput`
    where there is no version, where `encoder` is not the one that it reads, and where the vectors
    are normalised but its embeddings are not, or the other way round; `ModelError` for a name that
    is no encoder's.
    """
    from labeler.versions.inference import load_version

    reader, record = _reading(project, encoder, version)
    result = PredictedEmbeddings(reader.name)
    found = [find_embeddings(path, columns) for path in paths]
    result.unusable += [one for each in found for one in each.unusable]
    files = [file for each in found for file in each.files]
    if not files:
        return result
    head = load_version(project, reader).head
    wanted = ExpectedEmbeddings(
        reader=reader.name,
        identity=record.identity,
        width=record.width,
        normalised=None if head.normalises else record.normalised,
        instead_of_unit="save them without normalising, or predict the images themselves.",
        instead_of_raw="divide each by its length and save them again.",
    )
    result.unusable += [(file.shown, why) for file in files if (why := wanted.misfit(file))]
    fitting = [file for file in files if wanted.misfit(file) is None]
    if fitting:
        scorer = head.tuned(sample_of(fitting, wanted))
        result.blocks = _predicted(scorer, fitting, result, progress)
    return result


def _reading(project: Project, encoder: str, name: str | None) -> tuple[Version, EncoderRecord]:
    """The version and the encoder that it reads; raises `BadInput` if that is another."""
    version = version_named(project, name)
    given = canonical(encoder)
    record = db.images.embeddings.encoder(project.store, version.encoder)
    if record is None or given != version.encoder:
        raise BadInput(
            f"{version.name} reads embeddings by {version.encoder}, not by {given}; embed the "
            f"images with {version.encoder}, or use a project whose encoder is {given}."
        )
    return version, record


def _predicted(
    scorer: BatchPredictor,
    files: Sequence[EmbeddingFile],
    result: PredictedEmbeddings,
    progress: Progress,
) -> Generator[PredictedBlock, None, None]:
    """In the order of the files; rows that are not finite are left out and noted."""
    from model.threads import parallel_map

    total, done = sum(file.rows for file in files), 0
    broken: dict[str, int] = {}
    blocks = (block for file in files for block in file.blocks())
    progress(0, total, "predicting")
    with closing(parallel_map(lambda block: _score(scorer, block), blocks)) as parts:
        for shown, part, left_out in parts:
            broken[shown] = broken.get(shown, 0) + left_out
            result.predicted += len(part)
            done += len(part) + left_out
            yield part
            progress(done, total, "predicting")
    result.unusable += [(shown, _not_finite(rows)) for shown, rows in broken.items() if rows]


def _score(scorer: BatchPredictor, block: Block) -> tuple[str, PredictedBlock, int]:
    """The block's file, what is said of its finite rows, and how many others there are."""
    from model.heads.inference import row_lengths

    part = PredictedBlock(block.names, scorer(block.vectors))
    finite = np.isfinite(row_lengths(block.vectors))
    if finite.all():
        return block.file, part, 0
    return block.file, part.take(finite), int((~finite).sum())


def _not_finite(rows: int) -> str:
    held = "1 row holds" if rows == 1 else f"{rows:,} rows hold"
    return f"{held} values that are not finite and are left out; embed these images again."
