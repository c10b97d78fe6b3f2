"""Review: the cards of the three queues, the surest mistake first, each with why it is here.

Only the store and numpy are used: predictions and second opinions were made when the version was.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

import db.candidates
import db.images
import db.rounds
import db.versions
from db.records import REVIEW_QUEUES, Image, Round, Version
from labeler.errors import BadInput, LabelerError
from labeler.evidence import Neighbour, Reason, differing, nearest_scored, reasons
from labeler.project import Project
from labeler.ranked import Ranked, by_hand, unscored
from labeler.scoring import confirmed_score

__all__ = ["Card", "Neighbour", "Reason", "ReviewPage", "review_cards", "review_page"]


@dataclass(frozen=True, slots=True)
class Card:
    """One likely mistake.

    `prediction` is 0–1 (out-of-fold in the hand-score queue), `suspicion` 0–1 (higher = more likely
    a mistake), `second` the second opinion's expected hand score, 0–10. `confirm` is the hand score
    that "the model is right" stands for.
    """

    image: Image
    queue: str
    prediction: float
    suspicion: float
    second: float | None
    confirm: int
    reasons: list[Reason]
    near: list[Neighbour]


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Cards of one queue; `waiting` counts all that could still be shown, these included."""

    cards: list[Card]
    waiting: int
    version: str
    threshold: float
    round: Round | None
    explanation: str | None = None


def review_cards(
    project: Project, queue: str, *, threshold: float | None = None, limit: int = 40
) -> list[Card]:
    """The cards at the head of `queue`; nothing is recorded.

    Raises `BadInput` for another queue and `LabelerError` where there is no active version.
    """
    version = _active(project, queue)
    threshold = project.threshold if threshold is None else threshold
    handled: set[int] = set()
    if (open_round := _open_round(project, version)) is not None:
        handled = db.rounds.handled(project.store, open_round.id, queue)
    ranked = _ranked(project, version, queue, threshold).without(handled)
    chosen = differing(project, version, ranked, limit, ())
    return _cards(project, version, chosen, queue, threshold)


def review_page(
    project: Project,
    queue: str,
    *,
    limit: int,
    exclude: Collection[int] = (),
    first: int | None = None,
) -> ReviewPage:
    """Cards to show now, noted as shown in the version's open round.

    `exclude` are images on the screen already, `first` one that should lead. Raises as
    `review_cards` does.
    """
    version, threshold = _active(project, queue), project.threshold
    store = project.store
    opened = db.rounds.open_round(store, version.id, threshold)
    handled = db.rounds.handled(store, opened.id, queue)
    everything = _ranked(project, version, queue, threshold)
    ranked = everything.without(handled | set(exclude)).led_by(first)
    chosen = differing(project, version, ranked, limit, exclude)
    cards = _cards(project, version, chosen, queue, threshold)
    db.rounds.mark_shown(store, opened.id, queue, [(c.image.id, c.prediction) for c in cards])
    return ReviewPage(
        cards=cards,
        waiting=len(everything.without(handled)),
        version=version.name,
        threshold=threshold,
        round=opened,
        explanation=None if cards or exclude else _why_none(project, version, queue),
    )


def _active(project: Project, queue: str) -> Version:
    if queue not in REVIEW_QUEUES:
        raise BadInput(f"There is no queue {queue!r}; there are {', '.join(REVIEW_QUEUES)}.")
    version = db.versions.active(project.store)
    if version is None:
        raise LabelerError("Reviewing needs a trained version; make one with: labeler train")
    return version


def _open_round(project: Project, version: Version) -> Round | None:
    rounds = db.rounds.history(project.store)
    mine = [r for r in rounds if r.from_version == version.name and r.finished_at is None]
    return mine[-1] if mine else None


def _ranked(project: Project, version: Version, queue: str, threshold: float) -> Ranked:
    if queue == "hand-score":
        return by_hand(project, version, threshold)
    return unscored(project, version, threshold, passing=queue == "false-positive")


def _cards(
    project: Project, version: Version, chosen: Ranked, queue: str, threshold: float
) -> list[Card]:
    images = {image.id: image for image in db.images.by_ids(project.store, chosen.ids)}
    near = nearest_scored(project, version, chosen.ids)
    bands = {
        source.name: f"{source.expect_low:g}–{source.expect_high:g}"
        for source in db.images.sources(project.store)
        if source.expect_low is not None
    }
    return [
        Card(
            image=images[image_id],
            queue=queue,
            prediction=float(chosen.predictions[row]),
            suspicion=float(chosen.suspicion[row]),
            second=None if np.isnan(chosen.second[row]) else float(chosen.second[row]),
            confirm=confirmed_score(float(chosen.predictions[row]), threshold),
            reasons=reasons(chosen, row, images[image_id], bands, threshold),
            near=near.get(image_id, []),
        )
        for row, image_id in enumerate(chosen.ids.tolist())
    ]


def _why_none(project: Project, version: Version, queue: str) -> str:
    if queue == "hand-score":
        return f"No hand score stands out against {version.name}."
    if not db.candidates.prediction_count(project.store, version.id):
        return f"{version.name} has predicted nothing yet: embed the images first."
    side = "passes" if queue == "false-positive" else "fails"
    return f"No unscored image {side} by {version.name}'s prediction."
