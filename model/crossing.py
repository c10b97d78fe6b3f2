"""Training with proof: every scored image is also predicted by a head that has not seen it.

The folds come first. Their held-out errors say how long to train; then one head, the one that is
kept, learns from everything for that long. Nothing is set aside from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model import opinion
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
class Scored:
    """Scored images, row by row: raw embeddings (n, width), hand scores (n,) 0–10, group numbers
    (n,) of what must not be parted; `unscored` raw embeddings (m, width), m may be 0.
    """

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float64]
    groups: NDArray[np.int64]
    unscored: NDArray[np.float32]
    threshold: float = 0.5

    def lesson(self, rows: NDArray[np.bool_], strength: float) -> Lesson:
        """What is to be learnt from `rows` (n,) alone."""
        embeddings, scores = self.embeddings[rows], self.scores[rows]
        taught = opinion.fit(embeddings, scores, strength)
        return Lesson(embeddings, scores, taught, self.unscored, self.threshold)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The head and second opinion of all scored images, and what was said of each without it.

    `out_of_fold` (n,) 0–1 and `exceed` (n, 10) by fits without the image's own fold, `folds` (n,).
    """

    head: Head
    opinion: Opinion
    out_of_fold: NDArray[np.float32]
    exceed: NDArray[np.float32]
    folds: NDArray[np.int64]
    curve: list[Point]
    steps: int


def cross_train(
    recipe: Recipe, scored: Scored, seed: int = 0, watch: WatchPhase = unwatched
) -> Outcome:
    """Train `recipe` on folds and on everything; the same seed gives the same outcome.

    Raises `ModelError` if all images are of one group: then none can be held out.
    """
    folds = group_folds(scored.scores, scored.groups, recipe.folds, seed)
    if len(np.unique(folds)) < 2:
        raise ModelError(
            "All scored images are one group or near-duplicates of one another; "
            "score a few different ones and train again."
        )
    strength = opinion.choose_strength(scored.embeddings, scored.scores, scored.groups, seed)
    attempts, logits = _train_folds(recipe, scored, folds, strength, seed=seed, watch=watch)
    steps = _best_step(attempts) if recipe.stops_early else recipe.steps
    out_of_fold = np.zeros(len(folds), dtype=np.float32)
    for fold, attempt in enumerate(attempts):
        out_of_fold[folds == fold] = attempt.said[steps]
    lesson = scored.lesson(np.ones(len(folds), dtype=bool), strength)
    final = recipe.train(lesson, steps=steps, seed=seed, watch=lambda *seen: watch("head", *seen))
    temperature = opinion.best_temperature(logits, scored.scores)
    return Outcome(
        head=final.head,
        opinion=opinion.calibrated(lesson.opinion, temperature),
        out_of_fold=out_of_fold,
        exceed=opinion.chances(logits, temperature),
        folds=folds,
        curve=_joined(final.curve, attempts),
        steps=steps,
    )


def _train_folds(
    recipe: Recipe,
    scored: Scored,
    folds: NDArray[np.int64],
    strength: float,
    *,
    seed: int,
    watch: WatchPhase,
) -> tuple[list[Attempt], NDArray[np.float64]]:
    """A head for each fold without it, and the second opinions' log odds (n, 10) without it."""
    count = int(folds.max()) + 1
    attempts, logits = [], np.zeros((len(folds), opinion.LEVELS))
    for fold in range(count):
        out = folds == fold
        watch("folds", fold * recipe.steps, count * recipe.steps, [])
        lesson = scored.lesson(~out, strength)
        logits[out] = lesson.opinion.logits(scored.embeddings[out])
        held_out = HeldOut(scored.embeddings[out], scored.scores[out])

        def seen(step: int, _steps: int, curve: list[Point], before: int = fold) -> None:
            watch("folds", before * recipe.steps + step, count * recipe.steps, curve)

        attempts.append(recipe.train(lesson, held_out, seed=seed + fold + 1, watch=seen))
    return attempts, logits


def _best_step(attempts: list[Attempt]) -> int:
    """The step that all folds reached at which their mean held-out error was least."""
    curves = [{p["step"]: p["held_out"] for p in attempt.curve} for attempt in attempts]
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    means = {step: np.mean([curve[step] for curve in curves]) for step in shared}
    return min(shared, key=lambda step: float(means[step]))


def _joined(curve: list[Point], attempts: list[Attempt]) -> list[Point]:
    """The kept head's curve with the folds' mean held-out error, where all of them have one."""
    found: list[Point] = []
    for point in curve:
        errors = [p["held_out"] for a in attempts for p in a.curve if p["step"] == point["step"]]
        known = [error for error in errors if error is not None]
        mean = float(np.mean(known)) if len(known) == len(attempts) else None
        found.append({"step": point["step"], "train": point["train"], "held_out": mean})
    return found
