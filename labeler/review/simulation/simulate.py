"""Simulate rounds of scoring with known scores, and compare strategies of selecting images.

For each seed some whole groups are withheld: they are never scored, and each version is measured on
them alone. All strategies of a seed start from the same scored images and the same version.
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
    SimulationState,
    Strategy,
    TrainedVersion,
)
from model.estimators.kernels import normalize
from model.evaluation import metrics
from model.passing import passes
from model.review import suspicion

# Imported where they are used: torch takes seconds to load; the plan is checked without it.

FIGURES = ("precision", "recall", "average_precision", "mae", "rank_correlation")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledData:
    """A collection with a score for each image.

    Raw embeddings (n, width), scores (n,) 0–10, group numbers (n,) of what is withheld together,
    difference hashes (n,), 0 where there is none.
    """

    embeddings: NDArray[np.float32]
    scores: Floats
    groups: Ids
    hashes: NDArray[np.uint64]

    def take(self, rows: Ids | NDArray[np.bool_]) -> LabelledData:
        """Return the rows selected by index or mask."""
        return LabelledData(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """The settings of a simulation.

    `withhold` is a share of the images, 0–1, `threshold` 0–1; the other numbers count images,
    rounds or seeds.
    """

    start: int = 150
    rounds: int = 6
    batch: int = 40
    withhold: float = 0.25
    seeds: int = 10
    threshold: float = 0.5
    recipe: str = "quick"
    strategies: tuple[str, ...] = tuple(STRATEGIES)


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The result of one round of one strategy, by one seed; round 0 is the start, before any
    question.

    `found` of the `asked` images were on the wrong side of the threshold, by the version that was
    reviewed. `left` counts the images that are on the wrong side after training again. `figures`
    are measured on the withheld images.
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
class StrategyRun:
    """The rounds of one strategy by one seed, and the calibration of its chances.

    `chances` (m, 2) has a row for every unscored image before each round: the predicted chance of a
    mistake, 0–1, and whether it was one, 0 or 1.
    """

    strategy: str
    seed: int
    turns: list[RoundResult]
    chances: Floats


def simulate(
    data: LabelledData, plan: SimulationPlan, progress: Progress = silent
) -> list[StrategyRun]:
    """Run every strategy of `plan` with every seed, on all processors.

    The same data and plan give the same result. `progress` counts runs; what it raises ends the
    simulation. Raises `BadInput` where the collection is too small for the plan.
    """
    check_plan(data, plan)
    jobs = [(seed, name) for seed in range(plan.seeds) for name in plan.strategies]
    progress(0, len(jobs), "simulating")
    workers = min(os.cpu_count() or 1, len(jobs))
    played = []
    with child_process.process_pool(workers, _start_worker, (data, plan)) as pool:
        futures = {pool.submit(_run_strategy, *run) for run in jobs}
        for done, future in enumerate(as_completed(futures), start=1):
            played.append(future.result())
            progress(done, len(jobs), "simulating")
    order = {run: position for position, run in enumerate(jobs)}
    return sorted(played, key=lambda run: order[run.seed, run.strategy])


def check_plan(data: LabelledData, plan: SimulationPlan) -> None:
    """Raise `BadInput` where there is too little to train on, to withhold or to ask for."""
    if plan.start < FEWEST_TO_TRAIN:
        raise BadInput(f"--start {plan.start} is too few: a training needs {FEWEST_TO_TRAIN}.")
    fewest = min(len(_split(data.groups, plan.withhold, seed)[0]) for seed in range(plan.seeds))
    if fewest <= plan.start:
        raise BadInput(
            f"Of {len(data.scores)} images {fewest} are left when whole groups are withheld, and "
            f"--start takes {plan.start} of them: score more images or choose a smaller --start."
        )
    if len(np.unique(passes(data.scores / 10, plan.threshold))) < 2:
        raise BadInput(
            f"All images are on one side of the threshold {plan.threshold:g}; choose another with "
            "--threshold."
        )


class _Worker:
    """The data and the plan of one worker process."""

    data: LabelledData
    plan: SimulationPlan


def _start_worker(data: LabelledData, plan: SimulationPlan) -> None:
    """Set up a worker process, which runs one strategy at a time on one core."""
    import torch

    torch.set_num_threads(1)
    _Worker.data, _Worker.plan = data, plan


def _run_strategy(seed: int, strategy: str) -> StrategyRun:
    data, plan = _Worker.data, _Worker.plan
    available, withheld, state = _initial_state(data, plan, seed)
    turns, chances = [_round_result(data, plan, state, withheld, seed=seed, strategy=strategy)], []
    for number in range(1, plan.rounds + 1):
        state.left = np.setdiff1d(available, state.scored)
        if not len(state.left):
            break
        chances.append(_calibration_pairs(data, state))
        count = _ask_batch(data, plan, state, STRATEGIES[strategy])
        hits = sum(hit for _, hit in state.record[-count:])
        state.version, state.answers = _train(data, plan, state.scored, seed), {}
        state.left = np.setdiff1d(available, state.scored)
        turn = _round_result(data, plan, state, withheld, seed=seed, strategy=strategy)
        turns.append(replace(turn, round=number, asked=count, found=hits))
    return StrategyRun(strategy, seed, turns, np.concatenate([np.zeros((0, 2)), *chances]))


def _initial_state(
    data: LabelledData, plan: SimulationPlan, seed: int
) -> tuple[Ids, Ids, SimulationState]:
    """Return the rows that may be scored, the withheld rows, and the first state."""
    available, withheld = _split(data.groups, plan.withhold, seed)
    scored = available[: plan.start].tolist()
    state = SimulationState(
        threshold=plan.threshold,
        version=_first_version(seed),
        left=np.setdiff1d(available, scored),
        scored=scored,
        scores=data.scores,
        seed=seed,
        draw=np.random.default_rng([seed, 1]),
    )
    return available, withheld, state


@lru_cache(maxsize=2)
def _first_version(seed: int) -> TrainedVersion:
    """Train the version that all strategies of a seed start from.

    A process mostly runs them one after the other.
    """
    data, plan = _Worker.data, _Worker.plan
    available, _ = _split(data.groups, plan.withhold, seed)
    return _train(data, plan, available[: plan.start].tolist(), seed)


def _split(groups: Ids, withhold: float, seed: int) -> tuple[Ids, Ids]:
    """Return the rows (k,) that may be scored, in random order, and those of the withheld groups.

    Groups are withheld at random until they hold the share `withhold` of the images.
    """
    rng = np.random.default_rng([seed, 0])
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(sizes))
    preceding = np.cumsum(sizes[shuffled]) - sizes[shuffled]
    withheld = np.isin(group, shuffled[preceding < withhold * len(groups)])
    return rng.permutation(np.flatnonzero(~withheld)), np.flatnonzero(withheld)


def _train(
    data: LabelledData, plan: SimulationPlan, scored: Sequence[int], seed: int
) -> TrainedVersion:
    """Train as `labeler train` does on these scores, without a project."""
    from model.heads.head import predict
    from model.training.cross_fitting import cross_fit
    from model.training.recipe import TrainingData
    from model.training.recipes import recipe_named

    rows = np.array(scored, dtype=np.int64)
    truth = data.scores[rows]
    training_data = TrainingData(data.embeddings[rows], truth, data.groups[rows], plan.threshold)
    result = cross_fit(recipe_named(plan.recipe), training_data, seed)
    held_out = result.out_of_fold.astype(np.float64)
    exceed = result.exceed.astype(np.float64)
    spread = suspicion.residual_spread(held_out, truth / 10)
    units = normalize(data.embeddings)
    images = _as_collection(
        predict(result.head, data.embeddings),
        result.second_opinion.exceed(data.embeddings),
        data.hashes,
    )
    arrays = ReviewArrays(
        images,
        plan.threshold,
        spread,
        weighing=suspicion.fit_stacking_weights(
            held_out, exceed, truth / 10, plan.threshold, spread
        ),
        units=UnitRows(units),
        opinion=result.second_opinion,
    )
    return TrainedVersion(arrays, units)


def _as_collection(
    predictions: NDArray[np.floating], exceed: NDArray[np.floating], hashes: NDArray[np.uint64]
) -> Collection:
    """Return all images with a version's predictions; no source has a band."""
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


def _ask_batch(
    data: LabelledData, plan: SimulationPlan, state: SimulationState, strategy: Strategy
) -> int:
    """Ask for a batch, as many at a time as the strategy selects; return its size."""
    count = 0
    while count < plan.batch and len(state.left):
        selected, names = strategy(state, plan.batch - count)
        rows = selected.tolist()
        for row, name in zip(rows, names, strict=True):
            state.answers[row] = float(data.scores[row])
            said = passes(state.version.predictions[row], plan.threshold)
            state.record.append((name, bool(said != _passes(data, plan, row))))
        state.scored += rows
        state.left = np.setdiff1d(state.left, selected)
        count += len(rows)
    return count


def _passes(data: LabelledData, plan: SimulationPlan, rows: Ids | int) -> NDArray[np.bool_]:
    return passes(data.scores[rows] / 10, plan.threshold)


def _calibration_pairs(data: LabelledData, state: SimulationState) -> Floats:
    """Return (k, 2): each unscored image's chance of a mistake, and whether it is one."""
    ranked, suspicion = state.version.arrays.ranked, np.empty(len(data.scores))
    suspicion[ranked.collection_rows] = ranked.suspicion
    is_mistake = passes(state.predicted, state.threshold) != passes(
        data.scores[state.left] / 10, state.threshold
    )
    return np.stack([suspicion[state.left], is_mistake.astype(np.float64)], axis=1)


def _round_result(
    data: LabelledData,
    plan: SimulationPlan,
    state: SimulationState,
    withheld: Ids,
    *,
    seed: int,
    strategy: str,
) -> RoundResult:
    """Measure a version; the counts are those of round 0."""
    predictions, truth = state.version.predictions, data.scores / 10
    wrong = passes(state.predicted, plan.threshold) != _passes(data, plan, state.left)
    figures = metrics.values(predictions[withheld], truth[withheld], plan.threshold, FIGURES)
    return RoundResult(seed, strategy, 0, len(state.scored), 0, 0, int(wrong.sum()), figures)
