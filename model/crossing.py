"""Training with proof: every scored image is also predicted by a head that has not seen it.

The folds come first and say what the recipe is worth; then one head, the one that is kept, learns
from everything. Nothing is set aside from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model import opinion, ordinal
from model.errors import ModelError
from model.folds import group_folds
from model.head import Head
from model.opinion import Opinion
from model.recipes import Attempt, HeldOut, Lesson, Point, Recipe

# watch(phase, done, total, curve): phase is "folds" or "head", done and total are steps.
WatchPhase = Callable[[str, int, int, list[Point]], None]


def unwatched(phase: str, done: int, total: int, curve: list[Point]) -> None:
    """For callers who don't watch."""


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


def cross_train(
    recipe: Recipe, lesson: Lesson, seed: int = 0, watch: WatchPhase = unwatched
) -> Outcome:
    """Train `recipe` on folds and on everything; the same seed gives the same outcome.

    Raises `ModelError` if all images are of one group: then none can be held out.
    """
    folds = group_folds(lesson.scores, lesson.groups, recipe.folds, seed)
    if len(np.unique(folds)) < 2:
        raise ModelError(
            "All scored images are one group or near-duplicates of one another; "
            "score a few different ones and train again."
        )
    strength = opinion.choose_strength(lesson.embeddings, lesson.scores, lesson.groups, seed)
    attempts, logits = _train_folds(recipe, lesson, folds, strength, seed=seed, watch=watch)
    out_of_fold = np.zeros(len(folds), dtype=np.float32)
    for fold, attempt in enumerate(attempts):
        out_of_fold[folds == fold] = attempt.said
    final = recipe.train(lesson, seed=seed, watch=lambda *seen: watch("head", *seen))
    temperature = ordinal.best_temperature(logits, lesson.scores)
    second = opinion.fit(lesson.embeddings, lesson.scores, strength, temperature, seed)
    return Outcome(
        head=final.head,
        opinion=second,
        out_of_fold=out_of_fold,
        exceed=ordinal.chances(logits, temperature),
        folds=folds,
        curve=_joined(final.curve, attempts),
    )


def _train_folds(
    recipe: Recipe,
    lesson: Lesson,
    folds: NDArray[np.int64],
    strength: float,
    *,
    seed: int,
    watch: WatchPhase,
) -> tuple[list[Attempt], NDArray[np.float64]]:
    """A head for each fold without it, and the second opinions' log odds (n, 10) without it."""
    count = int(folds.max()) + 1
    attempts, logits = [], np.zeros((len(folds), ordinal.LEVELS))
    for fold in range(count):
        out = folds == fold
        watch("folds", fold * recipe.steps, count * recipe.steps, [])
        known = lesson.only(~out)
        second = opinion.fit(known.embeddings, known.scores, strength, seed=seed)
        logits[out] = second.logits(lesson.embeddings[out])
        held_out = HeldOut(lesson.embeddings[out], lesson.scores[out])

        def seen(step: int, _steps: int, curve: list[Point], before: int = fold) -> None:
            watch("folds", before * recipe.steps + step, count * recipe.steps, curve)

        attempts.append(recipe.train(known, held_out, seed=seed + fold + 1, watch=seen))
    return attempts, logits


def _joined(curve: list[Point], attempts: list[Attempt]) -> list[Point]:
    """The kept head's curve with the folds' mean held-out error, where all of them have one."""
    found: list[Point] = []
    for point in curve:
        errors = [p["held_out"] for a in attempts for p in a.curve if p["step"] == point["step"]]
        known = [error for error in errors if error is not None]
        mean = float(np.mean(known)) if len(known) == len(attempts) else None
        found.append({"step": point["step"], "train": point["train"], "held_out": mean})
    return found
