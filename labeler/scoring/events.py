"""Scoring by hand: which image comes next, and taking what the person did with it.

Hand scores are 0–10; what a browser sends is read here and checked by the store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

import db.images.counts
import db.scores.events
import db.scores.hand_scores
import db.scores.queues
import db.versions.predictions
import db.versions.registry
from db.records import Event, Image, Receipt, Version
from db.scores.event_checks import SCORES, refused
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.scorers import clean_name
from labeler.scoring.random_checks import with_checks

OTHERS = "others"
ORDERS = (
    ("random", "Random"),
    ("newest", "Newest first"),
    ("thin", "Fill the thin brackets"),
    ("best", "Highest predictions first"),
    ("revise", "Already scored, newest first"),
    (OTHERS, "Scored by others, not by you"),
)
_NOBODY_ELSE = "Nobody else has scored a picture that you have not: set who is scoring beside it."
Ask = Callable[..., list[Image]]  # `db.scores.queues.unscored` of one project for one person


@dataclass(frozen=True, slots=True)
class NextImages:
    """Images to score next; `explanation` says why there are none where that needs saying.

    `draws` are the ids of those that are here because they are next in the random order.
    """

    images: list[Image]
    explanation: str | None = None
    draws: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Stats:
    """What stands beside the picture; `distribution[k]` images have a score that rounds to k."""

    scored: int
    unscored: int
    distribution: list[int]
    today: int
    last_hour: int
    per_minute: float | None


def score_stats(project: Project, now: datetime | None = None) -> Stats:
    store = project.store
    # Today began at midnight where the person sits.
    tempo = db.scores.hand_scores.tempo(store, now or datetime.now().astimezone())
    counted = db.images.counts.by_hand_score(store)
    return Stats(
        scored=counted.scored,
        unscored=counted.waiting,
        distribution=counted.distribution,
        today=tempo.today,
        last_hour=tempo.last_hour,
        per_minute=tempo.per_minute,
    )


def next_images(
    project: Project,
    order: str,
    *,
    limit: int,
    exclude: Collection[int],
    scorer: str | None = None,
) -> NextImages:
    """The next images in `order`: a name in `ORDERS`, or `source-<id>` for one source at random.

    `scorer` is who scores: what they have scored is not unscored to them, also where only another
    person's scores count. Into an order of unscored images that is not random a random check is
    mixed as often as the project says. Raises `BadInput` for another order.
    """
    store = project.store
    ask = partial(db.scores.queues.unscored, store, limit=limit, exclude=exclude, scorer=scorer)
    if order == OTHERS:
        found = db.scores.queues.scored_by_others(store, scorer, limit=limit, exclude=exclude)
        return NextImages(found, None if found or exclude else _NOBODY_ELSE)
    if order == "random":
        found = ask(order="random")
        return NextImages(found, draws=frozenset(image.id for image in found))
    if order == "revise":
        found = db.scores.queues.last_scored(store, limit=limit, exclude=exclude)
        return NextImages(found, None if found or exclude else "Nothing is scored yet.")
    if order in ("thin", "best"):
        offer = _by_prediction(project, order, ask, limit, exclude)
    elif order == "newest":
        offer = NextImages(ask(order=order))
    elif order.startswith("source-") and order[7:].isdecimal() and len(order) < 26:
        offer = NextImages(ask(order="random", source_id=int(order[7:])))
    else:
        raise BadInput(f"There is no order {order!r}; there are {', '.join(n for n, _ in ORDERS)}.")
    mixed = with_checks(project, offer.images, limit, partial(ask, order="random"))
    return replace(offer, images=mixed.images, draws=mixed.draws)


def _by_prediction(
    project: Project, order: str, ask: Ask, limit: int, exclude: Collection[int]
) -> NextImages:
    version = db.versions.registry.active(project.store)
    if version is None:
        return NextImages(
            [],
            "This order needs a model that predicts: score some at random, train a first version, "
            "and come back; or use somebody else's head (on the page Train).",
        )
    if order == "best":
        taken = ask(order="highest", version_id=version.id)
    else:
        taken = _thin(project, version, ask, limit, exclude)
    if not taken and not exclude:
        return NextImages(
            [], f"{version.name} has predicted no unscored image yet: embed them first."
        )
    return NextImages(taken)


def _thin(
    project: Project, version: Version, ask: Ask, limit: int, exclude: Collection[int]
) -> list[Image]:
    """A few at a time from one bracket, so that the thinnest does not have a whole batch."""
    taken: list[Image] = []
    for score in least_scored_first(db.images.counts.by_hand_score(project.store).distribution):
        taken += ask(
            order="random-in-band",
            version_id=version.id,
            band=band_of(score),
            limit=max(1, limit // 4),
            exclude={*exclude, *(image.id for image in taken)},
        )
        if len(taken) >= limit:
            break
    return taken[:limit]


def least_scored_first(distribution: Sequence[int]) -> list[int]:
    """Scores 0–10, those given least often first; of equally thin ones the outer come first."""
    return sorted(range(len(distribution)), key=lambda k: (distribution[k], -abs(k - 5), k))


def band_of(score: int) -> tuple[float, float]:
    """Predictions, 0–1, that round to `score`; the ends take in 0 and 1."""
    return (score - 0.5) / 10 if score > 0 else 0.0, (score + 0.5) / 10 if score < 10 else 1.0


def confirmed_score(prediction: float, threshold: float) -> int:
    """The hand score, 0–10, that "the model is right" stands for.

    The prediction rounded half up, kept on the model's own side of the threshold: to confirm a
    pass never records a fail. Where no whole score lies on that side, the nearest end is taken.
    """
    score = math.floor(prediction * 10 + 0.5)
    # Tiny slack: 0.7 * 10 is a little more than 7 in floating point.
    lowest_pass = math.ceil(threshold * 10 - 1e-9)
    if prediction >= threshold:
        return min(10, max(score, lowest_pass))
    return max(0, min(score, lowest_pass - 1))


def record_events(
    project: Project, raw: Sequence[Any], scorer: str | None = None, now: datetime | None = None
) -> list[Receipt]:
    """Keep what a browser sent, in order; one receipt each, malformed ones refused with a reason.

    Each is a dict: `event` (its id), `kind` (score, confirm, skip or undo), `image`, as the kind
    needs `score`, `queue`, `undoes`, and what was on the screen: `prediction`, `version`,
    `threshold`, `hash` (the picture's content; what came to hold another is refused), and `draw` if
    the image was drawn at random. `scorer` in it is who scored, else it is the `scorer` given here.
    `at` (ISO 8601) is believed unless it lies in the future.
    """
    now = now or datetime.now(UTC)
    threshold = project.threshold
    read = [_event_or_refusal(item, scorer, now, threshold) for item in raw]
    events = [item for item in read if isinstance(item, Event)]
    receipts = iter(db.scores.events.record(project.store, events))
    return [next(receipts) if isinstance(item, Event) else item for item in read]


def _event_or_refusal(
    raw: Any, scorer: str | None, now: datetime, threshold: float
) -> Event | Receipt:
    try:
        return _event(raw, scorer, now, threshold)
    except (KeyError, TypeError, ValueError, OverflowError):
        event_id = raw.get("event") if isinstance(raw, dict) else None
        return refused(event_id, "The event is malformed.")


def _event(raw: dict[str, Any], scorer: str | None, now: datetime, threshold: float) -> Event:
    """Read an event from what a browser sent; the store checks its values.

    `threshold` is the one of now, for a page that sends none.
    """
    kind, queue = raw["kind"], raw.get("queue")
    gives_score, prediction = kind in SCORES, raw.get("prediction")
    return Event(
        event_id=raw["event"],
        kind=kind,
        image_id=int(raw["image"]),
        value=raw["score"] if gives_score else None,
        queue="score" if queue is None else queue,
        scorer=_scorer(raw.get("scorer")) or scorer,
        at=_time(raw.get("at"), now),
        shown_prediction=None if prediction is None else float(prediction),
        shown_threshold=float(raw.get("threshold") or threshold) if gives_score else None,
        shown_version=_text(raw.get("version")),
        shown_hash=raw.get("hash"),
        undoes=raw["undoes"] if kind == "undo" else None,
        draw=kind == "score" and queue in (None, "score") and raw.get("draw") is True,
    )


def _scorer(raw: Any) -> str | None:
    """The name that came with the event; what is none costs no score."""
    return clean_name(raw) if isinstance(raw, str) else None


def _text(raw: Any) -> str | None:
    if raw is not None:
        str.encode(raw)  # raises for what the store can't keep
    return raw


def _time(raw: Any, now: datetime) -> datetime:
    at = datetime.fromisoformat(raw) if raw else now
    return min(now, at.astimezone(UTC))


def predictions_of(
    project: Project, version: Version | None, ids: Sequence[int]
) -> dict[int, float]:
    """Prediction, 0–1, by image id, for those that `version` has predicted."""
    if version is None or not ids:
        return {}
    found = db.versions.predictions.predictions(
        project.store, version.id, np.asarray(ids, dtype=np.int64)
    )
    return dict(zip(found.image_ids.tolist(), found.scores.tolist(), strict=True))
