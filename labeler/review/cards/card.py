"""The cards of the Review page: one likely mistake each, with its near-duplicates and reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

import db.images.lookup
import db.images.sources
from db.records import Image
from labeler.review.cards.page_selection import Page
from labeler.review.cards.reasons import Neighbour, Reason, nearest_scored, reasons
from labeler.review.queues.suspects import outside_band, too_high
from labeler.scoring.events import confirmed_score
from labeler.versions.calibration import out_of_fold
from labeler.versions.snapshot import Standing
from model.estimators.near_duplicates import Nearness


@dataclass(frozen=True, slots=True)
class Twin:
    """A near-duplicate on another image's card.

    `queue` is the one that it belongs to by itself, `prediction` its own, 0–1, out-of-fold in the
    hand-score queue.
    """

    image: Image
    queue: str
    prediction: float | None


@dataclass(frozen=True, slots=True)
class Card:
    """One likely mistake, and the near-duplicates that are scored `together` with it.

    `prediction` is 0–1 (out-of-fold in the hand-score queue), `suspicion` 0–1 (higher = more likely
    a mistake, 1 for a certain one), `second` the second opinion's expected hand score, 0–10.
    `confirm` is the hand score that "the model is right" stands for, `evidence` what dealt the card
    where that was not the order of the queue (model/review/bandit.py).
    """

    image: Image
    queue: str
    prediction: float
    suspicion: float
    second: float | None
    confirm: int
    reasons: list[Reason]
    near: list[Neighbour]
    together: list[Twin]
    evidence: str | None = None


def make_cards(now: Standing, page: Page, queue: str, nearness: Nearness) -> Iterator[Card]:
    """A card for each of the page's leads, in their order."""
    leads, evidence = page.leads, page.evidence
    wanted = np.concatenate([leads.ids, *page.together])
    images = {image.id: image for image in db.images.lookup.by_ids(now.project.store, wanted)}
    twins = {twin.image.id: twin for twin in as_twins(now, images.values(), queue)}
    bands = {
        source.name: f"{source.expect_low:g}–{source.expect_high:g}"
        for source in db.images.sources.sources(now.project.store)
        if source.expect_low is not None
    }
    neighbours = nearest_scored(now, page, nearness)
    for row, (image_id, ids) in enumerate(zip(leads.ids.tolist(), page.together, strict=True)):
        image, together = images[image_id], [twins[i] for i in ids.tolist()]
        prediction, second = float(leads.predictions[row]), float(leads.second[row])
        why = reasons(
            leads,
            row,
            now.threshold,
            band=bands.get(image.source),
            near=neighbours[row],
            twins=[twin.image for twin in together],
            evidence=evidence.get(image_id),
        )
        yield Card(
            image=image,
            queue=twins[image_id].queue,
            prediction=prediction,
            suspicion=float(leads.suspicion[row]),
            second=None if np.isnan(second) else second,
            confirm=confirmed_score(prediction, now.threshold),
            reasons=why,
            near=neighbours[row],
            together=together,
            evidence=evidence.get(image_id),
        )


def as_twins(now: Standing, images: Iterable[Image], queue: str) -> Iterator[Twin]:
    """Each image with its own prediction and, among the unscored ones, its own queue."""
    images, everything = list(images), now.everything
    rows = everything.rows([image.id for image in images])
    predictions = everything.predictions[rows]
    queues = [queue] * len(rows)
    if queue == "hand-score":
        unseen = out_of_fold(now.project, now.version.id, everything)[rows]
        predictions = np.where(np.isnan(unseen), predictions, unseen)
    else:
        outside = outside_band(predictions, everything.low[rows], everything.high[rows])
        mine = too_high(predictions, outside, now.threshold)
        queues = np.where(mine, "false-positive", "false-negative").tolist()
    for image, prediction, its_own in zip(images, predictions.tolist(), queues, strict=True):
        known = not np.isnan(prediction)
        yield Twin(image, its_own if known else queue, prediction if known else None)
