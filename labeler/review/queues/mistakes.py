"""The cards of both kinds of likely mistakes in one queue, dealt by what has proved itself.

Three kinds of evidence take turns (model/review/bandit.py): the second opinion, as it stands after
the answers of the open round; the prediction's distance to the threshold; and chance. What a
source's band rules out is certain and needs none of them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import expit

import db.versions.rounds
from db.records import Round
from db.store.store import Store
from labeler.collection.arrays import Collection, Floats, Ids, Mask
from labeler.embedding.unit_cache import UnitVectors
from labeler.review.queues.suspects import Ranked, predicted
from labeler.versions.calibration import pass_probability
from labeler.versions.second_opinion import load_second_opinion
from labeler.versions.snapshot import Standing
from model.errors import ModelError
from model.estimators.kernel_ordinal import Glimpse, Opinion
from model.estimators.ordinal import LEVELS, threshold_level
from model.review import bandit, suspicion

# The second opinion is asked again about so many images, the likeliest mistakes by its first word.
SHORTLIST = 2000
# Answers that it learns from, the last ones of the round: it takes the cube of it.
MOST_ANSWERS = 200
# So many times the wanted number are dealt, for a choice of ones that differ.
POOL = 6
_SOME = 64  # one value in so many is looked at first


def dealt(
    now: Standing, ranked: Ranked, opened: Round | None, wanted: int
) -> tuple[Ranked, dict[int, str]]:
    """`ranked` with the next cards first, enough for `wanted`, and by image id what dealt each.

    The same answers deal the same cards.
    """
    certain, guesses = ranked.take(ranked.certain), ranked.take(~ranked.certain)
    if not len(guesses):
        return ranked, {}
    answers = db.versions.rounds.answers(now.project.store)
    guesses, suspects = _second_opinion(now, guesses, opened)
    nearest = np.abs(guesses.predictions - now.threshold)
    draw = np.random.default_rng([opened.id if opened else 0, len(answers)])
    count = min(POOL * wanted, len(guesses))
    orders = {
        bandit.SECOND_OPINION: suspects,
        bandit.PREDICTION: _least(nearest, count),
        bandit.RANDOM: draw.choice(len(guesses), count, replace=False),
    }
    chosen = bandit.deal(orders, bandit.proved(answers), count, draw)
    rows = np.array([row for row, _ in chosen], dtype=np.int64)
    waits = np.ones(len(guesses), dtype=bool)
    waits[rows] = False
    order = np.concatenate([rows, np.flatnonzero(waits)])
    ahead = certain.followed_by(guesses.take(order))
    dealt_by = [name for _, name in chosen]
    return ahead, dict(zip(guesses.take(rows).ids.tolist(), dealt_by, strict=True))


def _second_opinion(now: Standing, guesses: Ranked, opened: Round | None) -> tuple[Ranked, Ids]:
    """Suspicions as they stand after the round's answers, and rows in the second opinion's order.

    Without its file, or embeddings, what was stored of it has to do.
    """
    opinion, vectors = _opinion_of(now), now.vectors
    if opinion is None or vectors is None:
        return guesses, np.arange(len(guesses))
    listed, seen = _shortlist(
        now.project.store,
        now.everything,
        now.version.id,
        now.threshold,
        vectors=vectors,
        opinion=opinion,
    )
    rows = np.flatnonzero(now.everything.marked(listed)[guesses.places])
    answered, passed = _answered(now, opened)
    level, where = threshold_level(now.threshold), np.searchsorted(listed, guesses.ids[rows])
    odds = opinion.after(seen.take(where), opinion.see(vectors.of(answered)), passed, level)
    chance, predictions = np.asarray(expit(odds)), guesses.predictions[rows]
    alone = suspicion.chance_wrong(predictions, chance, now.threshold)
    order = rows[np.argsort(-alone, kind="stable")]
    return guesses.suspected(rows, _together(now, predictions, chance, level)), order


def _opinion_of(now: Standing) -> Opinion | None:
    try:
        return load_second_opinion(now.project, now.version)
    except ModelError:
        return None


def _together(now: Standing, predictions: Floats, chance: Floats, level: int) -> Floats:
    """The chance (n,) of being wrong that head and second opinion give together."""
    exceed = np.full((len(chance), LEVELS), np.nan)
    exceed[:, level - 1] = chance
    store, version = now.project.store, now.version.id
    passing = pass_probability(store, version, predictions, exceed, now.threshold)
    return suspicion.chance_wrong(predictions, passing, now.threshold)


def _answered(now: Standing, opened: Round | None) -> tuple[Ids, Mask]:
    """Ids (m,) of the images scored in the round, and whether each passes."""
    if opened is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    rows = now.everything.rows(db.versions.rounds.answered(now.project.store, opened.id))
    rows = rows[~np.isnan(now.given[rows])][-MOST_ANSWERS:]
    return now.everything.ids[rows], now.given[rows] / 10 >= now.threshold - 1e-9


@lru_cache(maxsize=2)
def _shortlist(
    store: Store,
    everything: Collection,
    version_id: int,
    threshold: float,
    *,
    vectors: UnitVectors,
    opinion: Opinion,
) -> tuple[Ids, Glimpse]:
    """Ids of the likeliest mistakes, rising, and how the second opinion sees them.

    Scored images stay in it, so that it holds while the person answers.
    """
    ranked = predicted(store, everything, version_id, threshold)
    ids = np.sort(ranked.take(np.flatnonzero(~ranked.certain)[:SHORTLIST]).ids)
    return ids, opinion.see(vectors.of(ids))


def _least(values: Floats, count: int) -> Ids:
    """Rows of the `count` least values, the least first."""
    # What some of the values tell leaves few to choose from, of a million as well.
    some, rows = values[::_SOME], np.arange(len(values))
    place = 2 * count // _SOME + 8
    if place < len(some):
        few = np.flatnonzero(values <= np.partition(some, place)[place])
        rows = few if len(few) >= count else rows
    return rows[np.lexsort((rows, values[rows]))][:count]
