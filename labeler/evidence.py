"""Which of the suspects to show together, and why each is shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import db.embeddings
import db.images
import db.scores
from db.records import Image, Version
from db.store import Store
from labeler.project import Project
from labeler.ranked import Ranked
from model import ranking

NEAREST = 4
# Cosine from which two pictures count as the same for a person: one of them a page is enough.
ALIKE = 0.97
# So many times the wanted number are looked at for ones that differ.
POOL = 4

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of why a card is here; `more` explains it, `strong` ones decide by themselves."""

    words: str
    more: str | None = None
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A scored image, and the cosine of its embedding with the card's, -1 to 1."""

    image: Image
    similarity: float


def differing(
    project: Project, version: Version, ranked: Ranked, limit: int, beside: Collection[int]
) -> Ranked:
    """Up to `limit` of `ranked`, in its order: none nearly the same as another or as in `beside`,
    and no page of one cluster."""
    pool = ranked.take(np.arange(min(len(ranked), limit * POOL)))
    vectors = _vectors(project, version, pool.ids)
    shown = _vectors(project, version, np.fromiter(beside, np.int64, len(beside)))
    if len(shown) and len(vectors):
        _, cosines = ranking.nearest_scored(vectors, shown, 1)
        pool, vectors = pool.take(cosines[:, 0] < ALIKE), vectors[cosines[:, 0] < ALIKE]
    in_order = -np.arange(len(pool), dtype=np.float64)
    return pool.take(ranking.diverse(in_order, vectors, limit, alike=ALIKE))


def nearest_scored(project: Project, version: Version, ids: Ids) -> dict[int, list[Neighbour]]:
    """The nearest images with a hand score, nearest first, for each of `ids` with an embedding."""
    scored, _ = db.scores.effective(project.store)
    encoder = db.embeddings.encoder(project.store, version.encoder)
    if encoder is None:
        return {}
    known_ids, known = _scored_vectors(project.store, encoder.id, scored.tobytes())
    ids, vectors = db.embeddings.get(project.store, encoder.id, ids)
    # One more than is shown: a scored image is its own nearest.
    rows, cosines = ranking.nearest_scored(vectors, known, NEAREST + 1)
    near_ids = known_ids[rows]
    images = {i.id: i for i in db.images.by_ids(project.store, np.unique(near_ids))}
    return {
        image_id: [
            Neighbour(images[other], cosine)
            for other, cosine in zip(others, similarities, strict=True)
            if other != image_id
        ][:NEAREST]
        for image_id, others, similarities in zip(
            ids.tolist(), near_ids.tolist(), cosines.tolist(), strict=True
        )
    }


def _vectors(project: Project, version: Version, ids: Ids) -> Vectors:
    """Embeddings (n, width) in the order of `ids`; zeros, alike to nothing, where there is none."""
    encoder = db.embeddings.encoder(project.store, version.encoder)
    if encoder is None:
        return np.zeros((len(ids), 1), dtype=np.float32)
    found, vectors = db.embeddings.get(project.store, encoder.id, ids)
    all_vectors = np.zeros((len(ids), encoder.width), dtype=np.float32)
    all_vectors[np.isin(ids, found)] = vectors
    return all_vectors


@lru_cache(maxsize=1)
def _scored_vectors(store: Store, encoder_id: int, scored: bytes) -> tuple[Ids, Vectors]:
    """Ids and embeddings of the scored images; read anew when the set of them changes."""
    return db.embeddings.get(store, encoder_id, np.frombuffer(scored, dtype=np.int64))


def reasons(
    ranked: Ranked, row: int, image: Image, bands: dict[str, str], threshold: float
) -> list[Reason]:
    """Why the suspect in `row` is shown, the strongest reason first.

    `bands` holds what sources expect, as words, by the source's name.
    """
    found: list[Reason] = []
    if ranked.unexpected[row]:
        found.append(_expectation(image.source, bands[image.source]))
    if np.isnan(ranked.given[row]):
        found.append(_chance(float(ranked.suspicion[row])))
    else:
        found.append(_gap(float(ranked.given[row]), float(ranked.predictions[row])))
    if not np.isnan(ranked.second[row]):
        found.append(_second(float(ranked.second[row]), threshold))
    return found


def _expectation(source: str, band: str) -> Reason:
    more = f"Images of {source} are expected to score {band}: the prediction contradicts that."
    return Reason(f"its source expects {band}", more, strong=True)


def _chance(suspicion: float) -> Reason:
    more = (
        "The chance that it lies on the other side of the threshold, from how far predictions "
        "miss on scored images and from the second opinion."
    )
    return Reason(f"{round(suspicion * 100)} % likely wrong", more)


def _gap(given: float, prediction: float) -> Reason:
    gap = abs(given - prediction * 10)
    more = "The prediction is out of fold: made by a head that had not seen this score."
    return Reason(f"{gap:.1f} points from the prediction", more)


def _second(expected: float, threshold: float) -> Reason:
    side = "passes" if expected / 10 >= threshold else "fails"
    more = "Another, simpler model of the same embeddings; it expects this hand score."
    return Reason(f"second opinion: {expected:.1f}, {side}", more)
