"""A version at work: its head and second opinion, read from their files, predict."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db import embeddings, versions
from db.records import Predictions, Version
from labeler.errors import BadInput
from labeler.opinions import load_opinion
from labeler.progress import Progress, silent
from labeler.project import Project
from model.errors import ModelError
from model.head import Head, predict
from model.head_files import load_head, weights_path
from model.opinion import Opinion

_BATCH = 8192


@dataclass(frozen=True, slots=True, eq=False)
class LoadedVersion:
    """A version's head and second opinion, ready to predict.

    Without a second opinion (its file is lost, or of an earlier kind) the head predicts alone.
    """

    head: Head
    opinion: Opinion | None

    def predict(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> Predictions:
        """For images `ids` (n,) with raw embeddings (n, width)."""
        exceed = self.opinion.exceed(vectors) if self.opinion else None
        return Predictions(ids, predict(self.head, vectors), exceed)


def predict_stored(project: Project, version_name: str, progress: Progress = silent) -> int:
    """Let a version predict every image that has an embedding and no prediction of its yet.

    Returns how many; each batch is kept at once, so that what `progress` interrupts can go on.
    Raises `BadInput` where there is no such version.
    """
    version = versions.by_name(project.store, version_name)
    if version is None:
        raise BadInput(f"There is no version {version_name}; list them with: labeler versions")
    record = embeddings.encoder(project.store, version.encoder)
    if record is None:
        return 0
    waiting = versions.without_prediction(project.store, version.id, record.id)
    if not len(waiting):
        return 0
    loaded, done = load_version(project, version), 0
    progress(0, len(waiting), "predicting")
    for ids, vectors in embeddings.iterate(project.store, record.id, _BATCH, waiting):
        versions.put_predictions(project.store, version.id, loaded.predict(ids, vectors))
        done += len(ids)
        progress(done, len(waiting), "predicting")
    return done


def score_embeddings(
    project: Project, version: Version, vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Predictions (n,) 0–1 of a version for raw embeddings (n, width)."""
    return predict(load_version(project, version).head, vectors)


def load_version(project: Project, version: Version) -> LoadedVersion:
    """The version's head and second opinion from its files; raises `ModelError` if the head is not
    there, broken, or meant for embeddings of another width.
    """
    record = embeddings.encoder(project.store, version.encoder)
    path = weights_path(project.models / version.file)
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    head = _head(path, record.width if record else None, stamp)
    try:
        return LoadedVersion(head, load_opinion(project, version))
    except ModelError:
        return LoadedVersion(head, None)


@lru_cache(maxsize=2)
def _head(path: Path, width: int | None, _stamp: int) -> Head:
    return load_head(path, width).head
