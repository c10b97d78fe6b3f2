"""Which of the suspects stand together on a page, and which near-duplicates share a card."""

from __future__ import annotations

from collections.abc import Collection as Some
from dataclasses import dataclass

import numpy as np

from labeler.collection.arrays import Ids, Mask
from labeler.embedding.unit_cache import UnitEmbeddings, Vectors
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.mistakes import Answers, dealt
from labeler.review.queues.suspects import Ranked
from model.estimators.near_duplicates import confirmed, near_hashes, near_pairs
from model.review import suspicion

# Cosine from which two pictures count as the same for a person: one of them a page is enough.
ALIKE = 0.97
MOST = 24  # near-duplicates of one card; more of them wait for the next one
# So many times the wanted number are looked at for ones that differ.
POOL = 4
# At most this share of a page are mistakes by the source's band alone, on the right side of the
# threshold: they are certain, but a whole page of them would hide the others.
HARMLESS_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """The images that lead a card, in order, and for each the near-duplicates scored with it.

    `evidence` tells by image id what dealt a lead, where the queue's order did not
    (model/review/bandit.py).
    """

    leads: Ranked
    together: list[Ids]
    evidence: dict[int, str]


def select_page(
    arrays: ReviewArrays,
    queue: Ranked,
    *,
    limit: int,
    among: Mask,
    answers: Answers | None = None,
    seed: int = 0,
    beside: Some[int] = (),
    first: int | None = None,
) -> Page:
    """Select up to `limit` cards of `queue`: what the Review page shows next.

    In its order, or with `answers` dealt by what has proved itself so far: the same answers and
    `seed` give the same page. No card is nearly the same as another or as an image in `beside`
    (ids), and no page is one cluster. `first` is an image id that leads it if it is in the queue.

    A card's near-duplicates are looked for in the rows of the collection that are marked in `among`
    (n,), whatever their place in the queue; no image is on two cards.
    """
    evidence: dict[int, str] = {}
    if answers is not None:
        queue, evidence = dealt(arrays, queue, answers, limit, seed)
    pool = mixed(queue.led_by(first), limit)
    pool = pool.take(np.arange(min(len(pool), limit * POOL)))
    pool = _unlike(pool, arrays.units, beside)
    units, images = arrays.units.of(pool.ids), arrays.images
    near = near_pairs(images.hashes[pool.places], units, arrays.nearness)
    firsts = _firsts(near)
    in_order = -np.arange(len(firsts), dtype=np.float64)
    rows = firsts[suspicion.diverse(in_order, units[firsts], limit, alike=ALIKE)]
    found = _looked_up(arrays, pool.take(rows), units[rows], among)
    together = [np.concatenate([pool.ids[near[row]], found[k]]) for k, row in enumerate(rows)]
    return Page(pool.take(rows), _once(pool.ids[rows], together, beside), evidence)


def mixed(ranked: Ranked, limit: int) -> Ranked:
    """`ranked` with all but a share of `limit` harmless ones put last."""
    later = np.flatnonzero(ranked.harmless)[int(np.ceil(HARMLESS_SHARE * limit)) :]
    now = np.ones(len(ranked), dtype=bool)
    now[later] = False
    return ranked.take(np.concatenate([np.flatnonzero(now), later])) if len(later) else ranked


def _unlike(pool: Ranked, vectors: UnitEmbeddings, beside: Some[int]) -> Ranked:
    """Those of `pool` that are not nearly the same as an image in `beside`."""
    shown = vectors.of(np.fromiter(beside, np.int64, len(beside)))
    if not len(shown) or not len(pool):
        return pool
    return pool.take((vectors.of(pool.ids) @ shown.T).max(axis=1) < ALIKE)


def _firsts(near: Mask) -> Ids:
    """Rows (k,) of `near` (n, n) in order, without those near to an earlier one that is taken."""
    taken: list[int] = []
    for row in range(len(near)):
        if not near[row, taken].any():
            taken.append(row)
    return np.array(taken, dtype=np.int64)


def _looked_up(arrays: ReviewArrays, leads: Ranked, units: Vectors, among: Mask) -> list[Ids]:
    """For each of `leads` (k,) with embeddings `units`, its near-duplicates in the collection."""
    images, ids = arrays.images, leads.ids
    rows, columns = near_hashes(images.hashes[leads.places], images.hashes)
    rows, columns = rows[among[columns]], columns[among[columns]]
    nth = np.arange(len(rows)) - np.searchsorted(rows, rows)  # how many nearer ones there are
    found = images.ids[columns]
    wanted = (nth <= MOST) & (found != ids[rows])
    rows, found = rows[wanted], found[wanted]
    same = confirmed(units[rows], arrays.units.of(found), arrays.nearness)
    return [found[same & (rows == lead)] for lead in range(len(leads))]


def _once(leads: Ids, together: list[Ids], beside: Some[int]) -> list[Ids]:
    """Each image on one card only: the first one that it is near to."""
    gone = {*leads.tolist(), *beside}
    kept = []
    for ids in together:
        mine = [i for i in dict.fromkeys(ids.tolist()) if i not in gone][:MOST]
        gone.update(mine)
        kept.append(np.array(mine, dtype=np.int64))
    return kept
