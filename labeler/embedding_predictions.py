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

from db import embeddings, versions
from db.records import EncoderRecord, Version
from labeler.embedding_files import Block, EmbeddingFile, find_embeddings
from labeler.errors import BadInput
from labeler.progress import Progress, silent
from labeler.project import Project
from model.encoders import canonical

if TYPE_CHECKING:
    import pyarrow

    from model.scorer import Scorer

SAMPLE = 512
_FEWEST_OF_A_FILE = 16
# What float16 leaves of a length of 1; nearly all of a sample must have it.
_UNIT, _NEARLY_ALL = 0.01, 0.9


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
    project: Project, paths: Sequence[Path], encoder: str, *, progress: Progress = silent
) -> PredictedEmbeddings:
    """What the active version says of the embeddings in `paths`, which `encoder` made.

    A file that can't be used is in the result's `unusable`, and the others go on. Raises `BadInput`
    where there is no version, where `encoder` is not the one that it reads, and where the vectors
    are normalised but its embeddings are not, or the other way round; `ModelError` for a name that
    is no encoder's.
    """
    version, record = _reading(project, encoder)
    result = PredictedEmbeddings(version.name)
    files = []
    for path in paths:
        found = find_embeddings(path)
        result.unusable += found.unusable
        files += [file for file in found.files if _fits(file, version, record, result)]
    if files:
        from labeler.predictors import load_version

        sample = _sample(files, version, record)
        scorer = load_version(project, version).head.tuned(sample)
        result.blocks = _predicted(scorer, files, result, progress)
    return result


def _reading(project: Project, encoder: str) -> tuple[Version, EncoderRecord]:
    """The active version and the encoder that it reads; raises `BadInput` if that is another."""
    version = versions.active(project.store)
    if version is None:
        raise BadInput(f"{project.folder} has no version yet; make one with: labeler train")
    given = canonical(encoder)
    record = embeddings.encoder(project.store, version.encoder)
    if record is None or given != version.encoder:
        raise BadInput(
            f"{version.name} reads embeddings by {version.encoder}, not by {given}; embed the "
            f"images with {version.encoder}, or use a project whose encoder is {given}."
        )
    return version, record


def _fits(
    file: EmbeddingFile, version: Version, record: EncoderRecord, result: PredictedEmbeddings
) -> bool:
    if file.width == record.width:
        return True
    reason = (
        f"It holds {file.width} values for each image, but {version.name} reads {record.width}: "
        "another encoder made it."
    )
    result.unusable.append((file.shown, reason))
    return False


def _sample(
    files: Sequence[EmbeddingFile], version: Version, record: EncoderRecord
) -> NDArray[np.float32]:
    """Some embeddings (n, width) of all files; raises `BadInput` if their lengths are wrong."""
    from model.scorer import evenly, lengths

    share = max(_FEWEST_OF_A_FILE, SAMPLE // len(files))
    parts = []
    for file in files:
        rows = file.some(evenly(file.rows, share)).astype(np.float32)
        long = lengths(rows)
        rows, long = rows[np.isfinite(long)], long[np.isfinite(long)]
        if len(rows):
            _check_lengths(file, long, version, record)
            parts.append(rows)
    return np.concatenate(parts) if parts else np.zeros((0, record.width), dtype=np.float32)


def _check_lengths(
    file: EmbeddingFile, long: NDArray[np.float32], version: Version, record: EncoderRecord
) -> None:
    is_unit = bool((np.abs(long - 1) < _UNIT).mean() >= _NEARLY_ALL)
    if is_unit == record.normalised:
        return
    if is_unit:
        raise BadInput(
            f"The embeddings in {file.shown} are normalised (all have length 1), but "
            f"{version.name} reads those of {record.identity} raw, so its predictions would be "
            "wrong; save them without normalising, or predict the images themselves."
        )
    raise BadInput(
        f"The embeddings in {file.shown} are raw (lengths around {np.median(long):.3g}), but "
        f"{version.name} reads those of {record.identity} normalised, so its predictions would be "
        "wrong; divide each by its length and save them again."
    )


def _predicted(
    scorer: Scorer,
    files: Sequence[EmbeddingFile],
    result: PredictedEmbeddings,
    progress: Progress,
) -> Generator[PredictedBlock, None, None]:
    """In the order of the files; rows that are not finite are left out and noted."""
    from model.threads import shared_out

    total, done = sum(file.rows for file in files), 0
    broken: dict[str, int] = {}
    blocks = (block for file in files for block in file.blocks())
    progress(0, total, "predicting")
    with closing(shared_out(lambda block: _score(scorer, block), blocks)) as parts:
        for shown, part, left_out in parts:
            broken[shown] = broken.get(shown, 0) + left_out
            result.predicted += len(part)
            done += len(part) + left_out
            yield part
            progress(done, total, "predicting")
    result.unusable += [(shown, _not_finite(rows)) for shown, rows in broken.items() if rows]


def _score(scorer: Scorer, block: Block) -> tuple[str, PredictedBlock, int]:
    """The block's file, what is said of its finite rows, and how many others there are."""
    from model.scorer import lengths

    part = PredictedBlock(block.names, scorer(block.vectors))
    finite = np.isfinite(lengths(block.vectors))
    if finite.all():
        return block.file, part, 0
    return block.file, part.take(finite), int((~finite).sum())


def _not_finite(rows: int) -> str:
    held = "1 row holds" if rows == 1 else f"{rows:,} rows hold"
    return f"{held} values that are not finite and are left out; embed these images again."
