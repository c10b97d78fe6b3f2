"""The exported head against simple models on the same embeddings, judged on withheld groups.

    pip install -e '.[bench]'
    python benchmarks/heads.py LABELS.csv --images DIR [--seeds 10] [--scored 150 390]

A head that a plain model beats is trained wrong. For every seed a quarter of the groups is
withheld; from everything else, and from so many images of it drawn at random, is learnt. The simple
models read embeddings of unit length and are tuned within what is learnt from, by folds of whole
groups. For every figure the head is compared with whichever of them does best at it by the mean
over the seeds: it competes with a choice made in hindsight. At other thresholds than 0.5 the head
and the logistic regression are trained for that threshold; regressions stay the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from paired import Floats, arguments, by_seed, collection, with_interval
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR

from labeler.review.simulation.simulate import LabelledData
from model.estimators import kernel_ordinal, ordinal
from model.estimators.group_folds import group_folds
from model.estimators.kernels import median_distance, normalize
from model.heads.head import predict
from model.passing import passes
from model.review import suspicion
from model.training.recipe import TrainingData
from model.training.recipes import recipe_named

THRESHOLDS = (0.5, 0.3, 0.7)
WITHHELD = 0.25  # of the groups
FOLDS = 3  # of tuning
GP_TUNED_ON = 400  # images; its hyperparameters hardly depend on their number, its time does
LEAST = {"MAE"}  # figures of which less is better
Figures = dict[str, float]


def parted(groups: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows in random order that are learnt from, and those of the groups that are withheld."""
    draw = np.random.default_rng([seed, 3])
    names = draw.permutation(np.unique(groups))
    closed = np.isin(groups, names[: round(WITHHELD * len(names))])
    return draw.permutation(np.flatnonzero(~closed)), np.flatnonzero(closed)


def judged(said: Floats, truth: Floats, chances: dict[float, Floats] | None = None) -> Figures:
    """Figures of predictions (n,) 0–1; `chances` (n,) to pass a threshold, where they differ."""
    found = {"MAE": float(np.abs(np.clip(said, 0, 1) - truth).mean())}
    found["rank correlation"] = float(spearmanr(said, truth).statistic)
    return found | passing(chances or dict.fromkeys(THRESHOLDS, said), truth)


def passing(chances: dict[float, Floats], truth: Floats) -> Figures:
    return {
        f"AP at {threshold}": float(average_precision_score(passes(truth, threshold), said))
        for threshold, said in chances.items()
    }


def regressions(training_data: TrainingData, others: NDArray[np.float32]) -> dict[str, Floats]:
    """What the tuned simple models predict, 0–1, for `others` (m, width)."""
    known, asked = (
        normalize(each).astype(np.float64) for each in (training_data.embeddings, others)
    )
    truth, near = training_data.scores / 10, 1 / median_distance(known) ** 2
    widths, middle = [near / 2, near, 2 * near], truth.mean()
    ridge = tuned(Ridge(), {"alpha": np.logspace(-2, 1, 7)}, known, truth, training_data.groups)
    kernel = tuned(
        KernelRidge(kernel="rbf"),
        {"alpha": [0.03, 0.1, 0.3], "gamma": widths},
        known,
        truth - middle,  # it has no intercept
        training_data.groups,
    )
    machine = tuned(
        SVR(epsilon=0.05), {"C": [0.3, 1, 3], "gamma": widths}, known, truth, training_data.groups
    )
    neighbours = tuned(
        KNeighborsRegressor(weights="distance"),
        {"n_neighbors": [3, 5, 10, 20]},
        known,
        truth,
        training_data.groups,
    )
    return {
        "ridge": ridge.predict(asked),
        "Gaussian process": gaussian_process(known, truth, near).predict(asked),
        "kernel ridge": kernel.predict(asked) + middle,
        "SVR": machine.predict(asked),
        "kNN": neighbours.predict(asked),
    }


def tuned(
    model: BaseEstimator,
    choices: Mapping[str, Sequence[float] | Floats],
    known: Floats,
    truth: NDArray[np.generic],
    groups: NDArray[np.int64],
    *,
    scoring: str = "neg_mean_squared_error",
) -> GridSearchCV:
    folds = GroupKFold(FOLDS).split(known, truth, groups)
    return GridSearchCV(model, choices, scoring=scoring, cv=list(folds)).fit(known, truth)


def gaussian_process(known: Floats, truth: Floats, near: float) -> GaussianProcessRegressor:
    kernel = ConstantKernel() * RBF(near**-0.5) + WhiteKernel(0.1)
    some = slice(None, GP_TUNED_ON)
    first = GaussianProcessRegressor(kernel, normalize_y=True).fit(known[some], truth[some])
    return GaussianProcessRegressor(first.kernel_, optimizer=None, normalize_y=True).fit(
        known, truth
    )


def logistic(training_data: TrainingData, others: NDArray[np.float32]) -> dict[float, Floats]:
    """Chances to pass each threshold, by a logistic regression tuned for log loss."""
    known, asked = (
        normalize(each).astype(np.float64) for each in (training_data.embeddings, others)
    )
    found = {}
    for threshold in THRESHOLDS:
        passed = passes(training_data.scores / 10, threshold)
        model = LogisticRegression(max_iter=2000)
        choices = {"C": [1.0, 3.0, 10.0, 30.0, 100.0]}
        best = tuned(model, choices, known, passed, training_data.groups, scoring="neg_log_loss")
        found[threshold] = best.predict_proba(asked)[:, 1]
    return found


def head(
    training_data: TrainingData, others: NDArray[np.float32], seed: int
) -> dict[float, Floats]:
    """What the product's head says, trained for each threshold."""
    recipe, found = recipe_named("quick"), {}
    for threshold in THRESHOLDS:
        mine = TrainingData(
            training_data.embeddings, training_data.scores, training_data.groups, threshold
        )
        made = recipe.train(mine, seed=seed)
        found[threshold] = predict(made.head, others).astype(np.float64)
    return found


def second_opinion(training_data: TrainingData, others: NDArray[np.float32], seed: int) -> Floats:
    """The second opinion's P(score >= k), (m, 10), calibrated out of fold as in a training."""
    embeddings, scores, groups = (
        training_data.embeddings,
        training_data.scores,
        training_data.groups,
    )
    strength = kernel_ordinal.choose_strength(embeddings, scores, groups, seed)
    folds, logits = group_folds(scores, groups, seed=seed), np.zeros((len(scores), ordinal.LEVELS))
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        unseen = kernel_ordinal.fit(embeddings[~out], scores[~out], strength, seed=seed)
        logits[out] = unseen.logits(embeddings[out])
    temperature = ordinal.best_temperature(logits, scores)
    made = kernel_ordinal.fit(embeddings, scores, strength, temperature, seed)
    return made.exceed(others).astype(np.float64)


def figures(data: LabelledData, scored: int | None, seed: int) -> dict[str, float]:
    """All figures by "model: figure", learnt from `scored` images or from all that may be."""
    opened, withheld = parted(data.groups, seed)
    rows, others = opened[:scored], data.embeddings[withheld]
    truth = data.scores[withheld] / 10
    training_data = TrainingData(data.embeddings[rows], data.scores[rows], data.groups[rows])
    found = {name: judged(said, truth) for name, said in regressions(training_data, others).items()}
    found["logistic"] = passing(logistic(training_data, others), truth)
    exceed = second_opinion(training_data, others, seed)
    chances = {each: suspicion.chance_by_second_opinion(exceed, each) for each in THRESHOLDS}
    found["second opinion"] = judged(suspicion.expected_score(exceed), truth, chances)
    said = head(training_data, others, seed)
    found["**head**"] = judged(said[0.5], truth, said)
    return {f"{model}: {name}": v for model, each in found.items() for name, v in each.items()}


def table(found: dict[str, Floats]) -> str:
    """Models (rows) by figures (columns), then the head less the best of the simple ones."""
    models = list(dict.fromkeys(key.split(": ")[0] for key in found))
    names = list(dict.fromkeys(key.split(": ")[1] for key in found))
    lines = ["| withheld images | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    for model in models:
        means = [found.get(f"{model}: {name}") for name in names]
        cells = ["–" if each is None else f"{each.mean():.3f}" for each in means]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    simple = [model for model in models if model not in ("second opinion", "**head**")]
    gains = [gain(found, name, simple) for name in names]
    return "\n".join([*lines, "| **head − best simple** | " + " | ".join(gains) + " |"])


def gain(found: dict[str, Floats], name: str, simple: list[str]) -> str:
    sign = -1 if name in LEAST else 1
    able = [model for model in simple if f"{model}: {name}" in found]
    best = max(able, key=lambda model: sign * found[f"{model}: {name}"].mean())
    paired = found[f"**head**: {name}"] - found[f"{best}: {name}"]
    return f"{with_interval(paired)}, {best}"


def main() -> None:
    asked = arguments(__doc__.splitlines()[0], seeds=10)
    asked.add_argument("--scored", type=int, nargs="*", default=[150, 390], metavar="N")
    given = asked.parse_args()
    data = collection(given)
    # A hyperparameter at its bound, or a few steps too few, is no reason to end.
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{len(data.scores)} images, {given.seeds} seeds; 95 % intervals over the seeds\n")
    for scored in [*given.scored, None]:
        found = by_seed(partial(figures, data, scored), given.seeds)
        print(f"Learnt from {scored or 'all that are not withheld'}:\n\n{table(found)}\n")


if __name__ == "__main__":
    main()
