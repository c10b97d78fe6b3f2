"""Training a version: from the hand scores of a project to an active head with predictions.

All parts of the version are computed first and stored at the end in one transaction, so an
interrupted training leaves the project unchanged. Then the version predicts and becomes active.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
import db.images.lookup
import db.scores.confirmations
import db.scores.hand_scores
import db.versions.registry
from db.records import EncoderRecord, NewVersion, Predictions, Version
from labeler.core.errors import NotEnoughScores
from labeler.core.files.atomic import atomic_write_bytes
from labeler.core.progress import Progress, silent
from labeler.core.project import FEWEST_TO_TRAIN, Project
from labeler.embedding.embed import embed
from labeler.versions.activate import activate
from labeler.versions.files import create_files, head_metadata
from labeler.versions.model_files import second_opinion_path
from model.estimators.group_folds import connected_groups
from model.evaluation import metrics
from model.evaluation.censoring import measure_known
from model.heads.head_files import save_head, weights_path
from model.training import cross_fitting
from model.training.recipe import Callback, Point, Recipe, TrainingData
from model.training.recipes import recipe_named

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder

OnCurve = Callable[[list[Point]], None]


def train(
    project: Project,
    *,
    recipe: str | Recipe = "quick",
    note: str = "",
    encoder: Encoder | None = None,
    progress: Progress = silent,
    on_curve: OnCurve | None = None,
    seed: int = 0,
) -> Version:
    """Train on all hand scores, store the version, and activate it (see `activate`).

    `recipe` is a name or the settings themselves. Missing embeddings of scored images are computed
    first, by `encoder` if given. The phases of `progress` are embedding (images), training (steps,
    folds included) and predicting (images); `on_curve` receives the loss curve as it grows. The
    first version of a project is active before it has predicted.

    Raises `NotEnoughScores`. An exception of `progress` before the version is stored leaves none; a
    version that was still predicting is kept and can be activated by name.
    """
    recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe
    _check_scores(db.scores.hand_scores.effective(project.store)[1])
    identity = encoder.identity if encoder else project.encoder
    _embed_scored(project, identity, encoder, progress)
    record, ids, values, vectors = _scored_vectors(project, identity)
    _check_scores(values)
    groups = _groups(project, ids, vectors)
    if len(np.unique(groups)) < 2:
        raise NotEnoughScores(
            f"All {len(ids)} scored images are one group or near-duplicates of each other; "
            "score at least 1 different image."
        )
    low, high = db.scores.confirmations.bounds(project.store, ids, values)
    data = TrainingData(vectors, values, groups, project.threshold, low, high)
    result = cross_fitting.cross_fit(recipe, data, seed, _step_callback(progress, on_curve))
    new = _described(
        project,
        record,
        recipe=recipe,
        note=note,
        seed=seed,
        data=data,
        ids=ids,
        result=result,
    )
    version = _keep(project, record, new, result)
    return activate(project, version.name, progress=progress)


def _check_scores(values: NDArray[np.float64]) -> None:
    """Check that there are enough different scores (N,), 0–10; raises `NotEnoughScores`."""
    if len(values) < FEWEST_TO_TRAIN:
        raise NotEnoughScores(
            f"Training needs {FEWEST_TO_TRAIN} scored images with an embedding, and there are "
            f"{len(values)}; score {FEWEST_TO_TRAIN - len(values)} more."
        )
    if (values == values[0]).all():
        raise NotEnoughScores(
            f"All {len(values)} hand scores are {values[0]:g}, so there is nothing to tell apart; "
            "score at least 1 image differently."
        )


def _embed_scored(
    project: Project, identity: str, encoder: Encoder | None, progress: Progress
) -> None:
    """Compute missing embeddings of scored images; unreadable images are not trained on."""
    record = db.images.embeddings.encoder(project.store, identity)
    ids, _ = db.scores.hand_scores.effective(project.store)
    if record is not None and not db.images.embeddings.missing(project.store, record.id, only=ids):
        return
    embed(project, encoder=encoder, progress=progress, only=ids.tolist())


def _scored_vectors(
    project: Project, identity: str
) -> tuple[EncoderRecord, NDArray[np.int64], NDArray[np.float64], NDArray[np.float32]]:
    """Return the encoder, and ids (N,), hand scores (N,) 0–10 and embeddings (N, width) of the
    scored images that have an embedding.
    """
    record = db.images.embeddings.encoder(project.store, identity)
    if record is None:
        raise NotEnoughScores(
            f"None of the scored images could be embedded with {identity}; "
            f"score {FEWEST_TO_TRAIN} images that can be read."
        )
    ids, values = db.scores.hand_scores.effective(project.store)
    embedded_ids, vectors = db.images.embeddings.get(project.store, record.id, ids)
    value_of = dict(zip(ids.tolist(), values.tolist(), strict=True))
    return record, embedded_ids, np.array([value_of[i] for i in embedded_ids.tolist()]), vectors


def _groups(
    project: Project, ids: NDArray[np.int64], vectors: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return group numbers (N,): by the project's groups, perceptual hashes and embeddings."""
    names = db.images.lookup.groups(project.store)
    hashed_ids, hashes = db.images.lookup.fingerprints(project.store)
    hash_of = dict(zip(hashed_ids.tolist(), hashes.tolist(), strict=True))
    looks = np.array([hash_of.get(i, 0) for i in ids.tolist()], dtype=np.uint64)
    return connected_groups(len(ids), [names.get(i) for i in ids.tolist()], looks, vectors)


def _step_callback(progress: Progress, on_curve: OnCurve | None) -> Callback:
    """Return a callback that reports the steps, and the curve whenever it has grown."""
    reported_length = 0

    def on_step(done: int, total: int, curve: list[Point]) -> None:
        nonlocal reported_length
        if on_curve is not None and curve and len(curve) != reported_length:
            on_curve(list(curve))
            reported_length = len(curve)
        progress(done, total, "training")

    return on_step


def _described(
    project: Project,
    record: EncoderRecord,
    *,
    recipe: Recipe,
    note: str,
    seed: int,
    data: TrainingData,
    ids: NDArray[np.int64],
    result: cross_fitting.CrossFitResult,
) -> NewVersion:
    """Return the version to store."""
    active = db.versions.registry.active(project.store)
    name = db.versions.registry.next_name(project.store)
    return NewVersion(
        name=name,
        parent=active.name if active else None,
        encoder=record.identity,
        recipe=recipe.name,
        threshold=data.threshold,
        file=weights_path(Path(name)).name,
        scored_ids=ids,
        scored_values=data.scores,
        out_of_fold=Predictions(ids, result.out_of_fold, result.exceed, result.folds),
        settings=recipe.settings() | {"seed": seed},
        note=note,
        metrics=_measured(data, result),
        curve=[dict(point) for point in result.curve],
    )


def _measured(data: TrainingData, result: cross_fitting.CrossFitResult) -> dict[str, Any]:
    """Return out-of-fold metrics of the head, and of predicting the mean score as `baseline`."""
    truth, low, high = data.scores / 10, data.low / 10, data.high / 10
    threshold, groups = data.threshold, data.groups
    figures: dict[str, Any] = measure_known(
        lambda on: metrics.measure(result.out_of_fold[on], truth[on], threshold, groups[on]),
        low,
        high,
        threshold,
    )
    figures["baseline"] = measure_known(
        lambda on: metrics.baseline(truth[on], threshold, groups[on]), low, high, threshold
    )
    figures["groups"] = len(np.unique(data.groups))
    return figures


def _keep(
    project: Project, record: EncoderRecord, new: NewVersion, result: cross_fitting.CrossFitResult
) -> Version:
    """Write the version's files and add it to the store; the first version becomes active."""
    with create_files(project, new) as path:
        metadata = head_metadata(record, new)
        name = project.folder.name
        save_head(
            path, result.head, name=name, rev=new.name, metadata=metadata, write=atomic_write_bytes
        )
        result.second_opinion.save(second_opinion_path(path), atomic_write_bytes)
        return db.versions.registry.add(project.store, new, activate=new.parent is None)
