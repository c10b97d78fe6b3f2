"""Pages of review cards, the surest mistake first, or ordered by the evidence that finds most.

No model runs: predictions are stored with the version, and the second opinion, which learns from
each answer, needs numpy only.
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
from labeler.review.cards.card import Card, NearDuplicate, make_cards, near_duplicates_of
from labeler.review.cards.page_selection import select_page
from labeler.review.cards.reasons import Neighbour, Reason
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.mistakes import Answers
from labeler.review.queues.suspects import (
    RankedCandidates,
    hand_score_candidates,
    unscored_candidates,
)
from labeler.versions.calibration import out_of_fold_calibration, published_head_spread
from labeler.versions.model_files import load_second_opinion
from labeler.versions.snapshot import ReviewSnapshot, review_snapshot
from model.errors import ModelError
from model.estimators.kernel_ordinal import KernelOrdinal
from model.passing import passes

__all__ = [
    "Card",
    "NearDuplicate",
    "Neighbour",
    "Reason",
    "ReviewPage",
    "note_shown",
    "review_cards",
    "review_page",
]


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Cards of one queue; `waiting` counts all images that could still be shown, these included.

    `threshold` is 0–1; `explanation` says why there is no card.
    """

    cards: list[Card]
    waiting: int
    version: str
    threshold: float
    round: Round | None
    explanation: str | None = None

    def image_ids(self) -> set[int]:
        """Return the ids of the images that lead a card, and of the near-duplicates on it."""
        together = (twin.image.id for card in self.cards for twin in card.together)
        return {card.image.id for card in self.cards} | set(together)


def review_cards(
    project: Project, queue: str, *, threshold: float | None = None, limit: int = 40
) -> list[Card]:
    """Return the first cards of `queue`; nothing is recorded.

    `threshold` (0–1) is the project's by default. Raises `BadInput` for an unknown queue and
    `LabelerError` where there is no active version.
    """
    version = reviewed_version(project, queue)
    open_round = db.versions.rounds.find_open_round(project.store, version.id)
    with _page_turn(project):
        snapshot = review_snapshot(
            project, version, project.threshold if threshold is None else threshold
        )
        arrays = review_arrays(snapshot)
        remaining = _remaining(snapshot, arrays, queue, open_round)
        return _cards(snapshot, arrays, queue, remaining, open_round, limit=limit)


def review_page(
    project: Project,
    queue: str,
    *,
    limit: int,
    exclude: Some[int] = (),
    first: int | None = None,
) -> ReviewPage:
    """Return the cards to show next, in the version's open round; `note_shown` records them.

    `exclude` are images on the screen already, `first` one to show first. Raises as `review_cards`
    does.
    """
    version = reviewed_version(project, queue)
    open_round = db.versions.rounds.open_round(project.store, version.id, project.threshold)
    with _page_turn(project):
        snapshot = review_snapshot(project, version, project.threshold)
        arrays = review_arrays(snapshot)
        remaining = _remaining(snapshot, arrays, queue, open_round)
        ranked = remaining.without(snapshot.collection.marked(exclude)) if exclude else remaining
        cards = _cards(
            snapshot, arrays, queue, ranked, open_round, limit=limit, shown_ids=exclude, first=first
        )
    evidence = {card.image.id: card.evidence for card in cards if card.evidence}
    _evidence_of_round(project, open_round.id).update(evidence)
    return ReviewPage(
        cards=cards,
        waiting=len(remaining),
        version=version.name,
        threshold=snapshot.threshold,
        round=open_round,
        explanation=None if cards or exclude else explain_empty(project, version, queue),
    )


def note_shown(project: Project, queue: str, ids: Some[int]) -> None:
    """Record images as shown in the version's open round, each in the queue that it belongs to.

    Raises as `review_cards` does.
    """
    version = reviewed_version(project, queue)
    snapshot = review_snapshot(project, version, project.threshold)
    open_round = db.versions.rounds.open_round(project.store, version.id, snapshot.threshold)
    twins = list(near_duplicates_of(snapshot, db.images.lookup.by_ids(project.store, ids), queue))
    evidence = _evidence_of_round(project, open_round.id) if queue == MISTAKES else {}
    for image_queue, shown in groupby(sorted(twins, key=_queue_of), key=_queue_of):
        cards = [(twin.image.id, twin.prediction) for twin in shown]
        db.versions.rounds.mark_shown(project.store, open_round.id, image_queue, cards, evidence)


def _page_turn(project: Project) -> threading.Lock:
    """Return the lock of a page: two at once would each take as long as both, and the second page
    reuses what the first has read into memory.
    """
    return project.cache.get("turn of a review page", None, None, threading.Lock)


def _evidence_of_round(project: Project, round_id: int) -> dict[int, str]:
    """Return the evidence of each image of a round until the card is recorded as shown, by image
    id.

    It is lost with the process; a card then counts for no evidence.
    """
    none: dict[int, str] = {}
    return project.cache.get("evidence of a round", round_id, None, lambda: none, newest=2)


def reviewed_version(project: Project, queue: str = REVIEW_QUEUES[0]) -> Version:
    """Return the active version; raises as `review_cards` does."""
    queues = (MISTAKES, *REVIEW_QUEUES)
    if queue not in queues:
        raise BadInput(f"There is no queue {queue!r}; there are {', '.join(queues)}.")
    version = db.versions.registry.active(project.store)
    if version is None:
        raise LabelerError("Reviewing needs a trained version; make one with: labeler train")
    return version


def _queue_of(twin: NearDuplicate) -> str:
    return twin.queue


def _remaining(
    snapshot: ReviewSnapshot, arrays: ReviewArrays, queue: str, open_round: Round | None
) -> RankedCandidates:
    """Return the queue without what was handled in the open round."""
    handled, ranked = (
        _handled(snapshot, open_round, queue),
        _queue_candidates(snapshot, arrays, queue),
    )
    return ranked.without(snapshot.collection.marked(handled)) if handled else ranked


def _queue_candidates(
    snapshot: ReviewSnapshot, arrays: ReviewArrays, queue: str
) -> RankedCandidates:
    if queue == "hand-score":
        return hand_score_candidates(snapshot)
    passing = None if queue == MISTAKES else queue == "false-positive"
    return unscored_candidates(arrays.ranked, snapshot.hand_scores, passing=passing)


def review_arrays(snapshot: ReviewSnapshot) -> ReviewArrays:
    """Return the input of the page selection, the same object as long as nothing has changed.

    The errors are measured on out-of-fold predictions, and for an adopted version, which has seen
    none of the scores, on all predictions.
    """
    spread, weighing = out_of_fold_calibration(
        snapshot.project, snapshot.version.id, snapshot.threshold
    )
    published_spread, units = published_head_spread(snapshot), snapshot.vectors
    opinion = None if units is None else _load_second_opinion(snapshot)
    spread = spread if published_spread is None else published_spread
    return snapshot.project.cache.get(
        "review arrays",
        (snapshot.version.id, snapshot.threshold),
        (snapshot.collection, spread, weighing, units, opinion),
        lambda: ReviewArrays(
            snapshot.collection,
            snapshot.threshold,
            spread,
            weighing,
            units=units or NoEmbeddings(),
            opinion=opinion,
        ),
        newest=2,
    )


def _load_second_opinion(snapshot: ReviewSnapshot) -> KernelOrdinal | None:
    try:
        return load_second_opinion(snapshot.project, snapshot.version)
    except ModelError:
        return None


def image_queues(queue: str) -> tuple[str, ...]:
    """Return the queues that the cards of `queue` belong to by themselves."""
    return ("false-positive", "false-negative") if queue == MISTAKES else (queue,)


def _cards(
    snapshot: ReviewSnapshot,
    arrays: ReviewArrays,
    queue: str,
    ranked: RankedCandidates,
    open_round: Round | None,
    *,
    limit: int,
    shown_ids: Some[int] = (),
    first: int | None = None,
) -> list[Card]:
    page = select_page(
        arrays,
        ranked,
        limit=limit,
        among=_near_duplicate_rows(snapshot, queue, open_round),
        answers=_answers(snapshot, open_round) if queue == MISTAKES else None,
        seed=open_round.id if open_round else 0,
        shown_ids=shown_ids,
        first=first,
    )
    return list(make_cards(snapshot, page, queue, arrays.nearness))


def _answers(snapshot: ReviewSnapshot, open_round: Round | None) -> Answers:
    store, collection = snapshot.project.store, snapshot.collection
    rows = collection.rows(db.versions.rounds.answered(store, open_round.id) if open_round else ())
    rows = rows[~np.isnan(snapshot.hand_scores[rows])]
    passed = passes(snapshot.hand_scores[rows] / 10, snapshot.threshold)
    return Answers(db.versions.rounds.answers(store), collection.ids[rows], passed)


def _near_duplicate_rows(snapshot: ReviewSnapshot, queue: str, open_round: Round | None) -> Mask:
    """Return which rows may be near-duplicates on a card of `queue`: scored ones, or unhandled
    unscored ones.
    """
    if queue == "hand-score":
        return ~np.isnan(snapshot.hand_scores)
    handled = snapshot.collection.marked(_handled(snapshot, open_round, MISTAKES))
    return snapshot.collection.fine & np.isnan(snapshot.hand_scores) & ~handled


def _handled(snapshot: ReviewSnapshot, open_round: Round | None, queue: str) -> set[int]:
    if open_round is None:
        return set()
    return db.versions.rounds.handled(snapshot.project.store, open_round.id, *image_queues(queue))


def explain_empty(project: Project, version: Version, queue: str) -> str:
    """Return why the version's queue has no card, and the next step where there is one."""
    count = count_without_embedding(project)
    return " ".join(filter(None, (_explain_queue(project, version, queue), embed_first(count))))


def count_without_embedding(project: Project) -> int:
    """Count the images that can't be predicted or shown for review yet."""
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if encoder is None:
        return db.images.counts.by_state(project.store)["fine"]
    return db.images.counts.not_embedded(project.store, encoder.id)


def embed_first(count: int) -> str | None:
    """Return what to do about images without an embedding, as a sentence; None where there are
    none.
    """
    if not count:
        return None
    subject = "1 image has" if count == 1 else f"{count:,} images have"
    return f"{subject} no embedding yet, so none is shown here; make it with: labeler embed"


def _explain_queue(project: Project, version: Version, queue: str) -> str:
    if queue == "hand-score":
        return f"No hand score stands out against {version.name}."
    if not db.versions.predictions.prediction_batches(project.store, version.id):
        return f"{version.name} has predicted nothing yet: embed the images first."
    if queue == MISTAKES:
        return "Every image that was predicted is scored or handled in this round."
    side = "passes" if queue == "false-positive" else "fails"
    return f"No unscored image {side} by {version.name}'s prediction."
