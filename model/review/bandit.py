"""Choose which evidence the next cards come from: Thompson sampling on the hits of each.

No single evidence is best everywhere. The second opinion finds most mistakes at first; what lies
next to the threshold is often left for later rounds; and where neither finds any more, images drawn
at random keep the scored set from being one of hard cases only. How much each of them deals follows
from what the person answered: Thompson sampling (Thompson 1933; Chapelle & Li 2011) with forgetting
(Raj & Kalyani 2017), so that no constant has to be right for every collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

SECOND_OPINION, PREDICTION, RANDOM = "second-opinion", "prediction", "random"
# Hits and misses that each is credited with before it has dealt anything. A random image is rarely
# a mistake, but teaches what reviewing never asks: it stands in for evidence that finds less than
# one mistake in five cards.
PRIORS = {SECOND_OPINION: (1.0, 3.0), PREDICTION: (1.0, 3.0), RANDOM: (4.0, 16.0)}
# Hits and misses that are forgotten like answers: so the first pages are dealt by suspicion.
FIRST = {SECOND_OPINION: (4.0, 2.0), PREDICTION: (2.0, 2.0), RANDOM: (0.0, 0.0)}
# An answer counts half as much after forty others: what is left changes with each round.
MEMORY = 0.5 ** (1 / 40)

Ids = NDArray[np.int64]


def hit_counts(answers: Iterable[tuple[str, bool]]) -> dict[str, tuple[float, float]]:
    """Return hits and misses of each evidence, from (evidence, was it a mistake) in order.

    Answers to unknown evidence are left out, but age the others.
    """
    counts = {name: list(FIRST[name]) for name in PRIORS}
    for name, hit in answers:
        for each in counts.values():
            each[0] *= MEMORY
            each[1] *= MEMORY
        if name in counts:
            counts[name][0 if hit else 1] += 1
    return {
        name: (PRIORS[name][0] + hits, PRIORS[name][1] + misses)
        for name, (hits, misses) in counts.items()
    }


def thompson_sample(
    orders: Mapping[str, Ids],
    counts: Mapping[str, tuple[float, float]],
    count: int,
    generator: np.random.Generator,
) -> list[tuple[int, str]]:
    """Return up to `count` different rows, each with the evidence that chose it.

    `orders` holds rows by evidence, the most certain mistake first; `counts` its hits and misses.
    For every card a hit rate is drawn from each evidence's posterior, Beta(hits, misses), and the
    evidence with the highest gives its next row.
    """
    names = list(orders)
    hits, misses = np.array([counts[name] for name in names]).T
    remaining = {name: iter(orders[name].tolist()) for name in names}
    chosen: dict[int, str] = {}
    while names and len(chosen) < count:
        rates = generator.beta(hits, misses)
        name = max(zip(names, rates, strict=True), key=lambda pair: pair[1])[0]
        row = next((row for row in remaining[name] if row not in chosen), None)
        if row is None:
            kept = [place for place, other in enumerate(names) if other != name]
            names, hits, misses = [names[k] for k in kept], hits[kept], misses[kept]
            continue
        chosen[row] = name
    return list(chosen.items())
