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
from db.scores.event_checks import SCORES, SLACK, refused
from labeler.core.project import Project
from labeler.core.scale import BRACKETS, bracket_of
from labeler.core.scorers import clean_name
from model.passing import passes

# Where "the model is right" is about a side; elsewhere a person keeps the score they gave.
CONFIRMABLE = ("false-positive", "false-negative")


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


def confirmed_bounds(
    score: float, threshold: float, *, in_bracket: bool = False
) -> tuple[float | None, float | None]:
    """Return what a confirmation that records `score` (0–10) says: at least the first, less than
    the second, None where that side is open.

    It is on which side of `threshold` (0–1) the image lies; with `in_bracket`, where the side was
    not in question, in which bracket.
    """
    cut = round(threshold * 10, 9)
    passing = score >= cut - SLACK
    at_least, below = (cut, None) if passing else (None, cut)
    if in_bracket:
        bracket = bracket_of(score / 10)
        at_least = max(bracket.low, at_least or 0.0)
        ends = [bracket.high + 1, *([] if below is None else [below])]
        below = min(ends) if min(ends) <= BRACKETS[-1].high else None
    return at_least, below


def record_events(
    project: Project, raw: Sequence[Any], scorer: str | None = None, now: datetime | None = None
) -> list[Receipt]:
    """Record the events that a browser sent, and return a receipt for each, in their order.

    An event is a dict: `event` (its id), `kind` (score, confirm, skip or undo), `image` (an id),
    `score`, `queue` and `undoes` where the kind needs them, and what the screen showed:
    `prediction`, `version`, `threshold`, `hash` (of the picture's content; refused if the image has
    another one now), `draw` if the image was drawn at random, and `repeat` if it was shown once
    more without its score. `at_least` and `below` are what a score says that is no number; a
    confirmation of a likely mistake without them says on which side of the threshold the image
    lies. `scorer` in the event overrides `scorer` here. `at` is a time in ISO 8601; one after `now`
    becomes `now`. A malformed event is refused by its receipt, which says why, and the others are
    recorded.
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
    shown_threshold = float(raw.get("threshold") or threshold) if gives_score else None
    at_least, below = _read_bounds(raw, shown_threshold) if gives_score else (None, None)
    return Event(
        event_id=raw["event"],
        kind=kind,
        image_id=int(raw["image"]),
        value=raw["score"] if gives_score else None,
        queue="score" if queue is None else queue,
        scorer=_read_scorer(raw.get("scorer")) or scorer,
        at=_read_time(raw.get("at"), now),
        shown_prediction=None if prediction is None else float(prediction),
        shown_threshold=shown_threshold,
        shown_version=_read_text(raw.get("version")),
        shown_hash=raw.get("hash"),
        undoes=raw["undoes"] if kind == "undo" else None,
        draw=is_scored and raw.get("draw") is True,
        repeat=is_scored and raw.get("repeat") is True,
        at_least=at_least,
        below=below,
    )


def _read_bounds(raw: dict[str, Any], threshold: float | None) -> tuple[float | None, float | None]:
    """Return what the event says instead of a number; None, None where it says its number."""
    bounds = raw.get("at_least"), raw.get("below")
    if bounds != (None, None):
        return bounds
    # A page from before confirmations had bounds may still send some.
    if raw["kind"] == "confirm" and raw.get("queue") in CONFIRMABLE and threshold is not None:
        return confirmed_bounds(float(raw["score"]), threshold)
    return None, None


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
