"""What an event says, and whether it can be taken whatever the store holds."""

from __future__ import annotations

import math
from numbers import Real

from db.records import QUEUES, REASONS_TO_SCORE, REVIEW_QUEUES, Event

_LONGEST_ID = 200


def problem_of(event: Event) -> str | None:
    """Why the event can't be taken whatever the store holds; `None` if it may be."""
    demands = (
        (event.kind in ("score", "skip", "undo"), f"{event.kind!r} is none of score, skip, undo"),
        (is_usable_id(event.event_id), f"an event id is 1 to {_LONGEST_ID} plain characters"),
        (event.at.tzinfo is not None, "its time has no time zone"),
        (event.kind != "score" or value_of(event) is not None, f"{event.value!r} is no score 0–10"),
        (event.why in (None, *REASONS_TO_SCORE), f"{event.why!r} is no reason to score"),
        (event.queue in (None, *QUEUES), f"{event.queue!r} is no queue"),
    )
    return next((problem for met, problem in demands if not met), None)


def is_usable_id(event_id: object) -> bool:
    if not isinstance(event_id, str) or not 0 < len(event_id) <= _LONGEST_ID:
        return False
    return event_id.isascii() and event_id.isprintable()


def number_of(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return None
    return float(value)


def value_of(event: Event) -> float | None:
    value = number_of(event.value) if event.kind == "score" else None
    return value if value is not None and 0 <= value <= 10 else None


def queue_of(event: Event) -> str | None:
    """The queue told, else the one that the reason tells."""
    told = (event.why or "").removeprefix("correction-")
    return event.queue or (told if told in REVIEW_QUEUES else None)
