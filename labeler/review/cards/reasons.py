"""Why a candidate is shown: a sentence for each reason, and the nearest scored images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

import db.images.lookup
from db.query_parts import hashed_ids
from db.records import Image
from labeler.collection.arrays import Ids
from labeler.review.cards.page_selection import PageSelection
from labeler.review.queues.suspects import RankedCandidates
from labeler.versions.snapshot import ReviewSnapshot
from model.estimators.near_duplicates import Nearness
from model.passing import passes
from model.review import bandit
from model.review import suspicion as ranking

NEAREST = 4
# Neighbours are searched among at most this many scored images, sampled evenly if there are more.
MOST_SCORED = 12_000


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for showing a card: `words`, and `more` that explains them.

    A `strong` reason is enough by itself.
    """

    words: str
    more: str | None = None
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A scored image, and the cosine of its embedding with the card's, -1 to 1.

    `near_duplicate` is whether it shows the same picture. `confirmed` says what is known of its
    hand score where that is a confirmation.
    """

    image: Image
    similarity: float
    near_duplicate: bool = False
    confirmed: str | None = None

    @property
    def said(self) -> str:
        """What its hand score says."""
        return self.confirmed or f"{self.image.hand_score:.3g}"


# The reasons of cards that were not selected by their chance of a mistake.
EVIDENCE_REASONS = {
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


def nearest_scored_images(
    snapshot: ReviewSnapshot, page: PageSelection, nearness: Nearness
) -> list[list[Neighbour]]:
    """Return for each card the `NEAREST` images with a hand score, nearest first.

    The lead and the near-duplicates of the card are left out.
    """
    vectors, leads = snapshot.vectors, page.leads.ids
    scored = snapshot.collection.ids[~np.isnan(snapshot.hand_scores)]
    if vectors is None or not len(scored):
        return [[] for _ in leads]
    scored = sample_evenly(scored, MOST_SCORED)
    own = [{lead, *ids.tolist()} for lead, ids in zip(leads.tolist(), page.together, strict=True)]
    count = NEAREST + max((len(ids) for ids in own), default=0)
    rows, cosines = ranking.nearest_scored(vectors.of(leads), vectors.of(scored), count)
    near = [
        [(i, c) for i, c in zip(ids, similarities, strict=True) if i not in own_ids][:NEAREST]
        for ids, similarities, own_ids in zip(
            scored[rows].tolist(), cosines.tolist(), own, strict=True
        )
    ]
    neighbour_ids = {image_id for neighbours in near for image_id, _ in neighbours}
    images = {
        image.id: image for image in db.images.lookup.by_ids(snapshot.project.store, neighbour_ids)
    }
    confirmed = snapshot.confirmed_words(list(neighbour_ids))
    hashes = snapshot.collection.hashes[snapshot.collection.rows(leads)].tolist()
    return [
        [
            Neighbour(
                images[i],
                cosine,
                nearness.same_picture(difference_hash, images[i].fingerprint, cosine),
                confirmed.get(i),
            )
            for i, cosine in neighbours
        ]
        for difference_hash, neighbours in zip(hashes, near, strict=True)
    ]


def sample_evenly(ids: Ids, limit: int) -> Ids:
    """Return at most `limit` of `ids` (n,), sampled evenly by a hash of the id.

    One id more or less changes one id of the sample, so the embeddings kept in memory serve the
    next page as well.
    """
    if len(ids) <= limit:
        return ids
    order = np.argpartition(hashed_ids(ids), limit)
    return ids[np.sort(order[:limit])]


def reasons(
    leads: RankedCandidates,
    row: int,
    threshold: float,
    *,
    band: str | None,
    near: Sequence[Neighbour],
    near_duplicates: Sequence[Image],
    evidence: str | None = None,
    confirmed: Mapping[int, str] = MappingProxyType({}),
) -> list[Reason]:
    """Return why the candidate in `row` of `leads` is shown, the strongest reason first.

    `threshold` is 0–1, `band` the expected scores of its source as text, `near` its nearest scored
    images, `near_duplicates` those on the card, `evidence` what selected it, `confirmed` what the
    confirmations among these images and the candidate say, by image id.
    """
    result: list[Reason] = []
    prediction, hand_score = float(leads.predictions[row]), float(leads.hand_scores[row])
    if leads.outside[row] and band is not None:
        too_high = float(leads.outside[row]) > 0
        result.append(_band_reason(band, too_high, passes(prediction, threshold)))
    elif np.isnan(hand_score):
        result.append(_chance_reason(float(leads.suspicion[row])))
    if evidence in EVIDENCE_REASONS:
        result.append(EVIDENCE_REASONS[evidence])
    if leads.conflict[row]:
        own = confirmed.get(int(leads.ids[row]), f"{hand_score:g}")
        result.append(_conflict_reason(own, near_duplicates, confirmed))
    if not np.isnan(hand_score) and int(leads.ids[row]) not in confirmed:
        result.append(_gap_reason(hand_score, prediction))
    if near:
        result.append(_neighbour_reason(near, prediction, threshold))
    if not np.isnan(leads.second_opinion[row]):
        result.append(
            _second_opinion_reason(float(leads.second_opinion[row]), prediction, threshold)
        )
    return result


def _band_reason(band: str, too_high: bool, passes: bool) -> Reason:
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


def _chance_reason(suspicion: float) -> Reason:
    more = (
        "The chance that it lies on the other side of the threshold, from how far predictions "
        "miss on scored images and from the second opinion."
    )
    return Reason(f"{round(suspicion * 100)} % likely wrong", more)


def _conflict_reason(
    own: str, near_duplicates: Sequence[Image], confirmed: Mapping[int, str]
) -> Reason:
    scored = sorted(
        (twin for twin in near_duplicates if twin.hand_score is not None),
        key=lambda twin: twin.hand_score or 0.0,
    )
    said = dict.fromkeys(confirmed.get(twin.id, f"{twin.hand_score:.3g}") for twin in scored)
    listed = " and ".join(each for each in said if each != own)
    more = (
        "You gave different scores to pictures that are nearly the same. A score typed here is "
        "given to all of them that are ticked."
    )
    return Reason(f"scored {own}, its near-duplicate {listed}", more, strong=True)


def _gap_reason(hand_score: float, prediction: float) -> Reason:
    gap = abs(hand_score - prediction * 10)
    more = "The prediction is out of fold: made by a head that had not seen this score."
    return Reason(f"{gap:.1f} points from the prediction", more)


def _neighbour_reason(near: Sequence[Neighbour], prediction: float, threshold: float) -> Reason:
    scores = ", ".join(neighbour.said for neighbour in near)
    words = (
        f"its {len(near)} nearest scored {scores}" if len(near) > 1 else f"its nearest: {scores}"
    )
    more = "The scored images whose embeddings are nearest, the nearest first."
    if not near[0].near_duplicate:
        return Reason(words, more)
    score = near[0].image.hand_score or 0.0
    contradicts = passes(score / 10, threshold) != passes(prediction, threshold)
    more = "A picture that is nearly the same has this hand score; it is the first one below."
    return Reason(f"near-duplicate of one scored {near[0].said}", more, strong=contradicts)


def _second_opinion_reason(expected: float, prediction: float, threshold: float) -> Reason:
    is_pass = passes(expected / 10, threshold)
    side = "passes" if is_pass else "fails"
    more = "Another, simpler model of the same embeddings; it expects this hand score."
    if is_pass == passes(prediction, threshold):
        return Reason(f"second opinion: {expected:.1f}, {side}", more)
    return Reason(f"second opinion contradicts: {expected:.1f}, {side}", more)
