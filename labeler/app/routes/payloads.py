"""Images and review cards as JSON values for the pages' JavaScript; no path is sent."""

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
    from labeler.review.cards.card import Card, NearDuplicate
    from labeler.review.cards.reasons import Neighbour, Reason
    from labeler.review.pages import ReviewPage
    from labeler.review.what_if import WhatIf


def image_item(image: Image) -> dict[str, Any]:
    """Return an image as JSON values."""
    return {
        "id": image.id,
        "hash": image.content_hash,
        "name": shown_name(PurePath(image.path).name),
        "source": shown_name(image.source),
        "width": image.width,
        "height": image.height,
        "score": _rounded(image.hand_score),
        "gone": image.state == "missing",
    }


def shown_name(name: str) -> str:
    """Return a file's name with invisible characters and invalid UTF-8 marked, so that it can be
    sent.
    """
    return legible(name)


def image_items(project: Project, images: Sequence[Image]) -> list[dict[str, Any]]:
    """Return images with the active version's predictions, 0–1."""
    version = db.versions.registry.active(project.store)
    predictions = predictions_of(project, version, [image.id for image in images])
    return [
        {
            **image_item(image),
            "prediction": predictions.get(image.id),
            "version": version.name if version and image.id in predictions else None,
        }
        for image in images
    ]


def review_item(page: ReviewPage) -> dict[str, Any]:
    """Return a page of cards, with the counts of the round."""
    open_round = page.round
    return {
        "cards": [_card(card, page) for card in page.cards],
        "waiting": page.waiting,
        "threshold": page.threshold,
        "explanation": page.explanation,
        "round": {
            "corrected": open_round.corrected if open_round else 0,
            "confirmed": open_round.confirmed if open_round else 0,
            "skipped": open_round.skipped if open_round else 0,
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
        "confirm_bounds": card.confirm_bounds,
        "reasons": [_reason(reason) for reason in card.reasons],
        "near": [_neighbour(neighbour) for neighbour in card.near],
        "together": [_near_duplicate(twin) for twin in card.together],
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {"words": reason.words, "more": reason.more, "strong": reason.strong}


def _near_duplicate(twin: NearDuplicate) -> dict[str, Any]:
    return {**image_item(twin.image), "queue": twin.queue, "prediction": twin.prediction}


def what_if_item(result: WhatIf) -> dict[str, Any]:
    """Return what the round's corrections would change, by image id."""
    return {
        "moved": {
            change.image_id: {"before": change.before, "after": change.after}
            for change in result.moved
        },
        "crossing": result.crossing,
        "waiting": result.waiting,
        "more": result.more,
        "corrections": result.corrections,
    }


def _neighbour(neighbour: Neighbour) -> dict[str, Any]:
    return {
        **image_item(neighbour.image),
        "similarity": neighbour.similarity,
        "confirmed": neighbour.confirmed,
    }


def _rounded(score: float | None) -> float | int | None:
    """Return a whole score without its point (7, not 7.0), and fractions as they are."""
    return int(score) if score is not None and score == int(score) else score
