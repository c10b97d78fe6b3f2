"""What a version says of one picture that is no part of the project: imports torch."""

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
from labeler.versions.snapshot import standing
from model.images.decode import decode, read_header
from model.images.hashing import content_hash

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder

NEAREST = 5  # scored images: a row of the page
_SHOWN = 640  # pixels of the longer side of the small copy


@dataclass(frozen=True, slots=True)
class OnePrediction:
    """`prediction` and `chance` (that it truly passes) are 0–1; `near` are scored images and their
    cosines, nearest first; `small` is a JPEG in base64.
    """

    version: str
    prediction: float
    chance: float
    near: list[tuple[int, float]]
    content_hash: str
    format: str
    width: int
    height: int
    small: str

    def as_values(self) -> dict[str, Any]:
        return asdict(self)


def predict_one(
    project: Project, version: Version, encoder: Encoder, data: bytes, name: str
) -> OnePrediction:
    """Everything that is said of the picture in `data`; of `name` only the ending counts.

    Raises `UnreadableImage` for what is none.
    """
    file, path = io.BytesIO(data), Path(name)
    picture = decode(read_header(file, path), longer=_SHOWN)
    picture.image.thumbnail((_SHOWN, _SHOWN))
    small = io.BytesIO()
    picture.image.save(small, "JPEG", quality=88)
    file.seek(0)
    vector = encoder.encode(prepare_open(encoder, file, path)[None])
    prediction, chance = _said(project, version, vector)
    file.seek(0)
    return OnePrediction(
        version=version.name,
        prediction=prediction,
        chance=chance,
        near=_nearest_scored(project, encoder, vector[0]),
        content_hash=content_hash(file),
        format=picture.format,
        width=picture.width,
        height=picture.height,
        small=base64.b64encode(small.getvalue()).decode("ascii"),
    )


def _said(project: Project, version: Version, vector: NDArray[np.float32]) -> tuple[float, float]:
    """The prediction, and the chance that the picture truly passes, for an embedding (1, width)."""
    made = load_version(project, version).predict(np.zeros(1, dtype=np.int64), vector)
    exceed = np.full((1, 10), np.nan) if made.exceed is None else made.exceed.astype(np.float64)
    threshold = project.threshold
    spread = (
        published_head_spread(standing(project, version, threshold)) if version.is_foreign else None
    )
    predicted = made.scores.astype(np.float64)
    chance = pass_probability(project, version.id, predicted, exceed, threshold, its_spread=spread)
    return round(float(predicted[0]), 6), float(chance[0])


def _nearest_scored(
    project: Project, encoder: Encoder, vector: NDArray[np.float32]
) -> list[tuple[int, float]]:
    record = db.images.embeddings.encoder(project.store, encoder.identity)
    scored, _ = db.scores.hand_scores.effective(project.store)
    if record is None or not len(scored):
        return []
    ids, cosines = nearest(project, record, vector, NEAREST, scored)
    return list(zip(ids, cosines, strict=True))


def fitting_encoder(project: Project, version: Version, encoder: Encoder) -> Encoder:
    """`encoder`, once it is clear that the version reads its embeddings; raises `BadInput`,
    `StoreError` if it has changed since.
    """
    if encoder.identity != version.encoder:
        raise BadInput(f"{version.name} reads embeddings by {version.encoder}.")
    register(project, encoder)
    return encoder
