"""How long the recipes take and how well they learn.

OPENBLAS_NUM_THREADS=1 python benchmarks/training.py   (as the product sets it for itself)

Made-up embeddings of CLIP's width: a score hides in a few of sixty directions, under noise, and
half of the collection is kept from everything. The original recipe's time is measured over some
steps and multiplied, since all of it takes half an hour.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from measuring import machine, timed
from scipy.stats import spearmanr

from model import ordinal
from model.crossing import cross_train
from model.head import predict
from model.original import Original, plain
from model.quick import Quick, fit_many
from model.ranking import expected_score
from model.recipes import Lesson


def collection(images: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings (images, width) and hand scores 0–10, mostly low, not quite linear."""
    draw, world = np.random.default_rng(seed), np.random.default_rng(7)
    hidden = draw.normal(size=(images, 60))
    mixing, centre = world.normal(size=(60, width)) / 8, world.normal(size=width) / 2
    embeddings = hidden @ mixing + 0.3 * draw.normal(size=(images, width)) + centre
    taste = 1.5 * hidden[:, 0] + hidden[:, 1] + np.maximum(hidden[:, 2], 0) * hidden[:, 3]
    scores = 3.5 + 1.6 * taste + 0.7 * draw.normal(size=images)
    return embeddings.astype(np.float32), np.clip(np.round(scores), 0, 10)


def agreement(said: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean absolute error (0–1) and rank correlation."""
    return float(np.abs(said - truth / 10).mean()), float(spearmanr(said, truth).statistic)


def _mean_and_spread(cell: np.ndarray) -> str:
    return "" if np.isnan(cell).any() else f"{cell.mean():.3f} ± {cell.std():.3f}"


def one_seed(images: int, width: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Seconds, error and rank correlation on new images, by what was trained."""
    embeddings, scores = collection(2 * images, width, seed)
    known, new, truth = embeddings[:images], embeddings[images:], scores[images:]
    given, groups = scores[:images], np.arange(images)
    lesson = Lesson(known, given, groups)
    rows: dict[str, tuple[float, float, float]] = {}
    seconds, regression = timed(lambda: regressed(lesson, seed))
    said = ordinal.as_scores(regression.logits(new), lesson.threshold)
    rows["ordinal regression alone"] = (seconds, *agreement(said, truth))
    seconds, attempt = timed(lambda: Quick().train(lesson, seed=seed))
    rows["quick, one head"] = (seconds, *agreement(predict(attempt.head, new), truth))
    seconds, outcome = timed(lambda: cross_train(Quick(), lesson, seed))
    rows["quick, with out-of-fold"] = (seconds, *agreement(predict(outcome.head, new), truth))
    rows["  its out-of-fold figures"] = (float("nan"), *agreement(outcome.out_of_fold, given))
    said = expected_score(outcome.opinion.exceed(new))
    rows["  its second opinion's mean"] = (float("nan"), *agreement(said, truth))
    seconds, attempt = timed(lambda: plain().train(lesson, seed=seed))
    rows["plain, one head"] = (seconds, *agreement(predict(attempt.head, new), truth))
    middle = np.full(len(truth), np.median(given) / 10)
    rows["always the median score"] = (0.0, float(np.abs(middle - truth / 10).mean()), 0.0)
    return rows


def regressed(lesson: Lesson, seed: int) -> ordinal.Ordinal:
    """The regression that `quick` writes into its head, its strength chosen in the same way."""
    strength = ordinal.choose_strength(
        lesson.embeddings, lesson.scores, lesson.groups, fit_many, seed
    )
    inputs = ordinal.Inputs(lesson.embeddings)
    return inputs.ordinal(ordinal.fit(inputs.values, lesson.scores, strength))


def original_seconds(images: int, width: int, steps: int) -> float:
    """Seconds for the whole original recipe, from `steps` measured steps after a warm-up."""
    lesson = Lesson(*collection(images, width, 0), np.arange(images))
    replace(Original(), steps=20).train(lesson)
    seconds, _ = timed(lambda: replace(Original(), steps=steps).train(lesson))
    return seconds / steps * Original().steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3080)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--original-steps", type=int, default=500)
    asked = parser.parse_args()
    print(f"{asked.images} x {asked.width}, {asked.seeds} seeds; {machine()}")
    runs = [one_seed(asked.images, asked.width, seed) for seed in range(asked.seeds)]
    print(f"{'':28}{'seconds':>16}{'error of 10':>16}{'rank corr.':>16}")
    for name in runs[0]:
        cells = zip(*(run[name] for run in runs), strict=True)
        scaled = [np.array(cell) * unit for unit, cell in zip((1, 10, 1), cells, strict=True)]
        told = [_mean_and_spread(cell) for cell in scaled]
        print(f"{name:28}" + "".join(f"{cell:>16}" for cell in told))
    whole = original_seconds(asked.images, asked.width, asked.original_steps)
    print(
        f"original, one head: {whole:.0f} s for {Original().steps:,} steps "
        f"(extrapolated from {asked.original_steps} measured ones)"
    )


if __name__ == "__main__":
    main()
