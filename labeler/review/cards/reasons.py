"""Why a suspect is shown: each reason its own sentence, and the scored images that are nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import db.images.lookup
from db.query_parts import hashed_ids
from db.records import Image
from labeler.collection.arrays import Ids
from labeler.review.cards.page_selection import Page
from labeler.review.queues.suspects import Ranked
from labeler.versions.snapshot import Standing
from model.estimators.near_duplicates import Nearness
from model.review import bandit
from model.review import suspicion as ranking

NEAREST = 4
# Neighbours are looked for among so many scored images, drawn evenly if there are more.
MOST_SCORED = 12_000


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of why a card is here; `more` explains it, `strong` ones decide by themselves."""

    words: str
    more: str | None = None
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A scored image, and the cosine of its embedding with the card's, -1 to 1.

    `near_duplicate` says that it is the same picture again.
    """

    image: Image
    similarity: float
    near_duplicate: bool = False


# What is said where the chance of a mistake alone did not deal a card.
DEALT_BY = {
    bandit.RANDOM: Reason(
        "drawn at random",
        "Not suspected of anything. Where reviewing finds few mistakes, images drawn at random "
        "teach the model more than still more hard cases.",
    ),
    bandit.PREDICTION: Reason(
        "close to the threshold",
        "Its prediction is among the nearest to the threshold. This way of choosing takes turns "
        "with the others, the more often the more mistakes it finds here.",
    ),
}


def nearest_scored(now: Standing, page: Page, nearness: Nearness) -> list[list[Neighbour]]:
    """For each card the nearest images with a hand score, nearest first, its own ones left out."""
    vectors, leads = now.vectors, page.leads.ids
    scored = now.everything.ids[~np.isnan(now.given)]
    if vectors is None or not len(scored):
        return [[] for _ in leads]
    scored = drawn(scored, MOST_SCORED)
    own = [{lead, *ids.tolist()} for lead, ids in zip(leads.tolist(), page.together, strict=True)]
    count = NEAREST + max((len(ids) for ids in own), default=0)
    rows, cosines = ranking.nearest_scored(vectors.of(leads), vectors.of(scored), count)
    near = [
        [(i, c) for i, c in zip(ids, alike, strict=True) if i not in mine][:NEAREST]
        for ids, alike, mine in zip(scored[rows].tolist(), cosines.tolist(), own, strict=True)
    ]
    wanted = {image_id for each in near for image_id, _ in each}
    images = {image.id: image for image in db.images.lookup.by_ids(now.project.store, wanted)}
    looks = now.everything.hashes[now.everything.rows(leads)].tolist()
    return [
        [
            Neighbour(images[i], cosine, nearness.same_picture(look, images[i].fingerprint, cosine))
            for i, cosine in each
        ]
        for look, each in zip(looks, near, strict=True)
    ]


def drawn(ids: Ids, most: int) -> Ids:
    """At most so many of `ids` (n,), drawn evenly; one more or less of them changes one of these.

    So what is kept in memory of them serves for the next page, too.
    """
    if len(ids) <= most:
        return ids
    order = np.argpartition(hashed_ids(ids), most)
    return ids[np.sort(order[:most])]


def reasons(
    leads: Ranked,
    row: int,
    threshold: float,
    *,
    band: str | None,
    near: Sequence[Neighbour],
    twins: Sequence[Image],
    evidence: str | None = None,
) -> list[Reason]:
    """Why the suspect in `row` is shown, the strongest reason first.

    `band` is what its source expects, as words; `twins` are its near-duplicates on the card;
    `evidence` is what dealt it.
    """
    found: list[Reason] = []
    prediction, given = float(leads.predictions[row]), float(leads.given[row])
    if leads.outside[row] and band is not None:
        found.append(_expectation(band, float(leads.outside[row]) > 0, prediction >= threshold))
    elif np.isnan(given):
        found.append(_chance(float(leads.suspicion[row])))
    if evidence in DEALT_BY:
        found.append(DEALT_BY[evidence])
    if leads.conflict[row]:
        found.append(_conflict(given, twins))
    if not np.isnan(given):
        found.append(_gap(given, prediction))
    if near:
        found.append(_neighbours(near, prediction, threshold))
    if not np.isnan(leads.second[row]):
        found.append(_second(float(leads.second[row]), prediction, threshold))
    return found


def _expectation(band: str, too_high: bool, passes: bool) -> Reason:
    more = (
        f"You expect images of this source to score {band}. The prediction lies "
        f"{'above' if too_high else 'below'} that: a mistake by your own word"
    )
    if too_high == passes:
        verdict = "passes" if passes else "fails"
        return Reason(f"its source expects {band}, yet it {verdict}", f"{more}.", strong=True)
    words = f"predicted too {'high' if too_high else 'low'}: its source expects {band}"
    side = "fails as it should" if too_high else "passes as it should"
    return Reason(words, f"{more}, though it {side}.", strong=True)


def _chance(suspicion: float) -> Reason:
    more = (
        "The chance that it lies on the other side of the threshold, from how far predictions "
        "miss on scored images and from the second opinion."
    )
    return Reason(f"{round(suspicion * 100)} % likely wrong", more)


def _conflict(given: float, twins: Sequence[Image]) -> Reason:
    others = sorted({twin.hand_score for twin in twins if twin.hand_score not in (None, given)})
    listed = " and ".join(f"{score:.3g}" for score in others)
    more = (
        "You gave different scores to pictures that are nearly the same. A score typed here is "
        "given to all of them that are ticked."
    )
    return Reason(f"scored {given:g}, its near-duplicate {listed}", more, strong=True)


def _gap(given: float, prediction: float) -> Reason:
    gap = abs(given - prediction * 10)
    more = "The prediction is out of fold: made by a head that had not seen this score."
    return Reason(f"{gap:.1f} points from the prediction", more)


def _neighbours(near: Sequence[Neighbour], prediction: float, threshold: float) -> Reason:
    scores = ", ".join(f"{neighbour.image.hand_score:.3g}" for neighbour in near)
    words = (
        f"its {len(near)} nearest scored {scores}" if len(near) > 1 else f"its nearest: {scores}"
    )
    more = "The scored images whose embeddings are nearest, the nearest first."
    if not near[0].near_duplicate:
        return Reason(words, more)
    score = near[0].image.hand_score or 0.0
    contradicts = (score / 10 >= threshold) != (prediction >= threshold)
    more = "A picture that is nearly the same has this hand score; it is the first one below."
    return Reason(f"near-duplicate of one scored {score:.3g}", more, strong=contradicts)


def _second(expected: float, prediction: float, threshold: float) -> Reason:
    passes = expected / 10 >= threshold
    side = "passes" if passes else "fails"
    more = "Another, simpler model of the same embeddings; it expects this hand score."
    if passes == (prediction >= threshold):
        return Reason(f"second opinion: {expected:.1f}, {side}", more)
    return Reason(f"second opinion contradicts: {expected:.1f}, {side}", more)
