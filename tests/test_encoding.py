"""Protects embedding on many threads: each item keeps its own vector, and a GPU computes one batch
at a time."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labeler.encoding import encoded
from labeler.errors import UnreadableImage


class Adder:
    """Embeds pixels as their sum and their first; counts how many threads it computes for."""

    identity, width, normalised = "adder", 2, False
    preprocessing: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, device: str) -> None:
        self.device = SimpleNamespace(type=device)
        self.lock = threading.Lock()
        self.now = self.most = 0

    def prepare(self, image: Any) -> NDArray[Any]:
        raise NotImplementedError

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        vectors = np.stack([batch.sum(1), batch[:, 0]], axis=1).astype(np.float32)
        for _ in range(3):
            np.linalg.norm(np.ones((64, 64)) @ np.ones((64, 64)))  # lets the others in
        with self.lock:
            self.now -= 1
        return vectors


def pixels(item: int) -> NDArray[np.int64]:
    if item % 7 == 3:
        raise UnreadableImage(f"no {item}")
    return np.array([item, 2 * item + 1, 5])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_item_keeps_its_own_vector(device: str) -> None:
    encoder = Adder(device)
    items: list[int] = []
    failed: list[tuple[int, str]] = []
    for batch in encoded(encoder, range(200), pixels, 16):
        assert len(batch.items) == len(batch.vectors) <= 16
        for item, (total, first) in zip(batch.items, batch.vectors, strict=True):
            assert (total, first) == (3 * item + 6, item)
        items += batch.items
        failed += batch.failed
    assert items == [item for item in range(200) if item % 7 != 3]
    assert failed == [(item, f"no {item}") for item in range(3, 200, 7)]
    assert device == "cpu" or encoder.most == 1
