"""Versions, embeddings and looks for tests of the review, told by image id."""

from __future__ import annotations

import numpy as np
from sqlalchemy import update

import db.images.embeddings
import db.images.locations
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
from db.records import NewVersion, Predictions, Version
from db.store.schema import ImageRow
from labeler.core.project import Project
from labeler.review.cards.card import Card

# A difference hash with half of its bits set: it says something.
LOOK = 0x0F0F_3355_0F0F_3355


def add(
    project: Project,
    predictions: dict[int, float],
    out_of_fold: dict[int, float] | None = None,
    opinion: dict[int, int] | None = None,
) -> Version:
    """A version with these predictions; out of fold it errs by 0.1 where nothing else is said.

    `opinion` holds hand scores that the second opinion is nearly sure of; without it there is none.
    """
    ids, values = db.scores.hand_scores.effective(project.store)
    usual = {
        i: v / 10 + (0.1 if v < 5 else -0.1) for i, v in zip(ids.tolist(), values, strict=True)
    }
    unseen = np.array(list((usual | (out_of_fold or {})).values()), dtype=np.float32)
    version = db.versions.registry.add(
        project.store,
        NewVersion(
            name=db.versions.registry.next_name(project.store),
            parent=None,
            encoder=project.encoder,
            recipe="quick",
            threshold=0.5,
            file="",
            scored_ids=ids,
            scored_values=values,
            out_of_fold=Predictions(ids, unseen, None, np.arange(len(ids)) % 5),
        ),
    )
    wanted = np.array(sorted(predictions))
    exceed = None
    if opinion is not None:
        exceed = np.full((len(wanted), 10), np.nan, dtype=np.float32)
        for row, image_id in enumerate(wanted.tolist()):
            if image_id in opinion:
                exceed[row] = np.where(np.arange(1, 11) <= opinion[image_id], 0.98, 0.02)
    scores = np.array([predictions[int(i)] for i in wanted], dtype=np.float32)
    db.versions.predictions.put_predictions(
        project.store, version.id, Predictions(wanted, scores, exceed)
    )
    return version


def ids(cards: list[Card]) -> list[int]:
    return [card.image.id for card in cards]


def scatter(project: Project) -> None:
    """Embeddings at random: no image is like another."""
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    everyone = np.array(sorted(db.images.locations.ids_by_path(project.store).values()))
    vectors = np.random.default_rng(3).normal(size=(len(everyone), encoder.width))
    db.images.embeddings.put(project.store, encoder.id, everyone, vectors.astype(np.float32))


def spread_out(project: Project, image_ids: list[int]) -> None:
    """Embeddings that are nothing alike for these images."""
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    vectors = np.eye(8, dtype=np.float32)[: len(image_ids)]
    db.images.embeddings.put(project.store, encoder.id, np.array(image_ids), vectors)


def look_alike(project: Project, image_ids: list[int], look: int = LOOK) -> None:
    """One picture, each time re-encoded: hashes one bit apart, embeddings hardly."""
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    vectors = np.zeros((len(image_ids), encoder.width), dtype=np.float32)
    vectors[:, image_ids[0] % encoder.width] = -1
    vectors[:, (image_ids[0] + 1) % encoder.width] = np.linspace(0, 0.2, len(image_ids))
    db.images.embeddings.put(project.store, encoder.id, np.array(image_ids), vectors)
    for number, image_id in enumerate(image_ids):
        set_look(project, image_id, look ^ (1 << number))


def set_look(project: Project, image_id: int, look: int) -> None:
    with project.store.transaction() as session:
        session.execute(update(ImageRow).where(ImageRow.id == image_id).values(fingerprint=look))
