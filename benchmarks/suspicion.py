"""Wrong hand scores: how high our ranking puts them, against cleanlab's and the plain residual.

    pip install -e '.[bench]'
    python benchmarks/suspicion.py LABELS.csv --images DIR [--seeds 8] [--share 0.05]

A share of the scores is moved by 3 points or more, to any whole score that far away. Every rule
then ranks all scores by suspicion; its figure is the average precision with which the moved ones
come first. Cleanlab's `CleanLearning` for regression is given several models, raw embeddings for
its own default and unit-length ones for the tuned; what it reaches with the best of them counts.
Besides the collection as it is: twice the share, half of the groups, and made-up tastes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from cleanlab.regression.learn import CleanLearning
from paired import Floats, arguments, by_seed, collection, with_interval
from scipy.stats import beta
from sklearn.base import RegressorMixin
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from labeler.review.simulation.simulate import LabelledData
from model.estimators.kernels import median_distance, normalize
from model.review import suspicion
from model.training.cross_fitting import cross_fit
from model.training.recipe import TrainingData
from model.training.recipes import recipe_named

STRENGTHS = np.logspace(-2, 1, 7)  # of ridge, on embeddings of unit length
FARTHER = 3  # points that a wrong score is off, at least


@dataclass(frozen=True, slots=True)
class Setting:
    title: str
    share: float  # of the scores is moved
    groups: float = 1.0  # share of the groups that is used
    made_up: bool = False  # the scores of a random smooth taste instead of the person's


def moved(scores: Floats, share: float, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Scores (n,) with some far off, and which ones those are (n,)."""
    wrong = np.zeros(len(scores), dtype=bool)
    wrong[draw.choice(len(scores), max(1, round(share * len(scores))), replace=False)] = True
    changed = scores.copy()
    for row in np.flatnonzero(wrong):
        far = [k for k in range(11) if abs(k - scores[row]) >= FARTHER]
        changed[row] = draw.choice(far)
    return changed, wrong


def taste(embeddings: Floats, draw: np.random.Generator) -> Floats:
    """Whole scores (n,) 0–10 by a smooth random function of the embeddings, and some noise.

    Half of it is bent (random Fourier features), half straight, over the 40 main directions; the
    scores follow a random beta distribution, with a spread of 0.8 points from one sitting to the
    next.
    """
    centred = embeddings - embeddings.mean(axis=0)
    turned, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    inputs = turned[:, :40] * sizes[:40]
    inputs /= np.sqrt((inputs**2).sum(axis=1).mean())
    directions, phases = (
        draw.normal(0, 1.5, (inputs.shape[1], 200)),
        draw.uniform(0, 2 * np.pi, 200),
    )
    bent = np.cos(inputs @ directions + phases) @ draw.normal(size=200)
    straight = inputs @ draw.normal(size=inputs.shape[1])
    liking = bent / bent.std() + 0.8 * straight / straight.std()
    place = (np.argsort(np.argsort(liking)) + 0.5) / len(liking)
    wanted = 10 * beta.ppf(place, *draw.uniform(0.6, 2, 2))
    return np.clip(np.round(wanted + draw.normal(0, 0.8, len(wanted))), 0, 10)


def drawn(data: LabelledData, setting: Setting, draw: np.random.Generator) -> LabelledData:
    names = np.unique(data.groups)
    kept = np.isin(data.groups, draw.permutation(names)[: round(setting.groups * len(names))])
    some = data.take(kept)
    return (
        replace(some, scores=taste(normalize(some.embeddings).astype(np.float64), draw))
        if setting.made_up
        else some
    )


def by_product(data: LabelledData, scores: Floats) -> dict[str, Floats]:
    """The product's ranking and those that its parts would give, by out-of-fold predictions."""
    made = cross_fit(recipe_named("quick"), TrainingData(data.embeddings, scores, data.groups))
    said, exceed = made.out_of_fold.astype(np.float64), made.exceed.astype(np.float64)
    expected = suspicion.expected_score(exceed)
    return {
        "**ours**": suspicion.hand_score_suspicion(said, scores / 10, exceed),
        "out-of-fold residual of the head": np.abs(said - scores / 10),
        "out-of-fold residual of the second opinion": np.abs(expected - scores / 10),
    }


def by_ridge(data: LabelledData, scores: Floats) -> dict[str, Floats]:
    told = cross_val_predict(
        RidgeCV(STRENGTHS), normalize(data.embeddings), scores, groups=data.groups, cv=GroupKFold(5)
    )
    return {"out-of-fold residual of ridge": np.abs(told - scores)}


def by_cleanlab(data: LabelledData, scores: Floats, seed: int) -> dict[str, Floats]:
    """1 - label quality of `CleanLearning` with each of its models; it knows no groups."""
    units = normalize(data.embeddings).astype(np.float64)
    models: dict[str, tuple[RegressorMixin | None, Floats]] = {
        "its default": (None, data.embeddings.astype(np.float64)),
        "ridge": (Ridge(), data.embeddings.astype(np.float64)),
        "tuned ridge": (RidgeCV(STRENGTHS), units),
        "kernel ridge": (
            KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / median_distance(units) ** 2),
            units,
        ),
    }
    found = {}
    for name, (model, inputs) in models.items():
        # It draws its folds from numpy's global state.
        np.random.seed(seed)
        # Kernel ridge has no intercept.
        issues = CleanLearning(model=model, seed=seed).find_label_issues(
            inputs, scores - scores.mean()
        )
        found[f"cleanlab, {name}"] = 1 - issues["label_quality"].to_numpy()
    return found


def figures(data: LabelledData, setting: Setting, seed: int) -> dict[str, float]:
    draw = np.random.default_rng([seed, 7])
    some = drawn(data, setting, draw)
    scores, wrong = moved(some.scores, setting.share, draw)
    rules = by_product(some, scores) | by_ridge(some, scores) | by_cleanlab(some, scores, seed)
    return {name: float(average_precision_score(wrong, each)) for name, each in rules.items()}


def table(found: dict[str, dict[str, Floats]]) -> str:
    """Settings (columns) by rules (rows), and ours against the best of cleanlab's models."""
    titles, names = list(found), list(next(iter(found.values())))
    lines = ["| average precision | " + " | ".join(titles) + " |", "|" + "---|" * (len(titles) + 1)]
    for name in names:
        cells = [f"{found[title][name].mean():.3f}" for title in titles]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    gains = []
    for title in titles:
        best = max((n for n in names if "cleanlab" in n), key=lambda n: found[title][n].mean())
        gains.append(with_interval(found[title]["**ours**"] - found[title][best]))
    return "\n".join([*lines, "| **ours − best of cleanlab** | " + " | ".join(gains) + " |"])


def main() -> None:
    asked = arguments(__doc__.splitlines()[0], seeds=8)
    asked.add_argument("--share", type=float, default=0.05)
    given = asked.parse_args()
    data = collection(given)
    settings = (
        Setting(f"{given.share:.0%} moved", given.share),
        Setting(f"{2 * given.share:.0%} moved", 2 * given.share),
        Setting(f"{given.share:.0%}, half of the groups", given.share, groups=0.5),
        Setting(f"{given.share:.0%}, made-up tastes", given.share, made_up=True),
    )
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="sklearn")
    found = {}
    for setting in settings:
        found[setting.title] = by_seed(partial(figures, data, setting), given.seeds)
    print(f"{len(data.scores)} images, {given.seeds} seeds; 95 % intervals over the seeds\n")
    print(table(found))


if __name__ == "__main__":
    main()
