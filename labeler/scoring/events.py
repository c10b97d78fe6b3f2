"""Events of scoring by hand: reads what a browser sends, and records it.

Hand scores are 0–10. The store checks the events' values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import db.scores.events
from db.records import Event, Receipt
from db.scores.event_checks import SCORES, refused
from labeler.core.project import Project
from labeler.core.scorers import clean_name
from model.passing import passes


def confirmed_score(prediction: float, threshold: float) -> int:
    """Return the hand score, 0–10, that a confirmation of `prediction` (0–1) records.

    It is the prediction times 10, rounded half up, but on the same side of `threshold` (0–1) as the
    prediction: the confirmation of a pass never records a fail. Where no whole score lies on that
    side, it is 0 or 10.
    """
    score = math.floor(prediction * 10 + 0.5)
    # The tolerance is for rounding errors: 0.7 * 10 is slightly more than 7.
    lowest_pass = math.ceil(threshold * 10 - 1e-9)
    if passes(prediction, threshold):
        return min(10, max(score, lowest_pass))
    return max(0, min(score, lowest_pass - 1))


def record_events(
    project: Project, raw: Sequence[Any], scorer: str | None = None, now: datetime | None = None
) -> list[Receipt]:
    """Record the events that a browser sent, and return a receipt for each, in their order.

    An event is a dict: `event` (its id), `kind` (score, confirm, skip or undo), `image` (an id),
    `score`, `queue` and `undoes` where the kind needs them, and what the screen showed:
    `prediction`, `version`, `threshold`, `hash` (of the picture's content; refused if the image has
    another one now), `draw` if the image was drawn at random, and `repeat` if it was shown once
    more without its score. `scorer` in the event overrides `scorer` here. `at` is a time in ISO
    8601; one after `now` becomes `now`. A malformed event is refused by its receipt, which says
    why, and the others are recorded.
    """
    now = now or datetime.now(UTC)
    threshold = project.threshold
    read = [_read_or_refuse(item, scorer, now, threshold) for item in raw]
    events = [item for item in read if isinstance(item, Event)]
    receipts = iter(db.scores.events.record(project.store, events))
    return [next(receipts) if isinstance(item, Event) else item for item in read]


def _read_or_refuse(
    raw: Any, scorer: str | None, now: datetime, threshold: float
) -> Event | Receipt:
    try:
        return _read_event(raw, scorer, now, threshold)
    except (KeyError, TypeError, ValueError, OverflowError):
        event_id = raw.get("event") if isinstance(raw, dict) else None
        return refused(event_id, "The event is malformed.")


def _read_event(raw: dict[str, Any], scorer: str | None, now: datetime, threshold: float) -> Event:
    """Return the event in `raw`; `threshold` (0–1) is for a page that sends none.

    Raises `KeyError`, `TypeError`, `ValueError` or `OverflowError` where it is malformed.
    """
    kind, queue = raw["kind"], raw.get("queue")
    gives_score, prediction = kind in SCORES, raw.get("prediction")
    is_scored = kind == "score" and queue in (None, "score")
    return Event(
        event_id=raw["event"],
        kind=kind,
        image_id=int(raw["image"]),
        value=raw["score"] if gives_score else None,
        queue="score" if queue is None else queue,
        scorer=_read_scorer(raw.get("scorer")) or scorer,
        at=_read_time(raw.get("at"), now),
        shown_prediction=None if prediction is None else float(prediction),
        shown_threshold=float(raw.get("threshold") or threshold) if gives_score else None,
        shown_version=_read_text(raw.get("version")),
        shown_hash=raw.get("hash"),
        undoes=raw["undoes"] if kind == "undo" else None,
        draw=is_scored and raw.get("draw") is True,
        repeat=is_scored and raw.get("repeat") is True,
    )


def _read_scorer(raw: Any) -> str | None:
    """Return the event's scorer; a value that is no name counts as missing, not as an error."""
    return clean_name(raw) if isinstance(raw, str) else None


def _read_text(raw: Any) -> str | None:
    if raw is not None:
        str.encode(raw)  # raises for text that the store can't hold, and for other types
    return raw


def _read_time(raw: Any, now: datetime) -> datetime:
    at = datetime.fromisoformat(raw) if raw else now
    return min(now, at.astimezone(UTC))
