"""The prediction of one image that is not in the project; imports torch."""

from __future__ import annotations

import base64
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
import db.scores.hand_scores
from db.records import Version
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.embedding.embed import prepare_open, register
from labeler.embedding.nearest import nearest
from labeler.versions.calibration import pass_probability, published_head_spread
from labeler.versions.inference import load_version
from labeler.versions.snapshot import review_snapshot
from model.images.decode import decode, read_header
from model.images.hashing import content_hash

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder

NEAREST = 5  # scored images: a row of the page
_THUMBNAIL_SIDE = 640  # pixels of the longer side of the small copy


@dataclass(frozen=True, slots=True)
class OnePrediction:
    """The prediction of one image, with what the page shows beside it."""

    version: str
    prediction: float  # 0–1
    chance: float  # 0–1: the probability that its hand score would pass
    near: list[tuple[int, float]]  # scored images: (id, cosine), nearest first
    content_hash: str
    format: str
    width: int
    height: int
    small: str  # a JPEG in base64, its longer side `_THUMBNAIL_SIDE` pixels or less

    def as_values(self) -> dict[str, Any]:
        """Return values that JSON can store."""
        return asdict(self)


def predict_one(
    project: Project, version: Version, encoder: Encoder, data: bytes, name: str
) -> OnePrediction:
    """Predict the image in `data`; `name` gives the format's ending.

    Raises `UnreadableImage` if it can't be decoded.
    """
    file, path = io.BytesIO(data), Path(name)
    decoded = decode(read_header(file, path), longer=_THUMBNAIL_SIDE)
    decoded.image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    thumbnail = io.BytesIO()
    decoded.image.save(thumbnail, "JPEG", quality=88)
    file.seek(0)
    vector = encoder.encode(prepare_open(encoder, file, path)[None])
    prediction, chance = _predict(project, version, vector)
    file.seek(0)
    return OnePrediction(
        version=version.name,
        prediction=prediction,
        chance=chance,
        near=_nearest_scored(project, encoder, vector[0]),
        content_hash=content_hash(file),
        format=decoded.format,
        width=decoded.width,
        height=decoded.height,
        small=base64.b64encode(thumbnail.getvalue()).decode("ascii"),
    )


def _predict(
    project: Project, version: Version, vector: NDArray[np.float32]
) -> tuple[float, float]:
    """Return prediction and probability of passing, both 0–1, for an embedding (1, width)."""
    predictions = load_version(project, version).predict(np.zeros(1, dtype=np.int64), vector)
    exceed = (
        np.full((1, 10), np.nan)
        if predictions.exceed is None
        else predictions.exceed.astype(np.float64)
    )
    threshold = project.threshold
    spread = (
        published_head_spread(review_snapshot(project, version, threshold))
        if version.is_foreign
        else None
    )
    scores = predictions.scores.astype(np.float64)
    chance = pass_probability(
        project, version.id, scores, exceed, threshold, published_spread=spread
    )
    return round(float(scores[0]), 6), float(chance[0])


def _nearest_scored(
    project: Project, encoder: Encoder, vector: NDArray[np.float32]
) -> list[tuple[int, float]]:
    """Return (id, cosine) of the scored images most similar to `vector` (width,), nearest first."""
    record = db.images.embeddings.encoder(project.store, encoder.identity)
    scored, _ = db.scores.hand_scores.effective(project.store)
    if record is None or not len(scored):
        return []
    ids, cosines = nearest(project, record, vector, NEAREST, scored)
    return list(zip(ids, cosines, strict=True))


def checked_encoder(project: Project, version: Version, encoder: Encoder) -> Encoder:
    """Return `encoder` if it is the version's.

    Raises `BadInput` for another encoder, `StoreError` if it has changed since.
    """
    if encoder.identity != version.encoder:
        raise BadInput(f"{version.name} reads embeddings by {version.encoder}.")
    register(project, encoder)
    return encoder
