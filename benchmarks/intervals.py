"""How often the intervals of a version's figures hold the truth, after scoring at random.

    python benchmarks/intervals.py LABELS.csv --images DIR [--seeds 200] [--regression]

For each seed so many images are scored at random and a version is trained as `labeler train` does.
The figures are taken out of fold; the truth is what the kept head reaches on all images of groups
that nobody scored. Two collections: the labelled one, and a made-up one of 6,000 images, in which
the truth is known nearly exactly. In the labelled one it has an error of its own, which is added to
the interval. Also measured: how often five positives in sixty are spread evenly over the folds,
which strength the second opinion chooses, what the cards say of their chance to be wrong, and by
how much the worst slices are exaggerated. `--kept` keeps what was trained, so that only the
intervals are computed again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many trainings as cores, each in one thread
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from paired import Floats, arguments, collection

from labeler.review.simulation.simulate import LabelledData
from model.estimators import ordinal
from model.estimators.group_folds import group_folds
from model.evaluation import metrics
from model.evaluation.metrics import Figure
from model.evaluation.slices import slices
from model.heads.head import predict
from model.passing import passes
from model.review import suspicion
from model.training.cross_fitting import cross_fit
from model.training.quick import STRENGTH
from model.training.recipe import TrainingData
from model.training.recipes import recipe_named

THRESHOLD = 0.5
SCORED = (60, 150, 390)
FOLDS = 5
WITHHELD = 0.4  # of the groups
MADE_UP, WIDTH, CLUSTERS = 6000, 64, 80  # images, values of an embedding, clusters

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One version: the rows it was trained on, its predictions out of fold, and for everything."""

    rows: Ids  # (n,)
    out_of_fold: NDArray[np.float32]  # (n,)
    predictions: NDArray[np.float32]  # (everything,)
    opinion_out_of_fold: NDArray[np.float32] | None = None  # (n, 10)
    opinion: NDArray[np.float32] | None = None  # (everything, 10)
    strength: float | None = None


How = Callable[[LabelledData, int, int], Played]


def made_up(seed: int = 0) -> LabelledData:
    """Images in clusters, some in groups of near-duplicates, scored by a bent taste; 22 % pass."""
    draw = np.random.default_rng([seed, 17])
    groups = np.repeat(np.arange(MADE_UP), 1 + draw.poisson(0.25, MADE_UP))[:MADE_UP]
    centres = draw.normal(0, 1, (CLUSTERS, WIDTH))
    cluster = draw.choice(CLUSTERS, MADE_UP, p=draw.dirichlet(np.full(CLUSTERS, 2.0)))
    places = centres[cluster] + 0.7 * draw.normal(size=(MADE_UP, WIDTH))  # of the groups
    embeddings = places[groups] + 0.1 * draw.normal(size=(MADE_UP, WIDTH))
    straight = embeddings @ draw.normal(size=WIDTH)
    bent = np.cos(embeddings @ draw.normal(0, 0.12, (WIDTH, 100)) + draw.uniform(0, 6.3, 100))
    bent = bent @ draw.normal(size=100)
    liking = straight / straight.std() + bent / bent.std() + 0.5 * draw.normal(size=MADE_UP)
    place = (np.argsort(np.argsort(liking)) + 0.5) / MADE_UP
    scores = np.clip(np.round(10.5 * place**2 - 0.9 + 0.5 * draw.normal(size=MADE_UP)), 0, 10)
    hashes = np.zeros(MADE_UP, dtype=np.uint64)
    return LabelledData(embeddings.astype(np.float32), scores, groups, hashes)


def parted(groups: Ids, seed: int) -> tuple[Ids, Ids]:
    """Rows in random order that may be scored, and those of the groups that nobody is offered."""
    draw = np.random.default_rng([seed, 5])
    names = draw.permutation(np.unique(groups))
    closed = np.isin(groups, names[: round(WITHHELD * len(names))])
    return draw.permutation(np.flatnonzero(~closed)), np.flatnonzero(closed)


def play(data: LabelledData, scored: int, seed: int) -> Played:
    """Train a version as the product does: two seconds."""
    rows = parted(data.groups, seed)[0][:scored]
    training_data = TrainingData(
        data.embeddings[rows], data.scores[rows], data.groups[rows], THRESHOLD
    )
    made = cross_fit(recipe_named("quick"), training_data, seed)
    return Played(
        rows,
        made.out_of_fold,
        predict(made.head, data.embeddings),
        made.exceed,
        made.second_opinion.exceed(data.embeddings),
        made.second_opinion.strength,
    )


def play_regression(data: LabelledData, scored: int, seed: int) -> Played:
    """Train the regression of `quick` alone, on the same folds: a tenth of a second."""
    rows = parted(data.groups, seed)[0][:scored]
    embeddings, scores = data.embeddings[rows], data.scores[rows]
    folds = group_folds(scores, data.groups[rows], FOLDS, seed, THRESHOLD)

    def fit(some: NDArray[np.bool_]) -> ordinal.Ordinal:
        inputs = ordinal.Inputs(embeddings[some])
        return inputs.ordinal(ordinal.fit(inputs.values, scores[some], STRENGTH))

    out_of_fold = np.zeros(scored)
    for fold in range(FOLDS):
        held_out = folds == fold
        logits = fit(~held_out).logits(embeddings[held_out])
        out_of_fold[held_out] = ordinal.to_scores(logits, THRESHOLD)
    logits = fit(np.ones(scored, dtype=bool)).logits(data.embeddings)
    predictions = ordinal.to_scores(logits, THRESHOLD)
    return Played(rows, out_of_fold.astype(np.float32), predictions.astype(np.float32))


def played(
    data: LabelledData, files: str, scored: int, seeds: int, how: How = play
) -> Iterator[Played]:
    """Play each seed, or read what was played before."""
    for seed in range(seeds):
        file = Path(f"{files}-{how.__name__}-{scored}-{seed}.npz")
        if file.exists():
            with np.load(file) as found:
                yield Played(**{key: found[key] for key in found})
            continue
        made = how(data, scored, seed)
        parts = {name: getattr(made, name) for name in Played.__slots__}
        np.savez(file, **{name: each for name, each in parts.items() if each is not None})
        yield made


def judged(predictions: Floats, scores: Floats, groups: Ids) -> dict[str, Figure]:
    """The figures as the pages show them, the false positives as a share of all images."""
    found = metrics.measure(predictions, scores / 10, THRESHOLD, groups)
    count = found["false_positives"]
    found["false_positives"] = {
        end: None if value is None else value / len(scores) for end, value in count.items()
    }
    return found


def covers(told: Figure, truth: Figure) -> float:
    """1 if the interval holds the truth, which has an error of its own; NaN without one."""
    if told["value"] is None or truth["value"] is None:
        return np.nan
    off = truth["value"] - told["value"]
    side, other = ("high", "low") if off > 0 else ("low", "high")
    reach = np.hypot(told[side] - told["value"], truth[other] - truth["value"])
    return float(abs(off) <= reach)


def coverage(data: LabelledData, files: str, seeds: int, how: How) -> None:
    print("\n| scored | figure | covered | truth less told | half width |\n|---|---|---|---|---|")
    for scored in SCORED:
        rows: dict[str, list[tuple[float, float, float]]] = {}
        for seed, one in enumerate(played(data, files, scored, seeds, how)):
            withheld = parted(data.groups, seed)[1]
            told = judged(one.out_of_fold, data.scores[one.rows], data.groups[one.rows])
            truth = judged(one.predictions[withheld], data.scores[withheld], data.groups[withheld])
            for name, each in told.items():
                if each["value"] is not None and truth[name]["value"] is not None:
                    off = truth[name]["value"] - each["value"]
                    half = (each["high"] - each["low"]) / 2
                    rows.setdefault(name, []).append((covers(each, truth[name]), off, half))
        for name, values in rows.items():
            held, off, half = np.mean(values, axis=0)
            error = 2 * np.sqrt(held * (1 - held) / len(values))
            print(f"| {scored} | {name} | {held:.3f} ± {error:.3f} | {off:+.3f} | {half:.3f} |")


def top_cards(data: LabelledData, files: str, seeds: int) -> None:
    """What the first cards say of their chance to be wrong, and how many are; the strengths."""
    print("\n| scored | cards | told | true | strengths chosen |\n|---|---|---|---|---|")
    for scored in SCORED:
        cards: dict[int, list[tuple[float, float]]] = {8: [], 40: []}
        strengths = []
        for one in played(data, files, scored, seeds):
            truth, said = data.scores / 10, one.predictions.astype(np.float64)
            held_out = one.out_of_fold.astype(np.float64)
            spread = suspicion.residual_spread(held_out, truth[one.rows])
            known = (held_out, one.opinion_out_of_fold, truth[one.rows], THRESHOLD, spread)
            weights = suspicion.fit_stacking_weights(*known)
            passing = suspicion.chance_of_passing(said, one.opinion, THRESHOLD, spread, weights)
            wrong = passes(said, THRESHOLD) != passes(truth, THRESHOLD)
            left = np.setdiff1d(np.arange(len(truth)), one.rows)
            chance = suspicion.chance_wrong(said, passing, THRESHOLD)[left]
            order = np.argsort(-chance)
            for count, found in cards.items():
                first = order[:count]
                found.append((float(chance[first].mean()), float(wrong[left][first].mean())))
            strengths.append(float(one.strength))
        chosen = ", ".join(f"{k:g}: {n}" for k, n in sorted(Counter(strengths).items()))
        for count, found in cards.items():
            told, true = np.mean(found, axis=0)
            print(f"| {scored} | first {count} | {told:.3f} | {true:.3f} | {chosen} |")


def folds(seeds: int) -> None:
    """How often five images that pass, of sixty, are one in each fold."""
    even = 0
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        scores = np.append(draw.permutation(np.arange(5.0, 11))[:5], draw.integers(0, 5, 55))
        fold = group_folds(scores, np.arange(60), FOLDS, seed, THRESHOLD)
        even += (np.bincount(fold[scores >= 5], minlength=FOLDS) == 1).all()
    print(f"\nfive of sixty pass: one in each fold in {even / seeds:.2f} of {seeds} draws")


def worst_slices(seeds: int) -> None:
    """How far the three worst of twenty slices are off, as told and truly, in points."""
    told, true, held = [], [], []
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        biases, sizes = draw.normal(0, 0.4, 20), draw.integers(12, 60, 20)
        slice_of = np.repeat(np.arange(20), sizes)
        errors = biases[slice_of] + draw.normal(0, 1.5, len(slice_of))
        rows = {str(k): np.flatnonzero(slice_of == k) for k in range(20)}
        truth = np.full(len(errors), 0.5)
        for one in slices(rows, truth + errors / 10, truth, 0.5, np.arange(len(errors)))[:3]:
            bias = biases[int(one.name)]
            told.append(abs(one.bias.value))
            true.append(bias * np.sign(one.bias.value))
            held.append(one.bias.low <= bias <= one.bias.high)
    print(
        f"worst three of twenty slices: told {np.mean(told):.2f}, true {np.mean(true):.2f} points, "
        f"covered {np.mean(held):.3f}"
    )


def main() -> None:
    asked = arguments(__doc__.splitlines()[0], seeds=200)
    asked.add_argument("--kept", type=Path, help="a folder that keeps what was trained")
    asked.add_argument("--regression", action="store_true", help="train the regression alone")
    given = asked.parse_args()
    torch.set_num_threads(1)
    how = play_regression if given.regression else play
    with TemporaryDirectory() as temporary:
        kept = given.kept or Path(temporary)
        kept.mkdir(parents=True, exist_ok=True)
        folds(given.seeds)
        worst_slices(given.seeds)
        labelled = collection(given)
        for name, data in {"labelled": labelled, "made-up": made_up()}.items():
            print(f"\n{name}: {len(data.scores)} images, {given.seeds} seeds")
            coverage(data, f"{kept}/{name}", given.seeds, how)
        if not given.regression:
            top_cards(labelled, f"{kept}/labelled", given.seeds)


if __name__ == "__main__":
    main()
