"""Training a version: from the hand scores of a project to a head that is active and has predicted.

Everything that the version consists of is made first and kept last, in one go: whoever stops a
training, or pulls the plug, finds the project as it was. Only then it predicts, and takes over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
import db.images.lookup
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
from labeler.versions.second_opinion_file import second_opinion_path
from model.estimators.group_folds import connected_groups
from model.evaluation import metrics
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
    """Train on all hand scores, keep the version, and make it the active one (see `activate`).

    The very first is active at once.

    `recipe` is a name or the settings themselves. Embeddings that scored images lack are computed
    first, by `encoder` if given. The phases of `progress` are embedding (in images), training (in
    steps, folds included) and predicting (in images); `on_curve` gets the loss curve as it grows.
    Raises `NotEnoughScores`, and what passes through from `progress` leaves no half version behind;
    one that was still predicting is kept, to be made active by name.
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
    scored = TrainingData(vectors, values, groups, project.threshold)
    result = cross_fitting.cross_fit(recipe, scored, seed, _step_callback(progress, on_curve))
    new = _described(
        project,
        record,
        recipe=recipe,
        note=note,
        seed=seed,
        scored=scored,
        ids=ids,
        result=result,
    )
    version = _keep(project, record, new, result)
    return activate(project, version.name, progress=progress)


def _check_scores(values: NDArray[np.float64]) -> None:
    """Raises `NotEnoughScores`, saying how many more of what are needed."""
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
    """Compute what scored images lack; ones that can't be read are left out of the training."""
    record = db.images.embeddings.encoder(project.store, identity)
    ids, _ = db.scores.hand_scores.effective(project.store)
    if record is not None and not db.images.embeddings.missing(project.store, record.id, only=ids):
        return
    embed(project, encoder=encoder, progress=progress, only=ids.tolist())


def _scored_vectors(
    project: Project, identity: str
) -> tuple[EncoderRecord, NDArray[np.int64], NDArray[np.float64], NDArray[np.float32]]:
    """The encoder, and the scored images that have an embedding: ids, hand scores, embeddings."""
    record = db.images.embeddings.encoder(project.store, identity)
    if record is None:
        raise NotEnoughScores(
            f"None of the scored images could be embedded with {identity}; "
            f"score {FEWEST_TO_TRAIN} images that can be read."
        )
    ids, values = db.scores.hand_scores.effective(project.store)
    embedded, vectors = db.images.embeddings.get(project.store, record.id, ids)
    value_of = dict(zip(ids.tolist(), values.tolist(), strict=True))
    return record, embedded, np.array([value_of[i] for i in embedded.tolist()]), vectors


def _groups(
    project: Project, ids: NDArray[np.int64], vectors: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Group numbers (n,): by the project's groups, by how the images look, by their embeddings."""
    names = db.images.lookup.groups(project.store)
    known, hashes = db.images.lookup.fingerprints(project.store)
    hash_of = dict(zip(known.tolist(), hashes.tolist(), strict=True))
    looks = np.array([hash_of.get(i, 0) for i in ids.tolist()], dtype=np.uint64)
    return connected_groups(len(ids), [names.get(i) for i in ids.tolist()], looks, vectors)


def _step_callback(progress: Progress, on_curve: OnCurve | None) -> Callback:
    """Hands on the steps, and the curve whenever it has grown."""
    shown = 0

    def on_step(done: int, total: int, curve: list[Point]) -> None:
        nonlocal shown
        if on_curve is not None and curve and len(curve) != shown:
            on_curve(list(curve))
            shown = len(curve)
        progress(done, total, "training")

    return on_step


def _described(
    project: Project,
    record: EncoderRecord,
    *,
    recipe: Recipe,
    note: str,
    seed: int,
    scored: TrainingData,
    ids: NDArray[np.int64],
    result: cross_fitting.CrossFitResult,
) -> NewVersion:
    """The version as it will be kept."""
    active = db.versions.registry.active(project.store)
    name = db.versions.registry.next_name(project.store)
    return NewVersion(
        name=name,
        parent=active.name if active else None,
        encoder=record.identity,
        recipe=recipe.name,
        threshold=scored.threshold,
        file=weights_path(Path(name)).name,
        scored_ids=ids,
        scored_values=scored.scores,
        out_of_fold=Predictions(ids, result.out_of_fold, result.exceed, result.folds),
        settings=recipe.settings() | {"seed": seed},
        note=note,
        metrics=_measured(scored, result),
        curve=[dict(point) for point in result.curve],
    )


def _measured(scored: TrainingData, result: cross_fitting.CrossFitResult) -> dict[str, Any]:
    """Out-of-fold figures of the head, beside those of saying the mean score of every image."""
    truth = scored.scores / 10
    figures: dict[str, Any] = dict(
        metrics.measure(result.out_of_fold, truth, scored.threshold, scored.groups)
    )
    figures["baseline"] = metrics.baseline(truth, scored.threshold, scored.groups)
    figures["groups"] = len(np.unique(scored.groups))
    return figures


def _keep(
    project: Project, record: EncoderRecord, new: NewVersion, result: cross_fitting.CrossFitResult
) -> Version:
    with create_files(project, new) as path:
        metadata = head_metadata(record, new)
        name = project.folder.name
        save_head(
            path, result.head, name=name, rev=new.name, metadata=metadata, write=atomic_write_bytes
        )
        result.second_opinion.save(second_opinion_path(path), atomic_write_bytes)
        return db.versions.registry.add(project.store, new, activate=new.parent is None)
