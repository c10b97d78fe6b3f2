"""Cross-fitting: each scored image is also predicted by a head that was trained without it.

One head per fold is trained on the other folds: their predictions tell what the recipe is worth.
One more, which is kept, is trained on everything. All are trained in parallel, each in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelError
from model.estimators import kernel_ordinal, ordinal
from model.estimators.group_folds import group_folds
from model.estimators.kernel_ordinal import KernelOrdinal
from model.estimators.ordinal import LEVELS
from model.heads.head import Head
from model.threads import parallel_map
from model.training.recipe import (
    Callback,
    Point,
    Recipe,
    TrainingData,
    TrainResult,
    no_callback,
)

# What fitting a second opinion counts for beside the steps of a recipe: a third of `quick`.
_SECOND_OPINION_STEPS = 10
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitResult:
    """The head and second opinion of all n scored images, and the out-of-fold predictions.

    `out_of_fold` (n,) 0–1 is by the head, `exceed` (n, 10) by the second opinion, each fitted
    without the image's own fold; `folds` (n,) says which that is. Only two numbers of the second
    opinion, its strength and temperature, are chosen on all images.
    """

    head: Head
    second_opinion: KernelOrdinal
    out_of_fold: NDArray[np.float32]
    exceed: NDArray[np.float32]
    folds: NDArray[np.int64]
    curve: list[Point]


def cross_fit(
    recipe: Recipe, data: TrainingData, seed: int = 0, callback: Callback = no_callback
) -> CrossFitResult:
    """Train `recipe` on folds and on everything; the same seed gives the same result.

    `callback` is called by one thread at a time; what it raises ends all trainings and is raised
    here. Raises `ModelError` if all images are of one group: then none can be held out.
    """
    folds = group_folds(data.scores, data.groups, recipe.folds, seed, data.threshold)
    count = int(folds.max(initial=0)) + 1
    if count < 2:
        raise ModelError(
            "All scored images are one group or near-duplicates of one another; "
            "score a few different ones and train again."
        )
    # Training `count` is the one on everything, which has nothing held out.
    training = [data.subset(folds != fold) for fold in range(count)] + [data]
    held_out = [data.subset(folds == fold) for fold in range(count)]
    parallel = _ParallelTraining(len(training), recipe.steps + _SECOND_OPINION_STEPS, callback)

    def train_head(k: int) -> TrainResult:
        validation = held_out[k].validation() if k < count else None
        own_seed = seed + k + 1 if k < count else seed
        return recipe.train(training[k], validation, seed=own_seed, callback=parallel.callback(k))

    def fit_second_opinion(k: int) -> tuple[KernelOrdinal, NDArray[np.float64]]:
        mine = training[k]
        fitted = kernel_ordinal.fit(
            mine.embeddings, mine.scores, strength, seed=seed, known=mine.known
        )
        parallel.callback(k)(recipe.steps + _SECOND_OPINION_STEPS, recipe.steps, [])
        return fitted, fitted.logits(held_out[k].embeddings) if k < count else np.zeros((0, LEVELS))

    heads = parallel.run(train_head, len(training))
    strength = kernel_ordinal.choose_strength(
        data.embeddings, data.scores, data.groups, seed, known=data.known
    )
    second_opinions = parallel.run(fit_second_opinion, len(training))
    out_of_fold = np.zeros(len(folds), dtype=np.float32)
    logits = np.zeros((len(folds), LEVELS))
    for fold in range(count):
        out_of_fold[folds == fold] = heads[fold].predictions
        logits[folds == fold] = second_opinions[fold][1]
    temperature = ordinal.best_temperature(logits, data.scores, data.known)
    return CrossFitResult(
        head=heads[-1].head,
        second_opinion=replace(second_opinions[-1][0], temperature=temperature),
        out_of_fold=out_of_fold,
        exceed=ordinal.probabilities(logits, temperature),
        folds=folds,
        curve=_with_validation_error(heads[-1].curve, heads[:-1]),
    )


class _ParallelTraining:
    """Trainings in threads that report their steps, summed, to one callback."""

    def __init__(self, count: int, steps: int, callback: Callback) -> None:
        self._done, self._total, self._callback = [0] * count, count * steps, callback
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def run(self, work: Callable[[int], Result], count: int) -> list[Result]:
        """Return `work` of 0 … count - 1; the first that raises ends the others at their next
        step."""
        with closing(parallel_map(work, range(count))) as results:
            try:
                return list(results)
            except BaseException as error:
                self._error = self._error or error
                raise

    def callback(self, k: int) -> Callback:
        """Return the callback of training `k`.

        The curve that is passed on is that of the first training while it grows, then that of the
        last one, which is on everything.
        """

        def on_step(step: int, _steps: int, curve: list[Point]) -> None:
            with self._lock:
                if self._error:
                    raise self._error
                self._done[k] = step
                shown = curve if k in (0, len(self._done) - 1) else []
                try:
                    self._callback(sum(self._done), self._total, shown)
                except BaseException as error:
                    self._error = error
                    raise

        return on_step


def _with_validation_error(curve: list[Point], fold_results: list[TrainResult]) -> list[Point]:
    """Return the kept head's curve with the folds' mean validation error, where all have one."""
    points: list[Point] = []
    for point in curve:
        errors = [
            other["held_out"]
            for result in fold_results
            for other in result.curve
            if other["step"] == point["step"] and other["held_out"] is not None
        ]
        mean = float(np.mean(errors)) if len(errors) == len(fold_results) else None
        points.append({"step": point["step"], "train": point["train"], "held_out": mean})
    return points
