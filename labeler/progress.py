"""How long work tells how far it is, and how it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable

# progress(done, total, what): `done` of `total` units (images, steps) of the phase named `what`.
# A callback may raise `labeler.errors.Stopped`: the work keeps what is finished and lets it pass.
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    """For callers who don't watch."""
