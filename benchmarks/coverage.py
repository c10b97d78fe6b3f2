"""Whether what is told about a version is true: coverage and bias of its figures, by simulation.

Plays on a collection with known scores: random scoring, a review of likely mistakes, the highest
predictions first, each followed by images drawn at random; trains with the product's own recipe,
selects with its own review, and judges with the functions that serve the Train and Progress pages
(`model.evaluation.random_draws`, `labeler.versions.evaluation.compare`). The truth of a version is
what its head does on the images that it had not seen.

    python benchmarks/coverage.py LABELS.csv --images DIR [--repeats 200]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from labeler.review.simulation import simulate
from labeler.review.simulation.labelled_data import read_labelled
from labeler.review.simulation.simulate import LabelledData, SimulationPlan, SimulationState
from labeler.review.simulation.strategies import STRATEGIES
from labeler.versions.evaluation.compare import PairedDraws, compared
from model.evaluation import metrics
from model.evaluation.audit import audit
from model.evaluation.random_draws import RandomDraws, figures
from model.evaluation.weighted_figures import FIGURES

THRESHOLD = 0.5
DRAWS = (60, 150, 390)
VERDICT_DRAWS = 100
# Name: scored at random, then chosen by a strategy, in so many batches.
DESIGNS = {
    "60 at random": (60, None, 0, 0),
    "150 at random": (150, None, 0, 0),
    "150 at random, 240 reviewed": (150, "review", 240, 3),
    "60 at random, 90 highest first": (60, "highest-score", 90, 1),
}
PAIRS = [
    ("60 at random", "150 at random"),
    ("150 at random", "150 at random, 240 reviewed"),
    ("60 at random", "60 at random, 90 highest first"),
]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a version was trained on and what it predicts (n,) 0–1 for the whole collection."""

    rows: list[int]
    predictions: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = read_labelled(given.labels, given.images, folder=Path(folder) / "project")
    told: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    with ProcessPoolExecutor(given.workers, initializer=partial(start, data)) as pool:
        with suppress(KeyboardInterrupt):  # stopped, it shows what there is
            for number, found in enumerate(pool.map(repetition, range(given.repeats)), start=1):
                for key, values in found:
                    told[key].append(values)
                print(f"\r{number} of {given.repeats}", end="", file=sys.stderr)
        pool.shutdown(wait=False, cancel_futures=True)
        print(file=sys.stderr)
        show(told)


class Worker:
    """The data of one worker process."""

    data: LabelledData


def start(data: LabelledData) -> None:
    """Set up a worker process, which trains on one core."""
    import torch

    torch.set_num_threads(1)
    simulate._start_worker(data, SimulationPlan())
    Worker.data = data


def repetition(seed: int) -> list[tuple[tuple[str, str], tuple[float, ...]]]:
    """Play all designs from one random order of the collection."""
    order = np.random.default_rng([77, seed]).permutation(len(Worker.data.scores))
    versions = {name: played(order, design, seed) for name, design in DESIGNS.items()}
    found = []
    for name, version in versions.items():
        for count in DRAWS:
            found += judged(order, name, version, count)
    for old, new in PAIRS:
        found.append(verdict(order, f"{old} → {new}", versions[old], versions[new]))
    for name in ("150 at random", "150 at random, 240 reviewed"):
        first = versions[name]
        again = Trained(first.rows, train(first.rows, seed + 1000))
        found.append(verdict(order, f"{name}, trained again with another seed", first, again))
    return found


def played(order: np.ndarray, design: tuple[int, str | None, int, int], seed: int) -> Trained:
    """Score at random, then as the strategy selects, training after each batch."""
    at_random, strategy, chosen, batches = design
    data, rows = Worker.data, order[:at_random].tolist()
    for _ in range(batches if strategy else 0):
        plan = SimulationPlan(batch=chosen // batches)
        state = SimulationState(
            threshold=THRESHOLD,
            version=simulate._train(data, plan, rows, 0),
            left=np.setdiff1d(order, rows),
            scored=list(rows),
            scores=data.scores,
            seed=seed,
            draw=np.random.default_rng([seed, 1]),
        )
        simulate._ask_batch(data, plan, state, STRATEGIES[str(strategy)])
        rows = state.scored
    return Trained(rows, train(rows, 0))


def train(rows: list[int], seed: int) -> np.ndarray:
    return simulate._train(Worker.data, SimulationPlan(), rows, seed).predictions


def judged(
    order: np.ndarray, name: str, version: Trained, count: int
) -> list[tuple[tuple[str, str], tuple[float, ...]]]:
    """Return each figure's value, bounds and truth, by `count` draws after the training."""
    scores = Worker.data.scores / 10
    pool = order[~np.isin(order, version.rows)]
    rows, said = pool[:count], version.predictions
    passing = int((said[pool] >= THRESHOLD).sum())
    draws = RandomDraws(
        said[rows], scores[rows], np.ones(len(rows), bool), len(pool), THRESHOLD, passing
    )
    truth = metrics.values(said[pool], scores[pool], THRESHOLD, list(FIGURES))
    found = []
    for figure, bounds in figures(draws).items():
        entry = (bounds["value"], bounds["low"], bounds["high"], truth[figure])
        if None not in entry:
            found.append(((f"{name}; {count} draws", figure), tuple(map(float, entry))))
    estimates, wrong = audit(draws), (said >= THRESHOLD) != metrics.passes(scores, THRESHOLD)
    for key, estimate, side in (
        ("false-positive share", estimates.false_positives, said >= THRESHOLD),
        ("false-negative share", estimates.false_negatives, said < THRESHOLD),
    ):
        if estimate.share is not None:
            bounds = estimate.share
            entry = (bounds.value, bounds.low, bounds.high, float(wrong[pool][side[pool]].mean()))
            found.append(((f"{name}; {count} draws", key), entry))
    if estimates.left is not None:
        left = float(wrong[pool[count:]].sum())
        entry = (estimates.left.value, estimates.left.low, estimates.left.high, left)
        found.append(((f"{name}; {count} draws", "mistakes left"), entry))
    return found


def verdict(
    order: np.ndarray, name: str, old: Trained, new: Trained
) -> tuple[tuple[str, str], tuple[float, ...]]:
    """Return what is told at 100 draws (1 better, −1 worse, 0 nothing), and the true changes of
    the error in points and of average precision."""
    scores = Worker.data.scores / 10
    pool = order[~np.isin(order, [*old.rows, *new.rows])]
    rows = pool[:VERDICT_DRAWS]
    draws = RandomDraws(
        new.predictions[rows], scores[rows], np.ones(len(rows), bool), len(pool), THRESHOLD
    )
    told = compared(PairedDraws(draws, old.predictions[rows])).verdict
    after, before = (
        metrics.values(each.predictions[pool], scores[pool], THRESHOLD, list(FIGURES))
        for each in (new, old)
    )
    changes = [(after[key] or 0) - (before[key] or 0) for key in ("mae", "average_precision")]
    return (name, "verdict"), ({"better": 1.0, "worse": -1.0, None: 0.0}[told], *changes)


def show(told: dict[tuple[str, str], list[tuple[float, ...]]]) -> None:
    """Print coverage and bias in half widths of each figure, and how often each verdict is told."""
    print("| scored; judged by | figure | told | true | half width | bias | coverage |")
    print("|---|---|---|---|---|---|---|")
    for (name, figure), values in told.items():
        if figure == "verdict":
            continue
        value, low, high, truth = np.array(values).T
        half = float((high - low).mean() / 2)
        cover = float(((low <= truth + 1e-9) & (truth <= high + 1e-9)).mean())
        error = np.sqrt(cover * (1 - cover) / len(values))
        bias = float((value - truth).mean()) / half
        print(
            f"| {name} | {figure} | {value.mean():.3f} | {truth.mean():.3f} | {half:.3f} "
            f"| {bias:+.2f} | {cover:.3f} ± {error:.3f} ({len(values)}) |"
        )
    print()
    print("| trained → trained | told better | worse | wrong way | truly: error, points | AP |")
    print("|---|---|---|---|---|---|")
    for (name, figure), values in told.items():
        if figure != "verdict":
            continue
        verdicts, error, precision = np.array(values).T
        wrong = ((verdicts > 0) & (error > 0)) | ((verdicts < 0) & (error < 0))
        print(
            f"| {name} | {(verdicts > 0).mean():.3f} | {(verdicts < 0).mean():.3f} "
            f"| {wrong.mean():.3f} | {10 * error.mean():+.2f} | {precision.mean():+.3f} |"
        )


if __name__ == "__main__":
    main()
