"""Strategies that select the images a person is asked to score: ours, and those to compare with.

A strategy takes the state of the simulation and returns the images to score next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from labeler.review.cards.page_selection import select_page
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.queues.mistakes import Answers
from labeler.review.queues.suspects import unscored_candidates
from model.estimators.kernels import distances
from model.passing import passes

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

# As the Review page (assets/): cards requested at once, and answers before the next request.
PAGE_SIZE, CARDS_PER_UPDATE = 40, 8
_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class TrainedVersion:
    """A version as the strategies read it."""

    arrays: ReviewArrays
    units: NDArray[np.float32]  # (n, width), embeddings of unit length

    @property
    def predictions(self) -> Floats:
        """Return the predictions (n,) 0–1 of the whole collection."""
        return self.arrays.images.predictions


@dataclass(slots=True)
class SimulationState:
    """The state of a simulated project.

    `left` (k,) are the rows that may be asked for and `scored` those that have a score; `answers`
    are the hand scores (0–10) given since the version was trained, by row. `record` has for every
    image that was asked for what selected it, None for a near-duplicate on another's card, and
    whether it was a mistake.
    """

    threshold: float
    version: TrainedVersion
    left: Ids
    scored: list[int]
    scores: Floats  # (n,) 0–10; only those of scored rows may be looked at
    seed: int
    draw: np.random.Generator
    answers: dict[int, float] = field(default_factory=dict)
    record: list[tuple[str | None, bool]] = field(default_factory=list)

    @property
    def predicted(self) -> Floats:
        """Return the predictions (k,) of the rows in `left`."""
        return self.version.predictions[self.left]


# strategy(state, count): rows (j,) of `left`, 1 to `count` of them, and what selected each.
Choice = tuple[Ids, list[str | None]]
Strategy = Callable[[SimulationState, int], Choice]


def review(state: SimulationState, count: int) -> Choice:
    """Select what the Review page shows first: a few cards, each with its near-duplicates.

    It calls the page's own selection. Two things of the page are not simulated: cards that stay on
    the screen while others are selected again, and a near-duplicate that the person leaves out.
    """
    arrays, is_left = state.version.arrays, np.zeros(len(state.scores), dtype=bool)
    is_left[state.left] = True
    hand_scores = np.where(is_left, np.nan, 0.0)
    page = select_page(
        arrays,
        unscored_candidates(arrays.ranked, hand_scores),
        limit=PAGE_SIZE,
        among=is_left,
        answers=_answers(state),
        seed=state.seed,
    )
    ids: list[int] = []
    names: list[str | None] = []
    for lead, together in zip(
        page.leads.ids[:CARDS_PER_UPDATE].tolist(), page.together, strict=False
    ):
        ids += [lead, *together.tolist()]
        names += [page.evidence.get(lead), *([None] * len(together))]
    return arrays.images.rows(ids[:count]), names[:count]


def _answers(state: SimulationState) -> Answers:
    rows = np.fromiter(state.answers, np.int64, len(state.answers))
    scores = np.fromiter(state.answers.values(), np.float64, len(state.answers))
    evidence = [(name, hit) for name, hit in state.record if name is not None]
    ids = state.version.arrays.images.ids[rows]
    return Answers(evidence, ids, passes(scores / 10, state.threshold))


def random(state: SimulationState, count: int) -> Choice:
    """Select at random, each image with the same chance."""
    return _chosen_by("random", state.draw.permutation(state.left)[:count])


def highest_score(state: SimulationState, count: int) -> Choice:
    """Select the highest predictions, as a person who checks the hits does."""
    return _chosen_by("highest-score", state.left[_highest(state.predicted)[:count]])


def nearest_threshold(state: SimulationState, count: int) -> Choice:
    """Select the predictions closest to the threshold (uncertainty sampling, Lewis & Gale 1994)."""
    order = _highest(-np.abs(state.predicted - state.threshold))
    return _chosen_by("nearest-threshold", state.left[order[:count]])


def greedy_sampling(state: SimulationState, count: int) -> Choice:
    """Select by iGS (Wu, Lin & Huang 2019, arXiv 1808.04245): far from all scored images and in
    score.

    Repeatedly select the image with the largest minimum, over the scored images, of the product of
    embedding distance (unit length) and the difference between prediction and score; images just
    selected count with their prediction.
    """
    units, selected = state.version.units, []
    nearest = np.full(len(state.left), np.inf)
    scored = np.array(state.scored, dtype=np.int64)
    for start in range(0, len(scored), _ROWS):
        part = scored[start : start + _ROWS]
        products = _products(state, units, part, state.scores[part] / 10)
        nearest = np.minimum(nearest, products.min(axis=1))
    for _ in range(min(count, len(state.left))):
        selected.append(int(np.argmax(nearest)))
        row = state.left[selected[-1:]]
        products = _products(state, units, row, state.version.predictions[row])
        nearest = np.minimum(nearest, products[:, 0])
        nearest[selected] = -1
    return _chosen_by("greedy-sampling", state.left[selected])


STRATEGIES: dict[str, Strategy] = {
    "review": review,
    "random": random,
    "highest-score": highest_score,
    "nearest-threshold": nearest_threshold,
    "greedy-sampling": greedy_sampling,
}


def _products(
    state: SimulationState, units: NDArray[np.float32], rows: Ids, scores: Floats
) -> Floats:
    """Return distance times difference in score (k, m) between `left` and `rows` (m,)."""
    embedding_distances = distances(units[state.left], units[rows])
    return np.asarray(embedding_distances * np.abs(state.predicted[:, None] - scores))


def _highest(values: Floats) -> Ids:
    return np.argsort(-values, kind="stable")


def _chosen_by(name: str, rows: Ids) -> Choice:
    return rows, [name] * len(rows)
