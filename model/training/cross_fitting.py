"""Training with proof: every scored image is also predicted by a head that has not seen it.

The folds say what the recipe is worth; one more head, the one that is kept, learns from everything.
Nothing is set aside from it. All of them are trained side by side, each on a core of its own.
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
from model.estimators.kernel_ordinal import Opinion
from model.estimators.ordinal import LEVELS
from model.heads.head import Head
from model.threads import shared_out
from model.training.recipe import Attempt, HeldOut, Lesson, Point, Recipe, Watch, unwatched

# What fitting a second opinion counts for beside the steps of a recipe: a third of `quick`.
_OPINION_STEPS = 10
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The head and second opinion of all scored images, and what was said of each without it.

    `out_of_fold` (n,) 0–1 and `exceed` (n, 10) by fits without the image's own fold, `folds` (n,).
    Only two numbers of the second opinion, its strength and temperature, are chosen on all images.
    """

    head: Head
    opinion: Opinion
    out_of_fold: NDArray[np.float32]
    exceed: NDArray[np.float32]
    folds: NDArray[np.int64]
    curve: list[Point]


def cross_train(recipe: Recipe, lesson: Lesson, seed: int = 0, watch: Watch = unwatched) -> Outcome:
    """Train `recipe` on folds and on everything; the same seed gives the same outcome.

    `watch` is called by one thread at a time; what it raises ends all of them and is raised here.
    Raises `ModelError` if all images are of one group: then none can be held out.
    """
    folds = group_folds(lesson.scores, lesson.groups, recipe.folds, seed)
    count = int(folds.max(initial=0)) + 1
    if count < 2:
        raise ModelError(
            "All scored images are one group or near-duplicates of one another; "
            "score a few different ones and train again."
        )
    # Those without a fold, and last the one of everything, which has nothing held out.
    parts = [lesson.only(folds != fold) for fold in range(count)] + [lesson]
    unseen = [lesson.only(folds == fold) for fold in range(count)]
    side = _SideBySide(len(parts), recipe.steps + _OPINION_STEPS, watch)

    def head(k: int) -> Attempt:
        held_out = HeldOut(unseen[k].embeddings, unseen[k].scores) if k < count else None
        its_seed = seed + k + 1 if k < count else seed
        return recipe.train(parts[k], held_out, seed=its_seed, watch=side.follower(k))

    def second(k: int) -> tuple[Opinion, NDArray[np.float64]]:
        made = kernel_ordinal.fit(parts[k].embeddings, parts[k].scores, strength, seed=seed)
        side.follower(k)(recipe.steps + _OPINION_STEPS, recipe.steps, [])
        return made, made.logits(unseen[k].embeddings) if k < count else np.zeros((0, LEVELS))

    attempts = side.run(head, len(parts))
    strength = kernel_ordinal.choose_strength(lesson.embeddings, lesson.scores, lesson.groups, seed)
    seconds = side.run(second, len(parts))
    out_of_fold = np.zeros(len(folds), dtype=np.float32)
    logits = np.zeros((len(folds), LEVELS))
    for fold in range(count):
        out_of_fold[folds == fold] = attempts[fold].said
        logits[folds == fold] = seconds[fold][1]
    temperature = ordinal.best_temperature(logits, lesson.scores)
    return Outcome(
        head=attempts[-1].head,
        opinion=replace(seconds[-1][0], temperature=temperature),
        out_of_fold=out_of_fold,
        exceed=ordinal.chances(logits, temperature),
        folds=folds,
        curve=_joined(attempts[-1].curve, attempts[:-1]),
    )


class _SideBySide:
    """Trainings in threads, and how far all of them are: `watch` hears of it from one at a time."""

    def __init__(self, count: int, steps: int, watch: Watch) -> None:
        self.done, self.total, self.watch = [0] * count, count * steps, watch
        self.lock = threading.Lock()
        self.ended: BaseException | None = None

    def run(self, work: Callable[[int], Result], count: int) -> list[Result]:
        """`work` of 0 … count - 1; the first that raises ends the others at their next step."""
        with closing(shared_out(work, range(count))) as results:
            try:
                return list(results)
            except BaseException as error:
                self.ended = self.ended or error
                raise

    def follower(self, k: int) -> Watch:
        """The watch of training `k`. The curve that is handed on is that of the first one while it
        grows, then that of the last, the one of everything.
        """

        def follow(step: int, _steps: int, curve: list[Point]) -> None:
            with self.lock:
                if self.ended:
                    raise self.ended
                self.done[k] = step
                shown = curve if k in (0, len(self.done) - 1) else []
                try:
                    self.watch(sum(self.done), self.total, shown)
                except BaseException as error:
                    self.ended = error
                    raise

        return follow


def _joined(curve: list[Point], attempts: list[Attempt]) -> list[Point]:
    """The kept head's curve with the folds' mean held-out error, where all of them have one."""
    found: list[Point] = []
    for point in curve:
        errors = [p["held_out"] for a in attempts for p in a.curve if p["step"] == point["step"]]
        known = [error for error in errors if error is not None]
        mean = float(np.mean(known)) if len(known) == len(attempts) else None
        found.append({"step": point["step"], "train": point["train"], "held_out": mean})
    return found
