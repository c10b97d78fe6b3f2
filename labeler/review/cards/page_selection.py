"""Select the cards of a page and the near-duplicates on each card."""

from __future__ import annotations

from collections.abc import Collection as Some
from dataclasses import dataclass

import numpy as np

from labeler.collection.arrays import Ids, Mask
from labeler.embedding.unit_cache import UnitEmbeddings, Vectors
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.mistakes import Answers, order_by_evidence
from labeler.review.queues.suspects import RankedCandidates
from model.estimators.near_duplicates import confirmed, near_hashes, near_pairs
from model.review import suspicion

# From this cosine on two pictures look the same to a person: a page shows only one of them.
SAME_COSINE = 0.97
MOST_NEAR_DUPLICATES = 24  # of one card; the others come on the next card
# The diverse cards of a page are selected from this many times the requested number.
POOL = 4
# At most this share of a page are mistakes by the source's band alone, on the right side of the
# threshold: they are certain, but a whole page of them would hide the others.
HARMLESS_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class PageSelection:
    """The images that lead a card, in order, and for each the near-duplicates scored with it.

    `together` holds an array of image ids for each lead. `evidence` names by image id what selected
    a lead, where the queue's order did not (model/review/bandit.py).
    """

    leads: RankedCandidates
    together: list[Ids]
    evidence: dict[int, str]


def select_page(
    arrays: ReviewArrays,
    queue: RankedCandidates,
    *,
    limit: int,
    among: Mask,
    answers: Answers | None = None,
    seed: int = 0,
    shown_ids: Some[int] = (),
    first: int | None = None,
) -> PageSelection:
    """Select up to `limit` cards of `queue`: what the Review page shows next.

    The order is that of the queue, or with `answers` the one that `order_by_evidence` gives: the
    same answers and `seed` give the same page. No card is nearly the same as another or as an image
    in `shown_ids`, and at most one image of a cluster leads a card. `first` is an image id that
    comes first if it is in the queue.

    A card's near-duplicates are searched in the rows of the collection that are marked in `among`
    (n,), whatever their place in the queue; no image is on two cards.
    """
    evidence: dict[int, str] = {}
    if answers is not None:
        queue, evidence = order_by_evidence(arrays, queue, answers, limit, seed)
    pool = limit_harmless(queue.with_first(first), limit)
    pool = pool.take(np.arange(min(len(pool), limit * POOL)))
    pool = _without_similar(pool, arrays.units, shown_ids)
    units, images = arrays.units.of(pool.ids), arrays.images
    near = near_pairs(images.hashes[pool.collection_rows], units, arrays.nearness)
    firsts = _cluster_leads(near)
    in_order = -np.arange(len(firsts), dtype=np.float64)
    rows = firsts[suspicion.diverse(in_order, units[firsts], limit, alike=SAME_COSINE)]
    duplicates = _find_near_duplicates(arrays, pool.take(rows), units[rows], among)
    together = [np.concatenate([pool.ids[near[row]], duplicates[k]]) for k, row in enumerate(rows)]
    return PageSelection(
        pool.take(rows), _assign_once(pool.ids[rows], together, shown_ids), evidence
    )


def limit_harmless(candidates: RankedCandidates, limit: int) -> RankedCandidates:
    """Move all but `HARMLESS_SHARE` × `limit` of the harmless candidates to the end."""
    surplus = np.flatnonzero(candidates.harmless)[int(np.ceil(HARMLESS_SHARE * limit)) :]
    keep = np.ones(len(candidates), dtype=bool)
    keep[surplus] = False
    return (
        candidates.take(np.concatenate([np.flatnonzero(keep), surplus]))
        if len(surplus)
        else candidates
    )


def _without_similar(
    pool: RankedCandidates, units: UnitEmbeddings, shown_ids: Some[int]
) -> RankedCandidates:
    """Return `pool` without what is nearly the same as an image in `shown_ids`."""
    shown_units = units.of(np.fromiter(shown_ids, np.int64, len(shown_ids)))
    if not len(shown_units) or not len(pool):
        return pool
    return pool.take((units.of(pool.ids) @ shown_units.T).max(axis=1) < SAME_COSINE)


def _cluster_leads(near: Mask) -> Ids:
    """Return the rows (k,) of `near` (n, n) that are not near to an earlier returned row."""
    leads: list[int] = []
    for row in range(len(near)):
        if not near[row, leads].any():
            leads.append(row)
    return np.array(leads, dtype=np.int64)


def _find_near_duplicates(
    arrays: ReviewArrays, leads: RankedCandidates, units: Vectors, among: Mask
) -> list[Ids]:
    """Return for each of `leads` (k,) with unit embeddings `units` the ids of its near-duplicates.

    Only rows of the collection that are marked in `among` (n,) count.
    """
    images, ids = arrays.images, leads.ids
    rows, columns = near_hashes(images.hashes[leads.collection_rows], images.hashes)
    rows, columns = rows[among[columns]], columns[among[columns]]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)  # 0 for the nearest hash of each lead
    duplicate_ids = images.ids[columns]
    within_limit = (rank <= MOST_NEAR_DUPLICATES) & (duplicate_ids != ids[rows])
    rows, duplicate_ids = rows[within_limit], duplicate_ids[within_limit]
    confirmed_pairs = confirmed(units[rows], arrays.units.of(duplicate_ids), arrays.nearness)
    return [duplicate_ids[confirmed_pairs & (rows == lead)] for lead in range(len(leads))]


def _assign_once(leads: Ids, together: list[Ids], shown_ids: Some[int]) -> list[Ids]:
    """Keep each image on one card only: the first one that it is near to."""
    used = {*leads.tolist(), *shown_ids}
    assigned = []
    for ids in together:
        unused = [i for i in dict.fromkeys(ids.tolist()) if i not in used][:MOST_NEAR_DUPLICATES]
        used.update(unused)
        assigned.append(np.array(unused, dtype=np.int64))
    return assigned
