"""What a recipe is: settings that make a head out of scored embeddings.

`quick` (model/quick.py) is the default, `original` (model/original.py) that of CityAesthetics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import ModelError
from model.head import Head, predict
from model.opinion import Opinion


class Point(TypedDict):
    """A point of the loss curve: mean absolute errors, 0–1, after `step` steps.

    `train` on the scored images since the point before; `held_out` `None` without such images.
    """

    step: int
    train: float
    held_out: float | None


# watch(step, steps, curve so far): called after every step; may raise to stop the training.
Watch = Callable[[int, int, list[Point]], None]


def unwatched(step: int, steps: int, curve: list[Point]) -> None:
    """For callers who don't watch."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is learnt from: raw embeddings (n, width), hand scores (n,) 0–10, the second opinion
    fitted to just these, raw embeddings (m, width) without a score, and the threshold 0–1.
    """

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float64]
    opinion: Opinion
    unscored: NDArray[np.float32]
    threshold: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Images that are only judged: raw embeddings (n, width), hand scores (n,) 0–10."""

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float64]

    def error(self, predictions: NDArray[np.float32]) -> float:
        return float(np.abs(predictions - self.scores / 10).mean())


@dataclass(slots=True)
class Attempt:
    """A trained head, which reads raw embeddings, and how it got there.

    `said` holds what was predicted (n,) for the held-out images, by step.
    """

    head: Head
    curve: list[Point] = field(default_factory=list)
    said: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def note(self, step: int, head: Head, train: float, held_out: HeldOut | None) -> None:
        """Add a point to the curve; `head` must read raw embeddings."""
        error = None
        if held_out is not None:
            self.said[step] = predict(head, held_out.embeddings)
            error = held_out.error(self.said[step])
        self.curve.append({"step": step, "train": train, "held_out": error})


class Recipe(Protocol):
    """Settings as fields of a frozen dataclass; `steps` at most, `folds` for the out-of-fold part.

    `stops_early`: the number of steps may be chosen by the held-out error.
    """

    name: ClassVar[str]
    stops_early: ClassVar[bool]

    @property
    def folds(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def train(
        self,
        lesson: Lesson,
        held_out: HeldOut | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        watch: Watch = unwatched,
    ) -> Attempt:
        """A new head; with `held_out` images it may stop before `steps`, without it never does."""
        ...

    def settings(self) -> dict[str, Any]:
        """All settings as JSON values."""
        ...


def recipe_named(name: str) -> Recipe:
    """Raises `ModelError` for a name that is no recipe's."""
    from model.original import Original
    from model.quick import Quick

    known: dict[str, Recipe] = {recipe.name: recipe for recipe in (Quick(), Original())}
    if name not in known:
        raise ModelError(f"There is no recipe {name}; choose one of {', '.join(known)}.")
    return known[name]


@contextmanager
def some_threads() -> Iterator[None]:
    """Half of the processor's cores for torch inside; the other half is for whoever looks on.

    With all of them busy, threads that wait for each other take several times as long as one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def best_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
