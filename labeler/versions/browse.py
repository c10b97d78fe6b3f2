"""Browsing a collection: images by score, similar images, and the details of one image.

Reads the store only; nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.images.sources
import db.scores.confirmations
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
from db.records import HandScore, Image, Location, Version
from db.store.store import Store
from labeler.core.errors import BadInput, LabelerError
from labeler.core.project import Project
from labeler.core.scale import bounds_words
from labeler.embedding.nearest import nearest
from labeler.embedding.quantized_index import Ids, quantized_files
from labeler.versions import prediction_bands
from labeler.versions.prediction_bands import Values
from labeler.versions.predictions import sorted_by_score


@dataclass(frozen=True, slots=True)
class Band:
    """Which images to show, both ends included.

    With a version, `low` and `high` are 0–1 and limit its predictions, rounded as they are printed;
    images without a prediction are in no band. Without one they limit hand scores, 0–10, and
    `scored=False` selects the unscored images whatever the limits.
    """

    version: str | None = None
    low: float = 0.0
    high: float = 1.0
    source: str | None = None
    scored: bool | None = None  # None: both, where there are predictions to go by
    descending: bool = True
    top: int | None = None  # only the first so many


@dataclass(frozen=True, slots=True)
class BrowsedImage:
    """An image and its prediction by the band's version."""

    image: Image
    prediction: float | None  # 0–1


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of the images in a `Band`, and the number of all of them."""

    shown: list[BrowsedImage]
    total: int


@dataclass(frozen=True, slots=True)
class Similar:
    """An image and how similar it is to another one."""

    image: Image
    similarity: float  # cosine of the embeddings, -1 to 1; higher = more alike


@dataclass(frozen=True, slots=True)
class VersionPrediction:
    """What one version predicts for an image."""

    version: str
    prediction: float  # 0–1
    active: bool
    trained_on: bool  # whether the version was trained on the image's hand score
    out_of_fold: float | None  # 0–1, by the fold's head that was not trained on it


@dataclass(frozen=True, slots=True)
class ImageDetails:
    """One image with its files, scores, predictions and most similar scored images."""

    image: Image
    locations: list[Location]
    history: list[HandScore]  # oldest first, undone ones included
    predictions: list[VersionPrediction]  # oldest version first
    nearest_scored: list[Similar]
    confirmed: str | None = None  # what the hand score says where it is a confirmation


def browse(project: Project, band: Band, *, page: int = 1, per_page: int = 60) -> ResultPage:
    """Return page `page` (from 1) of the images in `band`.

    Raises `BadInput` for an unknown version or source.
    """
    ids, predictions = _select(project, band)
    if band.descending:
        ids, predictions = ids[::-1], None if predictions is None else predictions[::-1]
    ids = ids[: band.top]
    part = slice((page - 1) * per_page, page * per_page)
    page_ids, prediction_of = ids[part].tolist(), {}
    if predictions is not None:
        prediction_of = dict(zip(page_ids, predictions[: len(ids)][part].tolist(), strict=True))
    images = db.images.lookup.by_ids(project.store, page_ids)
    return ResultPage(
        [BrowsedImage(image, prediction_of.get(image.id)) for image in images], len(ids)
    )


def similar(
    project: Project, image_id: int, *, limit: int = 24, among: Sequence[int] | Ids | None = None
) -> list[Similar]:
    """Return the images with the most similar embeddings by cosine, most similar first.

    The image itself is left out; `among` limits the search to these ids. Empty if the image has no
    embedding.
    """
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if encoder is None:
        return []
    _, vector = db.images.embeddings.get(project.store, encoder.id, [image_id])
    if not len(vector):
        return []
    with _writable(project):
        ids, cosines = nearest(project, encoder, vector[0], limit + 1, among)
    neighbours = [(i, c) for i, c in zip(ids, cosines, strict=True) if i != image_id][:limit]
    images = {
        image.id: image
        for image in db.images.lookup.by_ids(project.store, [i for i, _ in neighbours])
    }
    return [Similar(images[i], c) for i, c in neighbours if i in images]


def make_ready(project: Project) -> None:
    """Load what `browse` and `similar` need, so that the first request isn't slower."""
    version = db.versions.registry.active(project.store)
    if version is not None:
        sorted_by_score(project, version.id)
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if encoder is not None:
        with _writable(project):
            quantized_files(project, encoder).now()


def image_details(project: Project, image_id: int, *, neighbours: int = 8) -> ImageDetails:
    """Return the details of one image; raises `BadInput` for an unknown id."""
    image = db.images.lookup.get(project.store, image_id)
    if image is None:
        raise BadInput(f"There is no image {image_id}; it may be of another project.")
    scored_ids, _ = db.scores.hand_scores.effective(project.store)
    history = db.scores.hand_scores.history(project.store, image_id)
    said = None
    if any(each.is_interval for each in history):
        said = db.scores.confirmations.effective_confirmations(project.store).get(image_id)
    return ImageDetails(
        image=image,
        locations=db.images.locations.locations(project.store, image_id),
        history=history,
        confirmed=bounds_words(*said) if said else None,
        predictions=_predictions(project.store, image_id),
        nearest_scored=similar(project, image_id, limit=neighbours, among=scored_ids),
    )


def _select(project: Project, band: Band) -> tuple[Ids, Values | None]:
    """Return ids (N,) in `band`, ascending by score, and their predictions (N,), 0–1, if any."""
    store = project.store
    version_id, source_id = _version_id(store, band.version), _source_id(store, band.source)
    if version_id is not None:
        return prediction_bands.by_prediction(
            project, version_id, band.low, band.high, source_id=source_id, scored=band.scored
        )
    if band.scored is False:
        return prediction_bands.without_hand_score(project, source_id=source_id), None
    return prediction_bands.by_hand_score(project, band.low, band.high, source_id=source_id)[
        0
    ], None


def _version_id(store: Store, name: str | None) -> int | None:
    if name is None:
        return None
    version = db.versions.registry.by_name(store, name)
    if version is None:
        raise BadInput(f"There is no version {name}; see them with: labeler versions")
    return version.id


def _source_id(store: Store, name: str | None) -> int | None:
    if name is None:
        return None
    for source in db.images.sources.sources(store):
        if source.name == name:
            return source.id
    raise BadInput(f"There is no source {name}; see them with: labeler status")


@contextmanager
def _writable(project: Project) -> Iterator[None]:
    """Turn an `OSError` about the quantized index into a `LabelerError`."""
    try:
        yield
    except OSError as error:
        raise LabelerError(
            f"Can't keep {project.sketches}: {error.strerror}; make room, or let it be written."
        ) from error


def _predictions(store: Store, image_id: int) -> list[VersionPrediction]:
    predictions = (
        _prediction(store, version, image_id) for version in db.versions.registry.history(store)
    )
    return [each for each in predictions if each is not None]


def _prediction(store: Store, version: Version, image_id: int) -> VersionPrediction | None:
    predictions = db.versions.predictions.predictions(store, version.id, [image_id])
    if not len(predictions.scores):
        return None
    out_of_fold = db.versions.predictions.out_of_fold(store, version.id, [image_id])
    return VersionPrediction(
        version=version.name,
        prediction=float(predictions.scores[0]),
        active=version.active,
        trained_on=bool(len(out_of_fold)),
        out_of_fold=float(out_of_fold.scores[0]) if len(out_of_fold) else None,
    )
