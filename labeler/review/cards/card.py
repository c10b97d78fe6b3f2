"""The cards of the Review page: one likely mistake each, with its near-duplicates and reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

import db.images.lookup
import db.images.sources
from db.records import Image
from labeler.review.cards.page_selection import PageSelection
from labeler.review.cards.reasons import Neighbour, Reason, nearest_scored_images, reasons
from labeler.review.queues.suspects import is_too_high, outside_band
from labeler.scoring.events import confirmed_bounds, confirmed_score
from labeler.versions.calibration import out_of_fold
from labeler.versions.snapshot import ReviewSnapshot
from model.estimators.near_duplicates import Nearness


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A near-duplicate on another image's card.

    `queue` is the review queue that it belongs to by itself. `prediction` is its own, 0–1, out of
    fold in the hand-score queue, None where there is none.
    """

    image: Image
    queue: str
    prediction: float | None


@dataclass(frozen=True, slots=True)
class Card:
    """One likely mistake, and the near-duplicates that are scored `together` with it.

    `prediction` is 0–1 (out of fold in the hand-score queue). `suspicion` is 0–1, higher = more
    likely a mistake, 1 for a certain one. `second_opinion` is the hand score that the second
    opinion expects, 0–10. `confirm` is the hand score that "the model is right" records, and
    `confirm_bounds` what it says (see `confirmed_bounds`). `near` are
    the nearest scored images, nearest first. `evidence` names what selected the card, None where
    the order of the queue did (model/review/bandit.py).
    """

    image: Image
    queue: str
    prediction: float
    suspicion: float
    second_opinion: float | None
    confirm: int
    confirm_bounds: tuple[float | None, float | None]
    reasons: list[Reason]
    near: list[Neighbour]
    together: list[NearDuplicate]
    evidence: str | None = None


def make_cards(
    snapshot: ReviewSnapshot, page: PageSelection, queue: str, nearness: Nearness
) -> Iterator[Card]:
    """Make a card for each lead of `page`, in order."""
    leads, evidence = page.leads, page.evidence
    ids = np.concatenate([leads.ids, *page.together])
    images = {image.id: image for image in db.images.lookup.by_ids(snapshot.project.store, ids)}
    near_duplicates = {
        twin.image.id: twin for twin in near_duplicates_of(snapshot, images.values(), queue)
    }
    bands = {
        source.name: f"{source.expect_low:g}–{source.expect_high:g}"
        for source in db.images.sources.sources(snapshot.project.store)
        if source.expect_low is not None
    }
    neighbours = nearest_scored_images(snapshot, page, nearness)
    confirmed = snapshot.confirmed_words(ids)
    for row, (image_id, duplicate_ids) in enumerate(
        zip(leads.ids.tolist(), page.together, strict=True)
    ):
        image, together = images[image_id], [near_duplicates[i] for i in duplicate_ids.tolist()]
        prediction, second_opinion = float(leads.predictions[row]), float(leads.second_opinion[row])
        confirm = confirmed_score(prediction, snapshot.threshold)
        in_bracket = bool(leads.harmless[row])
        why = reasons(
            leads,
            row,
            snapshot.threshold,
            band=bands.get(image.source),
            near=neighbours[row],
            near_duplicates=[twin.image for twin in together],
            evidence=evidence.get(image_id),
            confirmed=confirmed,
        )
        yield Card(
            image=image,
            queue=near_duplicates[image_id].queue,
            prediction=prediction,
            suspicion=float(leads.suspicion[row]),
            second_opinion=None if np.isnan(second_opinion) else second_opinion,
            confirm=confirm,
            confirm_bounds=confirmed_bounds(confirm, snapshot.threshold, in_bracket=in_bracket),
            reasons=why,
            near=neighbours[row],
            together=together,
            evidence=evidence.get(image_id),
        )


def near_duplicates_of(
    snapshot: ReviewSnapshot, images: Iterable[Image], queue: str
) -> Iterator[NearDuplicate]:
    """Return each image with its own prediction and the queue that it belongs to.

    In the hand-score queue all images stay in `queue`; an unscored one belongs to the false
    positives or the false negatives, and without a prediction to `queue`.
    """
    images, collection = list(images), snapshot.collection
    rows = collection.rows([image.id for image in images])
    predictions = collection.predictions[rows]
    queues = [queue] * len(rows)
    if queue == "hand-score":
        held_out = out_of_fold(snapshot.project, snapshot.version.id, collection)[rows]
        predictions = np.where(np.isnan(held_out), predictions, held_out)
    else:
        outside = outside_band(predictions, collection.low[rows], collection.high[rows])
        too_high = is_too_high(predictions, outside, snapshot.threshold)
        queues = np.where(too_high, "false-positive", "false-negative").tolist()
    for image, prediction, own_queue in zip(images, predictions.tolist(), queues, strict=True):
        predicted = not np.isnan(prediction)
        yield NearDuplicate(
            image, own_queue if predicted else queue, prediction if predicted else None
        )
