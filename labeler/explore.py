"""Looking around a collection: everything by score, images like this one, one image's story.

Reads only; nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import db.embeddings
import db.images
import db.scores
import db.versions
from db.records import HandScore, Image, Location, Version
from db.store import Store
from labeler.errors import BadInput
from labeler.project import Project


@dataclass(frozen=True, slots=True)
class Band:
    """What to show, both ends included.

    With a version, `low` and `high` are 0–1 and of its predictions: images that it never predicted
    are not in any band. Without one they are hand scores, 0–10, and `scored=False` gives the
    unscored images whatever the band.
    """

    version: str | None = None
    low: float = 0.0
    high: float = 1.0
    source: str | None = None
    scored: bool | None = None  # None: both, where there are predictions to go by
    descending: bool = True
    top: int | None = None  # only the first so many


@dataclass(frozen=True, slots=True)
class Shown:
    image: Image
    prediction: float | None  # 0–1


@dataclass(frozen=True, slots=True)
class Shelf:
    """One page of what a `Band` takes, and how many it takes in all."""

    shown: list[Shown]
    total: int


@dataclass(frozen=True, slots=True)
class Similar:
    image: Image
    similarity: float  # cosine of the embeddings, -1 to 1; higher = more alike


@dataclass(frozen=True, slots=True)
class VersionPrediction:
    version: str
    prediction: float  # 0–1
    active: bool
    trained_on: bool  # the image's hand score was among what the version learnt from
    out_of_fold: float | None  # what the version said of it without having seen it


@dataclass(frozen=True, slots=True)
class Story:
    image: Image
    locations: list[Location]
    history: list[HandScore]  # oldest first, undone ones included
    predictions: list[VersionPrediction]  # oldest version first
    nearest_scored: list[Similar]


def browse(project: Project, band: Band, *, page: int = 1, per_page: int = 60) -> Shelf:
    """Page `page` (from 1) of what `band` takes.

    Raises `BadInput` for an unknown version or source.
    """
    offset = (page - 1) * per_page
    limit = per_page if band.top is None else max(0, min(per_page, band.top - offset))
    found, total = db.images.browse(
        project.store,
        version_id=_version_id(project.store, band.version),
        low=band.low,
        high=band.high,
        source_id=_source_id(project.store, band.source),
        scored=band.scored,
        descending=band.descending,
        limit=limit,
        offset=offset,
    )
    shown = [Shown(each.image, each.prediction) for each in found]
    return Shelf(shown, total if band.top is None else min(total, band.top))


def similar(
    project: Project, image_id: int, *, limit: int = 24, among: Sequence[int] | None = None
) -> list[Similar]:
    """The images whose embeddings point most nearly the same way, closest first, itself left out.

    `among` narrows the search to those image ids. Empty when the image has no embedding yet.
    """
    encoder = db.embeddings.encoder(project.store, project.encoder)
    if encoder is None:
        return []
    _, own = db.embeddings.get(project.store, encoder.id, [image_id])
    if not len(own):
        return []
    ids, cosines = _closest(project.store, encoder.id, own[0], limit + 1, among)
    kept = [(i, c) for i, c in zip(ids, cosines, strict=True) if i != image_id][:limit]
    images = {image.id: image for image in db.images.by_ids(project.store, [i for i, _ in kept])}
    return [Similar(images[i], c) for i, c in kept if i in images]


def story(project: Project, image_id: int, *, neighbours: int = 8) -> Story:
    """Everything known of one image. Raises `BadInput` if there is no such image."""
    image = db.images.get(project.store, image_id)
    if image is None:
        raise BadInput(f"There is no image {image_id}; it may be of another project.")
    scored_ids, _ = db.scores.effective(project.store)
    return Story(
        image=image,
        locations=db.images.locations(project.store, image_id),
        history=sorted(db.scores.history(project.store, image_id), key=lambda score: score.at),
        predictions=_predictions(project.store, image_id),
        nearest_scored=similar(
            project, image_id, limit=neighbours, among=[int(i) for i in scored_ids]
        ),
    )


def _version_id(store: Store, name: str | None) -> int | None:
    if name is None:
        return None
    version = db.versions.by_name(store, name)
    if version is None:
        raise BadInput(f"There is no version {name}; see them with: labeler versions")
    return version.id


def _source_id(store: Store, name: str | None) -> int | None:
    if name is None:
        return None
    for source in db.images.sources(store):
        if source.name == name:
            return source.id
    raise BadInput(f"There is no source {name}; see them with: labeler status")


def _closest(
    store: Store, encoder_id: int, own: np.ndarray, limit: int, among: Sequence[int] | None
) -> tuple[list[int], list[float]]:
    """The `limit` highest cosines with `own` (width,), in one pass holding one batch at a time."""
    best_ids = np.empty(0, dtype=np.int64)
    best = np.empty(0, dtype=np.float32)
    for ids, vectors in db.embeddings.iterate(store, encoder_id, ids=among):
        best_ids = np.concatenate([best_ids, ids])
        best = np.concatenate([best, cosine(vectors, own)])
        order = np.lexsort((best_ids, -best))[:limit]  # equal cosines: the older image first
        best_ids, best = best_ids[order], best[order]
    return [int(i) for i in best_ids], [float(c) for c in best]


def cosine(vectors: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Cosine of each row of `vectors` (n, width) with `own` (width,); 0 for one of length 0."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(own)
    products = vectors @ own  # (n,)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def _predictions(store: Store, image_id: int) -> list[VersionPrediction]:
    told = (_prediction(store, version, image_id) for version in db.versions.history(store))
    return [each for each in told if each is not None]


def _prediction(store: Store, version: Version, image_id: int) -> VersionPrediction | None:
    predictions = db.versions.predictions(store, version.id, [image_id])
    if not len(predictions.scores):
        return None
    unseen = db.versions.out_of_fold(store, version.id)
    place = np.flatnonzero(unseen.image_ids == image_id)
    return VersionPrediction(
        version=version.name,
        prediction=float(predictions.scores[0]),
        active=version.active,
        trained_on=bool(len(place)),
        out_of_fold=float(unseen.scores[place[0]]) if len(place) else None,
    )
