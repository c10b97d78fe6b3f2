"""Which of the suspects stand together on a page, and which near-duplicates share a card."""

from __future__ import annotations

from collections.abc import Collection as Some
from dataclasses import dataclass

import numpy as np

from labeler.collection.arrays import Collection, Ids, Mask
from labeler.embedding.unit_cache import UnitVectors, Vectors
from labeler.review.near_duplicates import nearness_in
from labeler.review.queues.suspects import Ranked
from labeler.versions.snapshot import Standing
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
class Chosen:
    """The images that lead a card, and for each the near-duplicates that are scored with it."""

    leads: Ranked
    together: list[Ids]


def choose(now: Standing, ranked: Ranked, *, limit: int, beside: Some[int], among: Mask) -> Chosen:
    """Up to `limit` of `ranked`, in its order: none nearly the same as another or as in `beside`
    (image ids), and no page of one cluster.

    A card's near-duplicates are looked for in the rows `among` of the collection, whatever their
    place in the queue; no image is on two cards.
    """
    pool = mixed(ranked, limit).take(np.arange(min(len(ranked), limit * POOL)))
    if (vectors := now.vectors) is None or not len(pool):
        leads = pool.take(np.arange(min(len(pool), limit)))
        return Chosen(leads, [np.zeros(0, dtype=np.int64) for _ in range(len(leads))])
    pool = _unlike(pool, vectors, beside)
    units, nearness = vectors.of(pool.ids), nearness_in(now.everything, vectors)
    near = near_pairs(now.everything.hashes[now.everything.rows(pool.ids)], units, nearness)
    first = _firsts(near)
    in_order = -np.arange(len(first), dtype=np.float64)
    rows = first[suspicion.diverse(in_order, units[first], limit, alike=ALIKE)]
    found = _looked_up(now.everything, vectors, pool.ids[rows], units[rows], among)
    together = [np.concatenate([pool.ids[near[row]], found[k]]) for k, row in enumerate(rows)]
    return Chosen(pool.take(rows), _once(pool.ids[rows], together, beside))


def mixed(ranked: Ranked, limit: int) -> Ranked:
    """`ranked` with all but a share of `limit` harmless ones put last."""
    later = np.flatnonzero(ranked.harmless)[int(np.ceil(HARMLESS_SHARE * limit)) :]
    now = np.ones(len(ranked), dtype=bool)
    now[later] = False
    return ranked.take(np.concatenate([np.flatnonzero(now), later])) if len(later) else ranked


def _unlike(pool: Ranked, vectors: UnitVectors, beside: Some[int]) -> Ranked:
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


def _looked_up(
    everything: Collection, vectors: UnitVectors, leads: Ids, units: Vectors, among: Mask
) -> list[Ids]:
    """For each of `leads` (k,) with embeddings `units`, its near-duplicates in the collection."""
    row_of_lead = everything.rows(leads)
    rows, columns = near_hashes(everything.hashes[row_of_lead], everything.hashes)
    rows, columns = rows[among[columns]], columns[among[columns]]
    nth = np.arange(len(rows)) - np.searchsorted(rows, rows)  # how many nearer ones there are
    found = everything.ids[columns]
    wanted = (nth <= MOST) & (found != leads[rows])
    rows, found = rows[wanted], found[wanted]
    same = confirmed(units[rows], vectors.of(found), nearness_in(everything, vectors))
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
