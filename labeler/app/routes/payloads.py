"""Images and review cards as the pages' own code gets them: plain JSON, never a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import db.versions.registry
from db.records import Image
from labeler.core.project import Project
from labeler.core.text import legible
from labeler.scoring.queue import predictions_of

if TYPE_CHECKING:
    from labeler.review.cards.card import Card, Twin
    from labeler.review.cards.reasons import Neighbour, Reason
    from labeler.review.pages import ReviewPage
    from labeler.review.what_if import Moving


def image_item(image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "hash": image.content_hash,
        "name": shown_name(PurePath(image.path).name),
        "source": shown_name(image.source),
        "width": image.width,
        "height": image.height,
        "score": _short(image.hand_score),
        "gone": image.state == "missing",
    }


def shown_name(name: str) -> str:
    """A file's name as it can be sent and read: what is hidden in it, or no UTF-8, is marked."""
    return legible(name)


def image_items(project: Project, images: Sequence[Image]) -> list[dict[str, Any]]:
    """Images with what the active version predicts for them."""
    version = db.versions.registry.active(project.store)
    predicted = predictions_of(project, version, [image.id for image in images])
    return [
        {
            **image_item(image),
            "prediction": predicted.get(image.id),
            "version": version.name if version and image.id in predicted else None,
        }
        for image in images
    ]


def review_item(page: ReviewPage) -> dict[str, Any]:
    """A page of cards, with the round's figures."""
    counted = page.round
    return {
        "cards": [_card(card, page) for card in page.cards],
        "waiting": page.waiting,
        "threshold": page.threshold,
        "explanation": page.explanation,
        "round": {
            "corrected": counted.corrected if counted else 0,
            "confirmed": counted.confirmed if counted else 0,
            "skipped": counted.skipped if counted else 0,
        },
    }


def _card(card: Card, page: ReviewPage) -> dict[str, Any]:
    return {
        **image_item(card.image),
        "queue": card.queue,
        "prediction": card.prediction,
        "version": page.version,
        "threshold": page.threshold,
        "confirm": card.confirm,
        "reasons": [_reason(reason) for reason in card.reasons],
        "near": [_neighbour(neighbour) for neighbour in card.near],
        "together": [_twin(twin) for twin in card.together],
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {"words": reason.words, "more": reason.more, "strong": reason.strong}


def _twin(twin: Twin) -> dict[str, Any]:
    return {**image_item(twin.image), "queue": twin.queue, "prediction": twin.prediction}


def moving_item(moving: Moving) -> dict[str, Any]:
    """What the round's corrections would move, by image id."""
    return {
        "moved": {
            moved.image_id: {"before": moved.before, "after": moved.after} for moved in moving.moved
        },
        "crossing": moving.crossing,
        "waiting": moving.waiting,
        "more": moving.more,
        "corrections": moving.corrections,
    }


def _neighbour(neighbour: Neighbour) -> dict[str, Any]:
    return {**image_item(neighbour.image), "similarity": neighbour.similarity}


def _short(score: float | None) -> float | int | None:
    """A whole score without its point: 7, not 7.0; imported fractions as they are."""
    return int(score) if score is not None and score == int(score) else score
