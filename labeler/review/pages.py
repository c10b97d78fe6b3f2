"""Review: pages of cards, the surest mistake first, or dealt by what finds most.

No model is run: predictions were made when the version was, and the second opinion, which learns
from the answers at once, needs numpy only.
"""

from __future__ import annotations

import threading
from collections.abc import Collection as Some
from dataclasses import dataclass
from itertools import groupby

import numpy as np

import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.records import MISTAKES, REVIEW_QUEUES, Round, Version
from labeler.collection.arrays import Mask
from labeler.core.errors import BadInput, LabelerError
from labeler.core.project import Project
from labeler.embedding.unit_cache import NoEmbeddings
from labeler.review.cards.card import Card, Twin, as_twins, make_cards
from labeler.review.cards.page_selection import select_page
from labeler.review.cards.reasons import Neighbour, Reason
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.mistakes import Answers
from labeler.review.queues.suspects import Ranked, by_hand, unscored
from labeler.versions.calibration import proved, published_head_spread
from labeler.versions.second_opinion_file import load_second_opinion
from labeler.versions.snapshot import Standing, standing
from model.errors import ModelError
from model.estimators.kernel_ordinal import KernelOrdinal
from model.evaluation.metrics import passes

__all__ = [
    "Card",
    "Neighbour",
    "Reason",
    "ReviewPage",
    "Twin",
    "note_shown",
    "review_cards",
    "review_page",
]


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Cards of one queue; `waiting` counts all images that could still be shown, these included."""

    cards: list[Card]
    waiting: int
    version: str
    threshold: float
    round: Round | None
    explanation: str | None = None

    def image_ids(self) -> set[int]:
        """The images that lead a card, and those on it with them."""
        together = (twin.image.id for card in self.cards for twin in card.together)
        return {card.image.id for card in self.cards} | set(together)


def review_cards(
    project: Project, queue: str, *, threshold: float | None = None, limit: int = 40
) -> list[Card]:
    """The cards at the head of `queue`; nothing is recorded.

    Raises `BadInput` for another queue and `LabelerError` where there is no active version.
    """
    version = reviewed_version(project, queue)
    opened = db.versions.rounds.find_open_round(project.store, version.id)
    with _turn(project):
        now = standing(project, version, project.threshold if threshold is None else threshold)
        arrays = review_arrays(now)
        left = _left(now, arrays, queue, opened)
        return _cards(now, arrays, queue, left, opened, limit=limit)


def review_page(
    project: Project,
    queue: str,
    *,
    limit: int,
    exclude: Some[int] = (),
    first: int | None = None,
) -> ReviewPage:
    """Cards to show next, in the version's open round; `note_shown` records that they were.

    `exclude` are images on the screen already, `first` one that should lead. Raises as
    `review_cards` does.
    """
    version = reviewed_version(project, queue)
    opened = db.versions.rounds.open_round(project.store, version.id, project.threshold)
    with _turn(project):
        now = standing(project, version, project.threshold)
        arrays = review_arrays(now)
        left = _left(now, arrays, queue, opened)
        ranked = left.without(now.everything.marked(exclude)) if exclude else left
        cards = _cards(now, arrays, queue, ranked, opened, limit=limit, beside=exclude, first=first)
    dealt_by = {card.image.id: card.evidence for card in cards if card.evidence}
    _dealt_by(project, opened.id).update(dealt_by)
    return ReviewPage(
        cards=cards,
        waiting=len(left),
        version=version.name,
        threshold=now.threshold,
        round=opened,
        explanation=None if cards or exclude else why_none(project, version, queue),
    )


def note_shown(project: Project, queue: str, ids: Some[int]) -> None:
    """Note images as shown in the version's open round, each in the queue that it belongs to."""
    version = reviewed_version(project, queue)
    now = standing(project, version, project.threshold)
    opened = db.versions.rounds.open_round(project.store, version.id, now.threshold)
    twins = list(as_twins(now, db.images.lookup.by_ids(project.store, ids), queue))
    evidence = _dealt_by(project, opened.id) if queue == MISTAKES else {}
    for its_queue, shown in groupby(sorted(twins, key=_queue_of), key=_queue_of):
        cards = [(twin.image.id, twin.prediction) for twin in shown]
        db.versions.rounds.mark_shown(project.store, opened.id, its_queue, cards, evidence)


def _turn(project: Project) -> threading.Lock:
    """Two pages made side by side would take each as long as both; what the first has read into
    memory the second finds there.
    """
    return project.cache.get("turn of a review page", None, None, threading.Lock)


def _dealt_by(project: Project, round_id: int) -> dict[int, str]:
    """What dealt each image of a round, until the card is noted as shown.

    Lost with the process, a card counts for no evidence.
    """
    none: dict[int, str] = {}
    return project.cache.get("evidence of a round", round_id, None, lambda: none, newest=2)


def reviewed_version(project: Project, queue: str = REVIEW_QUEUES[0]) -> Version:
    """The active version; raises as `review_cards` does."""
    known = (MISTAKES, *REVIEW_QUEUES)
    if queue not in known:
        raise BadInput(f"There is no queue {queue!r}; there are {', '.join(known)}.")
    version = db.versions.registry.active(project.store)
    if version is None:
        raise LabelerError("Reviewing needs a trained version; make one with: labeler train")
    return version


def _queue_of(twin: Twin) -> str:
    return twin.queue


def _left(now: Standing, arrays: ReviewArrays, queue: str, opened: Round | None) -> Ranked:
    """The whole queue without what was handled in the open round."""
    handled, ranked = _handled(now, opened, queue), _ranked(now, arrays, queue)
    return ranked.without(now.everything.marked(handled)) if handled else ranked


def _ranked(now: Standing, arrays: ReviewArrays, queue: str) -> Ranked:
    if queue == "hand-score":
        return by_hand(now)
    passing = None if queue == MISTAKES else queue == "false-positive"
    return unscored(arrays.ranked, now.given, passing=passing)


def review_arrays(now: Standing) -> ReviewArrays:
    """Return what pages are selected from, the same object as long as nothing of it has changed.

    How far predictions are off is told by those made out of fold, or of a version made elsewhere,
    which has seen none of the scores, by all.
    """
    spread, weighing = proved(now.project, now.version.id, now.threshold)
    its_spread, units = published_head_spread(now), now.vectors
    opinion = None if units is None else _opinion_of(now)
    spread = spread if its_spread is None else its_spread
    return now.project.cache.get(
        "review arrays",
        (now.version.id, now.threshold),
        (now.everything, spread, weighing, units, opinion),
        lambda: ReviewArrays(
            now.everything,
            now.threshold,
            spread,
            weighing,
            units=units or NoEmbeddings(),
            opinion=opinion,
        ),
        newest=2,
    )


def _opinion_of(now: Standing) -> KernelOrdinal | None:
    try:
        return load_second_opinion(now.project, now.version)
    except ModelError:
        return None


def parts(queue: str) -> tuple[str, ...]:
    """The queues that the cards of this one belong to by themselves."""
    return ("false-positive", "false-negative") if queue == MISTAKES else (queue,)


def _cards(
    now: Standing,
    arrays: ReviewArrays,
    queue: str,
    ranked: Ranked,
    opened: Round | None,
    *,
    limit: int,
    beside: Some[int] = (),
    first: int | None = None,
) -> list[Card]:
    page = select_page(
        arrays,
        ranked,
        limit=limit,
        among=_scored_together(now, queue, opened),
        answers=_answers(now, opened) if queue == MISTAKES else None,
        seed=opened.id if opened else 0,
        beside=beside,
        first=first,
    )
    return list(make_cards(now, page, queue, arrays.nearness))


def _answers(now: Standing, opened: Round | None) -> Answers:
    store, everything = now.project.store, now.everything
    rows = everything.rows(db.versions.rounds.answered(store, opened.id) if opened else ())
    rows = rows[~np.isnan(now.given[rows])]
    passed = passes(now.given[rows] / 10, now.threshold)
    return Answers(db.versions.rounds.answers(store), everything.ids[rows], passed)


def _scored_together(now: Standing, queue: str, opened: Round | None) -> Mask:
    """Rows that a card of `queue` may take along: scored ones, or those that wait for a score."""
    if queue == "hand-score":
        return ~np.isnan(now.given)
    gone = now.everything.marked(_handled(now, opened, MISTAKES))
    return now.everything.fine & np.isnan(now.given) & ~gone


def _handled(now: Standing, opened: Round | None, queue: str) -> set[int]:
    if opened is None:
        return set()
    return db.versions.rounds.handled(now.project.store, opened.id, *parts(queue))


def why_none(project: Project, version: Version, queue: str) -> str:
    """Why the version's queue has no card, and the next step where there is one."""
    without = without_embedding(project)
    return " ".join(filter(None, (_no_card(project, version, queue), embed_first(without))))


def without_embedding(project: Project) -> int:
    """How many images can't be predicted or shown for review yet."""
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if encoder is None:
        return db.images.counts.by_state(project.store)["fine"]
    return db.images.counts.not_embedded(project.store, encoder.id)


def embed_first(without: int) -> str | None:
    """What to do about images without an embedding, a sentence; None where there are none."""
    if not without:
        return None
    have = "1 image has" if without == 1 else f"{without:,} images have"
    return f"{have} no embedding yet, so none is shown here; make it with: labeler embed"


def _no_card(project: Project, version: Version, queue: str) -> str:
    if queue == "hand-score":
        return f"No hand score stands out against {version.name}."
    if not db.versions.predictions.prediction_batches(project.store, version.id):
        return f"{version.name} has predicted nothing yet: embed the images first."
    if queue == MISTAKES:
        return "Every image that was predicted is scored or handled in this round."
    side = "passes" if queue == "false-positive" else "fails"
    return f"No unscored image {side} by {version.name}'s prediction."
