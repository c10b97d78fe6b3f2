"""What "the model is right" teaches, kept as a number and kept as an interval.

    python benchmarks/confirmations.py LABELS.csv --images DIR [--seeds 24]

A simulated person scores 60 images at random, a head is trained, and the person answers 90 cards,
those nearest to the threshold: a mistake gets its score, everything else "the model is right". The
same answers are then learnt in three ways: each confirmation as the rounded prediction, as the
interval on its side of the threshold, and, for comparison, as the score that the person would have
typed. A quarter of the groups is withheld: on it the heads are judged. Told is the out-of-fold
error, of the images with a number. Differences are paired by seed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from paired import Floats, arguments, collection, interval, with_interval
from scipy.stats import spearmanr

from labeler.review.simulation.simulate import LabelledData
from labeler.scoring.events import confirmed_bounds, confirmed_score
from model.evaluation.metrics import passes, values
from model.heads.head import predict
from model.training.cross_fitting import cross_fit
from model.training.quick import Quick
from model.training.recipe import TrainingData

SCORED, ANSWERED, WITHHELD, THRESHOLD = 60, 90, 0.25, 0.5
WAYS = ("number", "interval", "typed")
FIGURES = ("MAE", "told", "AP", "rank")


def answers(data: LabelledData, rows: NDArray[np.int64], predicted: Floats) -> dict[str, Floats]:
    """Return what each way keeps of the answers for `rows` (m,): (3, m) scores and their bounds."""
    truth = data.scores[rows]
    right = (predicted >= THRESHOLD) == passes(truth / 10, THRESHOLD)
    said = [confirmed_score(each, THRESHOLD) for each in predicted.tolist()]
    numbers = np.where(right, said, truth)
    ends = [confirmed_bounds(each, THRESHOLD) for each in numbers.tolist()]
    low = np.array([0.0 if low is None else low for low, _ in ends])
    high = np.array([np.inf if high is None else high for _, high in ends])
    bounds = np.where(right, low, truth), np.where(right, high, truth)
    return {
        "number": np.stack([numbers] * 3),
        "interval": np.stack([numbers, *bounds]),
        "typed": np.stack([truth] * 3),
    }


def turn(data: LabelledData, seed: int) -> dict[str, list[float]]:
    """Return the figures of each way, and the share of answers that were confirmations."""
    draw = np.random.default_rng([seed, 11])
    names = draw.permutation(np.unique(data.groups))
    closed = np.isin(data.groups, names[: round(WITHHELD * len(names))])
    others = draw.permutation(np.flatnonzero(~closed))
    first = others[:SCORED]
    start = TrainingData(data.embeddings[first], data.scores[first], data.groups[first], THRESHOLD)
    predicted = predict(Quick().train(start, seed=seed).head, data.embeddings).astype(np.float64)
    left = others[SCORED:]
    cards = left[np.argsort(np.abs(predicted[left] - THRESHOLD), kind="stable")[:ANSWERED]]
    rows = np.concatenate([first, cards])
    found: dict[str, list[float]] = {}
    for way, kept in answers(data, cards, predicted[cards]).items():
        known = np.concatenate([np.stack([data.scores[first]] * 3), kept], axis=1)
        learnt = replace(
            TrainingData(data.embeddings[rows], known[0], data.groups[rows], THRESHOLD),
            low=known[1],
            high=known[2],
        )
        found[way] = judged(data, learnt, closed, seed)
    confirmed = answers(data, cards, predicted[cards])["interval"]
    found["confirmed"] = [float((confirmed[1] < confirmed[2]).mean())]
    return found


def judged(
    data: LabelledData, learnt: TrainingData, closed: NDArray[np.bool_], seed: int
) -> list[float]:
    """Return `FIGURES` of the head of `learnt`, errors in points."""
    made = cross_fit(Quick(), learnt, seed)
    said = predict(made.head, data.embeddings[closed])
    truth = data.scores[closed] / 10
    figures = values(said, truth, THRESHOLD, ["mae", "average_precision"])
    has_number = learnt.low == learnt.high
    told = np.abs(made.out_of_fold - learnt.scores / 10)[has_number].mean()
    rank = spearmanr(said, truth).statistic
    return [10 * figures["mae"], 10 * told, figures["average_precision"], rank]  # type: ignore[operator,list-item]


def main() -> None:
    asked = arguments(__doc__.splitlines()[0], 24)
    given = asked.parse_args()
    data = collection(given)
    turns = []
    for seed in range(given.seeds):
        turns.append(turn(data, seed))
        print(seed, turns[-1], flush=True)
    shares = [each["confirmed"][0] for each in turns]
    print(f"{given.seeds} seeds, {np.mean(shares):.0%} of the answers were confirmations")
    results = {way: np.array([each[way] for each in turns]) for way in WAYS}  # (seeds, figures)
    for k, name in enumerate(FIGURES):
        for way in WAYS:
            mean, low, high = interval(results[way][:, k])
            apart = with_interval(results[way][:, k] - results["number"][:, k])
            print(f"{name:5} {way:9} {mean:.3f} ± {(high - low) / 2:.3f}, less number: {apart}")


if __name__ == "__main__":
    main()
