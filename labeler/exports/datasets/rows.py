"""The rows of a dataset, as every format writes them: images, scores, predictions, splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import db.images.lookup
import db.images.tags
import db.scores.confirmations
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
from db.records import HandScore, Image, Version
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.splits import SPLITS, read_shares, splits_of
from labeler.versions.evaluation.held_out import held_out_predictions

Ids = NDArray[np.int64]
BATCH = 1000
COLUMNS: dict[str, Any] = {
    "path": str,
    "hash": str,
    "source": str,
    "score": float,  # the hand score that counts, 0–10; empty where unscored
    "history_count": int,  # how many hand scores the image was given, undone ones left out
    # 0–1, of the active version: in-sample for the images that it was trained on, so there use the
    # out-of-fold prediction.
    "prediction": float,
    "out_of_fold_prediction": float,  # of scored images; empty where nothing honest is known
    "version": str,
    "state": str,
    "group": str,
    "format": str,
    "width": int,
    "height": int,
    "split": str,
    "tags": [str],
    # Of a score that is a confirmation no number was said, only score_at_least <= score <
    # score_below, empty where that side is open; both are empty for a typed score.
    "score_at_least": float,
    "score_below": float,
}
# One hand score of an image, oldest first, undone ones too; times are ISO 8601 in UTC.
HISTORY: dict[str, Any] = {
    "scorer": str,
    "score": float,
    "at": str,
    "why": str,
    "queue": str,
    "shown_prediction": float,
    "shown_version": str,
    "round": int,
    "undone_at": str,
    "event": str,
    "at_least": float,  # as score_at_least and score_below
    "below": float,
}
NESTED = COLUMNS | {"history": [HISTORY]}


@dataclass(frozen=True, slots=True)
class Row:
    """One image; `prediction` (0–1) is by `version`, both None where there is none.

    `out_of_fold` (0–1) is the prediction of a scored image by a head that was not trained on its
    score: the head of its fold or, if the version was not trained on the image, the version's.
    """

    image: Image
    split: str
    tags: list[str]
    history: list[HandScore]
    prediction: float | None
    out_of_fold: float | None
    version: str | None
    bounds: tuple[float | None, float | None] = (None, None)  # of the hand score, 0–10

    def latest_by_scorer(self) -> dict[str | None, HandScore]:
        """Return each scorer's last hand score that was not undone; None is the unnamed scorer.

        A typed score goes before a confirmation.
        """
        standing = [one for one in self.history if one.undone_at is None]
        return {one.scorer: one for one in sorted(standing, key=lambda one: not one.is_interval)}

    def cells(self) -> list[Any]:
        """Return the cells of `COLUMNS`."""
        image = self.image
        return [
            image.path,
            image.content_hash,
            image.source,
            image.hand_score,
            sum(one.undone_at is None for one in self.history),
            self.prediction,
            self.out_of_fold,
            self.version,
            image.state,
            image.group,
            image.format,
            image.width,
            image.height,
            self.split,
            self.tags,
            *self.bounds,
        ]

    def nested(self) -> list[Any]:
        """Return the cells of `NESTED`."""
        history = [dict(zip(HISTORY, event_cells(one), strict=True)) for one in self.history]
        return [*self.cells(), history]


@dataclass(frozen=True)
class Dataset:
    """Images `ids` (N,) int64, ascending, and `splits` (N,) int8, indices in `SPLITS`."""

    project: Project
    plan: Plan
    ids: Ids
    splits: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def version(self) -> Version | None:
        """Return the active version."""
        return db.versions.registry.active(self.project.store)

    def rows(self, only: Ids | None = None) -> Iterator[Row]:
        """Yield the rows of all images, or of the ids in `only` (ascending), `BATCH` per query."""
        ids = self.ids if only is None else only
        name = self.version.name if self.version else None
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            tags = db.images.tags.of_images(self.project.store, batch)
            histories: dict[int, list[HandScore]] = defaultdict(list)
            for one in db.scores.hand_scores.histories(self.project.store, batch):
                histories[one.image_id].append(one)
            splits = dict(zip(batch.tolist(), self.splits_of(batch), strict=True))
            for image in db.images.lookup.by_ids(self.project.store, batch):
                prediction = self._predictions.get(image.id)
                yield Row(
                    image=image,
                    split=splits[image.id],
                    tags=tags.get(image.id, []),
                    history=histories[image.id],
                    prediction=prediction,
                    out_of_fold=self._out_of_fold.get(image.id),
                    version=None if prediction is None else name,
                    bounds=self._bounds.get(image.id, (None, None)),
                )

    def splits_of(self, ids: Ids) -> list[str]:
        """Return the names of the splits of `ids`, in their order."""
        return [SPLITS[place] for place in self.splits[np.searchsorted(self.ids, ids)].tolist()]

    @cached_property
    def _bounds(self) -> dict[int, tuple[float | None, float | None]]:
        return db.scores.confirmations.effective_confirmations(self.project.store)

    @cached_property
    def _predictions(self) -> dict[int, float]:
        if self.version is None:
            return {}
        predictions = db.versions.predictions.predictions(self.project.store, self.version.id)
        return _by_id(predictions.image_ids, predictions.scores)

    @cached_property
    def _out_of_fold(self) -> dict[int, float]:
        if self.version is None:
            return {}
        scored, _ = db.scores.hand_scores.effective(self.project.store)
        scored = scored[np.isin(scored, self.ids)]
        held_out, stored = held_out_predictions(self.project, self.version, scored)
        out_of_fold = np.fmax(held_out, stored)  # at most one of the two is a number
        has_prediction = ~np.isnan(out_of_fold)
        return _by_id(scored[has_prediction], out_of_fold[has_prediction])


def _by_id(ids: Ids, scores: NDArray[np.floating]) -> dict[int, float]:
    return dict(zip(ids.tolist(), np.round(scores.astype(np.float64), 6).tolist(), strict=True))


def dataset_of(project: Project, plan: Plan, progress: Progress = silent) -> Dataset:
    """Return the dataset of a plan, without images that were never readable."""
    ids = ids_of(project, scored_only=bool(plan.scored_only))
    shares = read_shares(plan.split)
    keys = _group_keys(project, ids, progress)
    return Dataset(project, plan, ids, splits_of(keys, shares, plan.seed))


def ids_of(project: Project, *, scored_only: bool) -> Ids:
    """Return the ids (N,) int64, ascending, of images that were readable at least once."""
    # Imported where they are used: it brings scipy, which the columns' names do without.
    from labeler.collection.arrays import images_now

    images = images_now(project)
    included = images.readable
    if scored_only:
        scored, _ = db.scores.hand_scores.effective(project.store)
        included = included & images.marked(scored)
    return np.asarray(images.ids[included])


def _group_keys(project: Project, ids: Ids, progress: Progress) -> list[str]:
    """Return the key that decides each image's split: the hash of its group's oldest image."""
    from labeler.collection.arrays import images_now
    from labeler.exports.datasets.split_groups import split_groups

    images = images_now(project)
    oldest = images.ids[split_groups(project, images, progress)]
    keys = oldest[images.rows(ids)].tolist()
    hashes = db.images.lookup.content_hashes(project.store, np.unique(keys) if keys else [])
    return [hashes.get(key) or f"image {key}" for key in keys]


def event_cells(one: HandScore) -> list[Any]:
    """Return one hand score as the cells of `HISTORY`."""
    return [
        one.scorer,
        one.value,
        one.at.isoformat(),
        one.why,
        one.queue,
        None if one.shown_prediction is None else round(one.shown_prediction, 6),
        one.shown_version,
        one.round_id,
        one.undone_at.isoformat() if one.undone_at else None,
        one.event_id,
        one.at_least,
        one.below,
    ]
