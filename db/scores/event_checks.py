"""The one check of events in Python, before the schema's own."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any

from db.records import QUEUES, REASONS_TO_SCORE, REVIEW_QUEUES, Event, Receipt

KINDS = ("score", "confirm", "skip", "undo")
SCORES = ("score", "confirm")
_LONGEST_ID = 200  # characters
_BEHIND_ALL_IDS = 1 << 63
SLACK = 1e-9  # of a score: thresholds times 10 are rounded


def problem_of(event: Event) -> str | None:
    """Return why the event can't be taken whatever the store holds, as a sentence; None if it may.

    Values may be of any type: they come from browsers and files.
    """
    return next(_problems(event), None)


def _problems(event: Event) -> Iterator[str]:
    is_undo = event.kind == "undo"  # of an undo the image is not asked
    if event.kind not in KINDS or event.queue not in (None, *QUEUES):
        yield f"There is no event {event.kind!r} in a queue {event.queue!r}."
    if not (_is_usable_id(event.event_id) and (not is_undo or _is_usable_id(event.undoes))):
        yield f"An event needs an id of its own, of 1 to {_LONGEST_ID} plain characters."
    if not (0 if is_undo else 1) <= int(event.image_id) < _BEHIND_ALL_IDS:
        yield f"There is no image {str(event.image_id)[:20]}."
    if event.kind in SCORES and not _is_within(event.value, 0, 10):
        yield f"A score of {str(event.value)[:20]!r} is not between 0 and 10."
    if event.is_interval and (problem := _interval_problem(event)):
        yield problem
    if event.shown_prediction is not None and not _is_within(event.shown_prediction, 0, 1):
        yield f"A prediction of {event.shown_prediction} is not between 0 and 1."
    if event.why not in (None, *REASONS_TO_SCORE):
        yield f"{event.why!r} is no reason to score."
    if event.at.tzinfo is None:
        yield "The time of an event needs a time zone."


def _interval_problem(event: Event) -> str | None:
    """Return what is wrong with the bounds of a score, as a sentence; None if nothing is."""
    bounds = [each for each in (event.at_least, event.below) if each is not None]
    if event.kind not in SCORES:
        return "Only a score has bounds."
    if not all(_is_within(each, 0, 10) for each in bounds):
        return f"A score between {event.at_least} and {event.below} is not within 0 and 10."
    value, low, high = event.value, event.at_least or 0, event.below
    if not _is_within(value, low - SLACK, 10) or (high is not None and not value < high):  # type: ignore[operator]
        return f"The score {value} is not between its bounds {event.at_least} and {event.below}."
    if high is not None and not low < high:
        return f"The bounds {event.at_least} and {event.below} leave no score between them."
    return None


def refused(event_id: object, problem: str) -> Receipt:
    """Return the receipt of an event that is not taken; of an id that is none it repeats a part."""
    shown = str(event_id)[:_LONGEST_ID].encode("utf-8", "replace").decode()
    return Receipt(shown, accepted=False, problem=problem)


def _is_usable_id(event_id: object) -> bool:
    if not isinstance(event_id, str) or not 0 < len(event_id) <= _LONGEST_ID:
        return False
    return event_id.isascii() and event_id.isprintable()


def _is_within(value: Any, low: float, high: float) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and bool(low <= value <= high)


def value_of(event: Event) -> float | None:
    """Return the hand score, 0–10, of a sound event; None for one that gives none."""
    return None if event.value is None or event.kind not in SCORES else float(event.value)


def queue_of(event: Event) -> str | None:
    """Return the queue that the event names, else the one that its reason names."""
    reason = (event.why or "").removeprefix("correction-")
    return event.queue or (reason if reason in REVIEW_QUEUES else None)


def reason_of(event: Event, queue: str | None, standing: float | None, has_scored: bool) -> str:
    """Return why a score was given: what the event says, else what follows from the queue.

    `standing` is the image's hand score until then (0–10), `has_scored` whether the same person has
    scored it before. In a queue of likely mistakes a score on the side of `shown_threshold` that
    the model is on agrees with it.
    """
    if event.why is not None or event.kind == "confirm":
        return event.why or "confirmation"
    value = value_of(event)
    if queue == "hand-score":
        agrees = value is not None and value == standing
    elif queue in REVIEW_QUEUES:
        threshold = event.shown_threshold
        passes = threshold is not None and value is not None and not value / 10 < threshold
        agrees = threshold is not None and passes == (queue == "false-positive")
    else:
        return "revision" if has_scored else "first"
    return "confirmation" if agrees else f"correction-{queue}"
