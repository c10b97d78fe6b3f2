"""How long the recipes take and how well they learn, against the original recipe's plain loop.

    python benchmarks/training.py [--seeds 5] [--original-in-full]

Made-up embeddings of CLIP's width: a score hides in a few of sixty directions, two of which
interact, under noise; half of the collection is kept from everything. The plain loop (one image a
step, torch's AdamW as it comes) and `original` are timed over some steps and multiplied, since all
of them take half an hour; with --original-in-full `original` is also trained to its end for every
seed, which takes about 12 minutes each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from measuring import machine, table, timed
from scipy.stats import spearmanr

from model.heads.head import Head, predict
from model.training.cross_fitting import cross_fit
from model.training.original import Original, plain_recipe
from model.training.quick import Quick
from model.training.recipe import TrainingData

Said = Callable[[TrainingData, np.ndarray, int], np.ndarray]


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
    alike = spearmanr(said, truth).statistic if np.ptp(said) else 0.0
    return float(np.abs(said - truth / 10).mean()), float(alike)


def plain_loop(training_data: TrainingData, steps: int, seed: int = 0) -> Head:
    """The original recipe as one writes it down first: L1 loss, one image a step, AdamW, cosine."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = Head(training_data.embeddings.shape[1])
    head.train()
    inputs = torch.from_numpy(training_data.embeddings)
    scores = torch.from_numpy((training_data.scores / 10).astype(np.float32))
    optimiser = torch.optim.AdamW(head.parameters(), lr=Original().rate, foreach=False)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, Original().steps)
    order = np.random.default_rng(seed).permutation(len(scores))
    for step in range(steps):
        row = order[step % len(order)]
        loss = torch.nn.functional.l1_loss(head(inputs[row][None])[:, 0], scores[row][None])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head


def seconds_a_step(training_data: TrainingData, steps: int) -> tuple[float, float]:
    """Of the plain loop and of `original`, the better of two runs each, after a warm-up."""
    plain_loop(training_data, 20)
    first = min(timed(lambda: plain_loop(training_data, steps))[0] for _ in range(2))
    short, long = (replace(Original(), steps=each) for each in (20, steps))
    short.train(training_data)
    return first / steps, min(timed(lambda: long.train(training_data))[0] for _ in range(2)) / steps


def learnt(recipe: Original | Quick) -> Said:
    return lambda training_data, new, seed: predict(
        recipe.train(training_data, seed=seed).head, new
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=3080)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300, help="measured of the original recipe")
    parser.add_argument("--original-in-full", action="store_true")
    asked = parser.parse_args()
    print(f"{asked.images} x {asked.width}, {asked.seeds} seeds; {machine()}\n")
    print_times(asked.images, asked.width, asked.steps)
    recipes: dict[str, Said] = {
        "always the median score": lambda training_data, new, _: np.full(
            len(new), np.median(training_data.scores) / 10
        ),
        "`plain`, the original in batches": learnt(plain_recipe()),
        "**`quick`**": learnt(Quick()),
    }
    if asked.original_in_full:
        recipes["`original`, 100,000 steps"] = learnt(Original())
    print_figures(recipes, asked.images, asked.width, asked.seeds)


def print_times(images: int, width: int, steps: int) -> None:
    training_data = TrainingData(*collection(images, width, 0), np.arange(images))
    loop, original = (each * Original().steps for each in seconds_a_step(training_data, steps))
    Quick().train(training_data)
    one = min(timed(lambda: Quick().train(training_data))[0] for _ in range(3))
    proven = min(timed(lambda: cross_fit(Quick(), training_data))[0] for _ in range(2))
    rows = [
        ("plain loop of the original recipe", loop, ""),
        ("`original`", original, "1/3"),
        ("`quick`, final head", one, "1/150"),
        ("`quick`, with out-of-fold and uncertainty", proven, "1/60"),
    ]
    told = [
        (name, f"{seconds:,.1f}", f"1/{loop / seconds:,.1f}", f"1/{original / seconds:,.1f}", aim)
        for name, seconds, aim in rows
    ]
    print(table(["", "seconds", "of the plain loop", "of `original`", "target"], told))
    print(f"\nThe first two from {steps} of their 100,000 steps.\n")


def print_figures(recipes: dict[str, Said], images: int, width: int, seeds: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in recipes}
    for seed in range(seeds):
        embeddings, scores = collection(2 * images, width, seed)
        training_data = TrainingData(embeddings[:images], scores[:images], np.arange(images))
        for name, said in recipes.items():
            figures = agreement(said(training_data, embeddings[images:], seed), scores[images:])
            found[name].append(figures)
    rows = []
    for name, figures in found.items():
        errors, orders = (np.array(each) for each in zip(*figures, strict=True))
        told = " ".join(f"{10 * error:.3f}" for error in errors)
        rows.append((name, f"{10 * errors.mean():.3f}", f"{orders.mean():.3f}", told))
    print(table(["held out", "error of 10", "rank correlation", "error by seed"], rows))


if __name__ == "__main__":
    main()
