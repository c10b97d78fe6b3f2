"""A dataset as every format writes it: the images with what is known of them, and their splits."""

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
    # 0–1, of the active version. It has learnt from the scores of images that it was trained on,
    # so that there it says little; what it said of them without having seen them stands beside it.
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
}
NESTED = COLUMNS | {"history": [HISTORY]}


@dataclass(frozen=True, slots=True)
class Row:
    """One image; `prediction` (0–1) is by `version`, both None where there is none.

    `out_of_fold` (0–1) is what a head says of a scored image that has not seen its score: that of
    its fold or, where the version was not trained on the image, the version's own.
    """

    image: Image
    split: str
    tags: list[str]
    history: list[HandScore]
    prediction: float | None
    out_of_fold: float | None
    version: str | None

    def latest_by_scorer(self) -> dict[str | None, HandScore]:
        """Each scorer's last hand score that was not undone; None is the nameless one."""
        return {one.scorer: one for one in self.history if one.undone_at is None}

    def cells(self) -> list[Any]:
        """The cells of `COLUMNS`."""
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
        ]

    def nested(self) -> list[Any]:
        """The cells of `NESTED`."""
        history = [dict(zip(HISTORY, event_cells(one), strict=True)) for one in self.history]
        return [*self.cells(), history]


@dataclass(frozen=True)
class Dataset:
    """The images `ids` (n,), rising, and the place of each one's split in `SPLITS`, (n,)."""

    project: Project
    plan: Plan
    ids: Ids
    splits: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def version(self) -> Version | None:
        return db.versions.registry.active(self.project.store)

    def rows(self, only: Ids | None = None) -> Iterator[Row]:
        """The images (of `only` these, rising) one after the other, read a thousand at a time."""
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
                said = self._predictions.get(image.id)
                yield Row(
                    image=image,
                    split=splits[image.id],
                    tags=tags.get(image.id, []),
                    history=histories[image.id],
                    prediction=said,
                    out_of_fold=self._out_of_fold.get(image.id),
                    version=None if said is None else name,
                )

    def splits_of(self, ids: Ids) -> list[str]:
        """The names of the splits of some of the images, in their order."""
        return [SPLITS[place] for place in self.splits[np.searchsorted(self.ids, ids)].tolist()]

    @cached_property
    def _predictions(self) -> dict[int, float]:
        if self.version is None:
            return {}
        found = db.versions.predictions.predictions(self.project.store, self.version.id)
        return _by_id(found.image_ids, found.scores)

    @cached_property
    def _out_of_fold(self) -> dict[int, float]:
        if self.version is None:
            return {}
        scored, _ = db.scores.hand_scores.effective(self.project.store)
        scored = scored[np.isin(scored, self.ids)]
        held_out, stored = held_out_predictions(self.project, self.version, scored)
        unseen = np.fmax(held_out, stored)  # at most one of the two is a number
        known = ~np.isnan(unseen)
        return _by_id(scored[known], unseen[known])


def _by_id(ids: Ids, scores: NDArray[np.floating]) -> dict[int, float]:
    return dict(zip(ids.tolist(), np.round(scores.astype(np.float64), 6).tolist(), strict=True))


def dataset_of(project: Project, plan: Plan, progress: Progress = silent) -> Dataset:
    """The images that the plan takes; those that could never be read are left out."""
    ids = ids_of(project, scored_only=bool(plan.scored_only))
    shares = read_shares(plan.split)
    keys = _family_keys(project, ids, progress)
    return Dataset(project, plan, ids, splits_of(keys, shares, plan.seed))


def ids_of(project: Project, *, scored_only: bool) -> Ids:
    """The ids (n,), rising, of what can be exported: all that was ever readable."""
    # Imported where they are used: it brings scipy, which the columns' names do without.
    from labeler.collection.arrays import images_now

    images = images_now(project)
    taken = images.readable
    if scored_only:
        scored, _ = db.scores.hand_scores.effective(project.store)
        taken = taken & images.marked(scored)
    return np.asarray(images.ids[taken])


def _family_keys(project: Project, ids: Ids, progress: Progress) -> list[str]:
    """What decides the split of each of `ids`: the content of the oldest image of its family."""
    from labeler.collection.arrays import images_now
    from labeler.exports.datasets.split_groups import split_groups

    images = images_now(project)
    oldest = images.ids[split_groups(project, images, progress)]
    keys = oldest[images.rows(ids)].tolist()
    hashes = db.images.lookup.content_hashes(project.store, np.unique(keys) if keys else [])
    return [hashes.get(key) or f"image {key}" for key in keys]


def event_cells(one: HandScore) -> list[Any]:
    """One hand score as the cells of `HISTORY`."""
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
    ]
