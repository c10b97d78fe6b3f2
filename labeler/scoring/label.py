"""Hand scores given one at a time, and how an image is named: by a path or an id."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import db.scores.events
from db.records import Event, Image
from labeler.core.errors import BadInput
from labeler.core.images.lookup import find_image
from labeler.core.project import Project
from labeler.core.scorers import account_name, clean_name
from labeler.scoring.score_files import statements


@dataclass(frozen=True)
class LabelledImage:
    """One hand score as taken; `before` is the image's score until then (0–10, None: unscored)."""

    image: Image
    score: float
    before: float | None


def read_score(text: str) -> float:
    """A hand score 0–10 from what was written; raises `BadInput`."""
    score = statements.read_score(text)
    if score is None:
        raise BadInput(f"{text!r} is not a score; give a number from 0 to 10.")
    return score


def label_one(
    project: Project, named: str, score: float, scorer: str | None = None
) -> LabelledImage:
    """Give the image `named` (a path or an id) the hand score `score`; raises `BadInput`."""
    image = find_image(project, named)
    if image.state == "unreadable":
        raise BadInput(f"{named} can't be scored: {image.reason}")
    # Nothing is shown on the command line, so the event names no prediction and no version.
    event = Event(
        uuid.uuid4().hex,
        "score",
        image.id,
        datetime.now(UTC),
        value=score,
        scorer=clean_name(scorer) or account_name(),
    )
    receipt = db.scores.events.record(project.store, [event])[0]
    if not receipt.accepted:
        raise BadInput(f"{named} was not scored: {receipt.problem}")
    return LabelledImage(image, score, image.hand_score)
