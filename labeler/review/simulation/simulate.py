"""The loop played with a person who answers from a file: which strategy finds and teaches most.

For every seed some whole groups are withheld: nobody is ever asked for them, and what a version is
worth is measured on them alone. All strategies of a seed start from the same scored images and the
same version.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from labeler.collection.arrays import Collection
from labeler.core.errors import BadInput
from labeler.core.jobs import child_process
from labeler.core.progress import Progress, silent
from labeler.core.project import FEWEST_TO_TRAIN
from labeler.embedding.unit_cache import UnitRows
from labeler.review.queues.arrays import ReviewArrays
from labeler.review.simulation.strategies import (
    STRATEGIES,
    Floats,
    Ids,
    Standing,
    Strategy,
    Trained,
)
from model.estimators.kernels import normalize
from model.evaluation import metrics
from model.review import suspicion

FIGURES = ("precision", "recall", "average_precision", "mae", "rank_correlation")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A collection whose scores are all known: raw embeddings (n, width), scores (n,) 0–10, group
    numbers (n,) of what is withheld together, difference hashes (n,), 0 where there is none.
    """

    embeddings: NDArray[np.float32]
    scores: Floats
    groups: Ids
    hashes: NDArray[np.uint64]

    def take(self, rows: Ids | NDArray[np.bool_]) -> Labelled:
        return Labelled(*(getattr(self, each.name)[rows] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Plan:
    """`withhold` is a share of the images, `threshold` 0–1; the other numbers count images."""

    start: int = 150
    rounds: int = 6
    batch: int = 40
    withhold: float = 0.25
    seeds: int = 10
    threshold: float = 0.5
    recipe: str = "quick"
    strategies: tuple[str, ...] = tuple(STRATEGIES)


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of one strategy, by one seed; round 0 is the start, where nothing was asked yet.

    `found` of the `asked` images were on the wrong side of the threshold, by the version that was
    reviewed. After training again, `left` of the images that may still be asked for are. `figures`
    are of the withheld images.
    """

    seed: int
    strategy: str
    round: int
    scored: int
    asked: int
    found: int
    left: int
    figures: dict[str, float | None]


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """The turns of one strategy by one seed, and how honest its version's chances were.

    `chances` (m, 2) has a row for every image that was left before each round: the chance given to
    its being a mistake, 0–1, and whether it was one.
    """

    strategy: str
    seed: int
    turns: list[Turn]
    chances: Floats


def simulate(data: Labelled, plan: Plan, progress: Progress = silent) -> list[Played]:
    """Play every strategy of `plan` with every seed, on all processors at once.

    The same data and plan give the same result. `progress` counts plays; what it raises ends the
    simulation. Raises `BadInput` where the collection is too small for the plan.
    """
    check(data, plan)
    wanted = [(seed, name) for seed in range(plan.seeds) for name in plan.strategies]
    progress(0, len(wanted), "simulating")
    workers = min(os.cpu_count() or 1, len(wanted))
    played = []
    with child_process.pool(workers, _prepare, (data, plan)) as pool:
        waiting = {pool.submit(_play, *each) for each in wanted}
        for done, future in enumerate(as_completed(waiting), start=1):
            played.append(future.result())
            progress(done, len(wanted), "simulating")
    order = {each: place for place, each in enumerate(wanted)}
    return sorted(played, key=lambda each: order[each.seed, each.strategy])


def check(data: Labelled, plan: Plan) -> None:
    """Raises `BadInput` where nothing could be learnt, withheld or asked for."""
    if plan.start < FEWEST_TO_TRAIN:
        raise BadInput(f"--start {plan.start} is too few: a training needs {FEWEST_TO_TRAIN}.")
    few = min(len(_split(data.groups, plan.withhold, seed)[0]) for seed in range(plan.seeds))
    if few <= plan.start:
        raise BadInput(
            f"Of {len(data.scores)} images {few} are left when whole groups are withheld, and "
            f"--start takes {plan.start} of them: score more images or choose a smaller --start."
        )
    if len(np.unique(data.scores / 10 >= plan.threshold - 1e-9)) < 2:
        raise BadInput(
            f"All images are on one side of the threshold {plan.threshold:g}; choose another with "
            "--threshold."
        )


class _Collection:
    """One process's copy of what is played with."""

    data: Labelled
    plan: Plan


def _prepare(data: Labelled, plan: Plan) -> None:
    """Called once in each process, which then does one thing at a time on one core."""
    import torch

    torch.set_num_threads(1)
    _Collection.data, _Collection.plan = data, plan


def _play(seed: int, strategy: str) -> Played:
    data, plan = _Collection.data, _Collection.plan
    opened, withheld, now = _start(data, plan, seed)
    turns, chances = [_turn(data, plan, now, withheld, seed=seed, strategy=strategy)], []
    for number in range(1, plan.rounds + 1):
        now.left = np.setdiff1d(opened, now.scored)
        if not len(now.left):
            break
        chances.append(_chances(data, now))
        asked = _round(data, plan, now, STRATEGIES[strategy])
        found = sum(hit for _, hit in now.record[-asked:])
        now.version, now.answers = _train(data, plan, now.scored, seed), {}
        now.left = np.setdiff1d(opened, now.scored)
        turn = _turn(data, plan, now, withheld, seed=seed, strategy=strategy)
        turns.append(replace(turn, round=number, asked=asked, found=found))
    return Played(strategy, seed, turns, np.concatenate([np.zeros((0, 2)), *chances]))


def _start(data: Labelled, plan: Plan, seed: int) -> tuple[Ids, Ids, Standing]:
    """Rows that may be scored, rows that are withheld, and the standing after the first scores."""
    opened, withheld = _split(data.groups, plan.withhold, seed)
    scored = opened[: plan.start].tolist()
    now = Standing(
        threshold=plan.threshold,
        version=_first_version(seed),
        left=np.setdiff1d(opened, scored),
        scored=scored,
        scores=data.scores,
        seed=seed,
        draw=np.random.default_rng([seed, 1]),
    )
    return opened, withheld, now


@lru_cache(maxsize=2)
def _first_version(seed: int) -> Trained:
    """All strategies of a seed start from it; a process mostly plays them one after the other."""
    data, plan = _Collection.data, _Collection.plan
    opened, _ = _split(data.groups, plan.withhold, seed)
    return _train(data, plan, opened[: plan.start].tolist(), seed)


def _split(groups: Ids, withhold: float, seed: int) -> tuple[Ids, Ids]:
    """Rows (k,) in random order that may be scored, and those of whole groups that may not.

    Groups are withheld at random until they hold the wanted share of the images.
    """
    draw = np.random.default_rng([seed, 0])
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = draw.permutation(len(sizes))
    before = np.cumsum(sizes[shuffled]) - sizes[shuffled]
    closed = np.isin(group, shuffled[before < withhold * len(groups)])
    return draw.permutation(np.flatnonzero(~closed)), np.flatnonzero(closed)


def _train(data: Labelled, plan: Plan, scored: Sequence[int], seed: int) -> Trained:
    """What `labeler train` makes of these scores, without a project."""
    from model.heads.head import predict
    from model.training.cross_fitting import cross_fit
    from model.training.recipe import TrainingData
    from model.training.recipes import recipe_named

    rows = np.array(scored, dtype=np.int64)
    truth = data.scores[rows]
    training_data = TrainingData(data.embeddings[rows], truth, data.groups[rows], plan.threshold)
    made = cross_fit(recipe_named(plan.recipe), training_data, seed)
    unseen = made.out_of_fold.astype(np.float64)
    exceed = made.exceed.astype(np.float64)
    spread = suspicion.residual_spread(unseen, truth / 10)
    units = normalize(data.embeddings)
    images = _predicted(
        predict(made.head, data.embeddings),
        made.second_opinion.exceed(data.embeddings),
        data.hashes,
    )
    arrays = ReviewArrays(
        images,
        plan.threshold,
        spread,
        weighing=suspicion.fit_stacking_weights(unseen, exceed, truth / 10, plan.threshold, spread),
        units=UnitRows(units),
        opinion=made.second_opinion,
    )
    return Trained(arrays, units)


def _predicted(
    predictions: NDArray[np.floating], exceed: NDArray[np.floating], hashes: NDArray[np.uint64]
) -> Collection:
    """All images as a version predicts them; no source has a band."""
    count = len(predictions)
    return Collection(
        ids=np.arange(count),
        hashes=hashes,
        fine=np.ones(count, dtype=bool),
        predictions=predictions.astype(np.float64),
        exceed=exceed.astype(np.float16),
        low=np.full(count, np.nan),
        high=np.full(count, np.nan),
    )


def _round(data: Labelled, plan: Plan, now: Standing, strategy: Strategy) -> int:
    """Ask for a batch, as many at a time as the strategy likes; returns how many were asked for."""
    asked = 0
    while asked < plan.batch and len(now.left):
        chosen, names = strategy(now, plan.batch - asked)
        rows = chosen.tolist()
        for row, name in zip(rows, names, strict=True):
            now.answers[row] = float(data.scores[row])
            passes = now.version.predictions[row] >= plan.threshold
            now.record.append((name, bool(passes != _passes(data, plan, row))))
        now.scored += rows
        now.left = np.setdiff1d(now.left, chosen)
        asked += len(rows)
    return asked


def _passes(data: Labelled, plan: Plan, rows: Ids | int) -> NDArray[np.bool_]:
    return metrics.passes(data.scores[rows] / 10, plan.threshold)


def _chances(data: Labelled, now: Standing) -> Floats:
    """Chance that each that is left is a mistake (k,), beside whether it is one: (k, 2)."""
    ranked, suspicion = now.version.arrays.ranked, np.empty(len(data.scores))
    suspicion[ranked.places] = ranked.suspicion
    truly = (now.predicted >= now.threshold) != metrics.passes(
        data.scores[now.left] / 10, now.threshold
    )
    return np.stack([suspicion[now.left], truly.astype(np.float64)], axis=1)


def _turn(
    data: Labelled, plan: Plan, now: Standing, withheld: Ids, *, seed: int, strategy: str
) -> Turn:
    """Where things stand with this version, for round 0 as long as nothing was asked."""
    said, truth = now.version.predictions, data.scores / 10
    wrong = (now.predicted >= plan.threshold) != _passes(data, plan, now.left)
    figures = metrics.values(said[withheld], truth[withheld], plan.threshold, FIGURES)
    return Turn(seed, strategy, 0, len(now.scored), 0, 0, int(wrong.sum()), figures)
