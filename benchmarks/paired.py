"""What the benchmarks on labelled images share: the collection, and figures paired by seed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from labeler.review.simulation.labelled_data import read_labelled
from labeler.review.simulation.simulate import LabelledData

Floats = NDArray[np.float64]


def arguments(about: str, seeds: int) -> argparse.ArgumentParser:
    """The options of `labeler simulate` that the benchmarks share."""
    asked = argparse.ArgumentParser(description=about)
    asked.add_argument("labels", type=Path, help="columns path, score, perhaps split_group")
    asked.add_argument("--images", type=Path, required=True, help="what the paths are relative to")
    asked.add_argument("--seeds", type=int, default=seeds)
    asked.add_argument("--encoder", default="lite")
    asked.add_argument("--out", type=Path, help="keep the embeddings here, as simulate does")
    return asked


def collection(given: argparse.Namespace) -> LabelledData:
    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        kept = given.out or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        return read_labelled(
            given.labels,
            given.images,
            encoder=given.encoder,
            folder=kept / "project",
            print_message=tell,
        )


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean of one value per seed (s,), and its 95 % interval by Student's t."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, np.nan, np.nan
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return mean, mean - half, mean + half


def with_interval(values: Floats) -> str:
    mean, low, high = interval(values)
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def by_seed(ask: Callable[[int], dict[str, float]], seeds: int) -> dict[str, Floats]:
    """What `ask` finds for each seed, as one array (seeds,) per name, NaN where it has none."""
    found = []
    for seed in range(seeds):
        found.append(ask(seed))
        print(f"seed {seed + 1} of {seeds}", file=sys.stderr)
    return {name: np.array([each.get(name, np.nan) for each in found]) for name in found[0]}
