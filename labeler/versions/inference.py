"""Predict with a version: its head and second opinion, read from their files."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
import db.versions.predictions
from db.records import EncoderRecord, Predictions, Version
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.versions.model_files import head_path, load_second_opinion
from model.errors import ModelError
from model.estimators.kernel_ordinal import KernelOrdinal
from model.heads.head_files import load_head
from model.heads.inference import SAMPLE, BatchPredictor
from model.threads import parallel_map

_BATCH = 2048  # what a thread reads and predicts at once: more of it leaves the caches
_WRITE_BATCH = 16 * _BATCH  # few enough to lose, enough to be quick to write


@dataclass(frozen=True, slots=True, eq=False)
class LoadedVersion:
    """A version's head and second opinion, ready to predict, in any thread.

    Without a second opinion (its file is missing, or of an earlier kind) the head predicts alone.
    """

    head: BatchPredictor
    opinion: KernelOrdinal | None

    def predict(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> Predictions:
        """Predict images `ids` (n,) by their raw embeddings (n, width), float32."""
        exceed = self.opinion.exceed(vectors) if self.opinion else None
        return Predictions(ids, self.head(vectors), exceed)


def predict_images(
    project: Project,
    version: Version,
    record: EncoderRecord,
    waiting: NDArray[np.int64],
    progress: Progress = silent,
) -> int:
    """Predict the images `waiting` (n,), rising ids, all embedded by the version's encoder.

    Stores the predictions and returns how many. Some ten thousand are written at a time, so that a
    run that `progress` interrupts can be continued.
    """
    progress(0, len(waiting), "predicting")
    done = 0
    with closing(
        predict_in_batches(project, load_version(project, version), record, waiting)
    ) as parts:
        for batch in _merge_batches(parts):
            db.versions.predictions.put_predictions(project.store, version.id, batch)
            done += len(batch)
            progress(done, len(waiting), "predicting")
    return done


def predict_in_batches(
    project: Project, loaded: LoadedVersion, record: EncoderRecord, waiting: NDArray[np.int64]
) -> Generator[Predictions, None, None]:
    """Read and predict the embeddings of `waiting` (n,) in threads, some thousand at a time."""
    count = min(db.images.embeddings.rows_at_once(record.width, SAMPLE), len(waiting))
    sampled = np.linspace(0, len(waiting) - 1, count, dtype=np.int64)
    _, sample = db.images.embeddings.get(project.store, record.id, waiting[sampled])
    tuned = replace(loaded, head=loaded.head.tuned(sample))

    def work(ids: NDArray[np.int64]) -> Predictions:
        return tuned.predict(*db.images.embeddings.get(project.store, record.id, ids))

    size = db.images.embeddings.rows_at_once(record.width, _BATCH)
    batches = (waiting[start : start + size] for start in range(0, len(waiting), size))
    with closing(parallel_map(work, batches)) as parts:
        yield from parts


def _merge_batches(parts: Iterable[Predictions]) -> Iterator[Predictions]:
    """Join consecutive parts until they have `_WRITE_BATCH` images."""
    pending: list[Predictions] = []
    for part in parts:
        pending.append(part)
        if sum(map(len, pending)) >= _WRITE_BATCH:
            yield _concatenate(pending)
            pending.clear()
    if pending:
        yield _concatenate(pending)


def _concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Join parts, all with a second opinion or all without."""
    exceed = [part.exceed for part in parts if part.exceed is not None]
    return Predictions(
        np.concatenate([part.image_ids for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(exceed) if exceed else None,
    )


def score_embeddings(
    project: Project, version: Version, vectors: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return the predictions (n,) float32, 0–1, of a version for raw embeddings (n, width)."""
    return load_version(project, version).head.predict_all(vectors)


def load_version(project: Project, version: Version) -> LoadedVersion:
    """Load the version's head and second opinion from its files.

    Raises `ModelError` if the head's file is missing, broken, or for embeddings of another width.
    """
    record = db.images.embeddings.encoder(project.store, version.encoder)
    path = head_path(project, version)
    width, modified = (
        record.width if record else None,
        path.stat().st_mtime_ns if path.is_file() else 0,
    )
    head = project.cache.get(
        "head",
        path,
        (width, modified),
        lambda: BatchPredictor(load_head(path, width).head),
        newest=2,
    )
    try:
        return LoadedVersion(head, load_second_opinion(project, version))
    except ModelError:
        return LoadedVersion(head, None)
