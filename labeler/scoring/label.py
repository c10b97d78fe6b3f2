"""Hand scores given one at a time on the command line."""

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
    """A hand score (0–10) that was recorded; `before` is the one until then, None if unscored."""

    image: Image
    score: float
    before: float | None


def read_score(text: str) -> float:
    """Return the hand score, 0–10, in `text`; raises `BadInput` if it holds none."""
    score = statements.read_score(text)
    if score is None:
        raise BadInput(f"{text!r} is not a score; give a number from 0 to 10.")
    return score


def label_one(
    project: Project, named: str, score: float, scorer: str | None = None
) -> LabelledImage:
    """Record `score` (0–10) for the image that `named` means: a path or an id.

    Raises `BadInput` where there is no such image, it can't be read, or the store refuses the
    score.
    """
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
