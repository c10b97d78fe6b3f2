"""Protects embedding on many threads: they compute side by side, each the batch that it decoded;
each item keeps its own vector; and a GPU computes one batch at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from labeler.embedding.pipeline import encoded
from model.errors import UnreadableImage


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


class Meeting(Adder):
    """Computes only once two threads are at it together; keeps who computed what."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.met = threading.Barrier(2)
        self.computed: dict[int, int] = {}
        self.threads_of_torch: set[int] = set()

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.met.wait(timeout=20)
        self.threads_of_torch.add(torch.get_num_threads())
        with self.lock:
            self.computed |= dict.fromkeys(batch[:, 0].tolist(), threading.get_ident())
        return super().encode(batch)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


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


@pytest.mark.usefixtures("two_threads")
def test_threads_compute_side_by_side_each_what_it_decoded() -> None:
    encoder = Meeting()
    decoded: dict[int, int] = {}

    def prepare(item: int) -> NDArray[np.int64]:
        decoded[item] = threading.get_ident()
        return np.array([item, 0, 0])

    batches = [batch.items for batch in encoded(encoder, range(16), prepare, 4)]
    assert batches == [list(range(start, start + 4)) for start in (0, 4, 8, 12)]
    assert encoder.computed == decoded
    assert len(set(decoded.values())) == 2
    assert encoder.threads_of_torch == {1}
    assert threading.get_ident() not in decoded.values()
    assert torch.get_num_threads() == 2


def test_a_batch_of_which_nothing_can_be_read_stops_no_other() -> None:
    def prepare(item: int) -> NDArray[np.int64]:
        if 4 <= item < 8:
            raise UnreadableImage("gone")
        return np.array([item, 0, 0])

    batches = list(encoded(Adder("cpu"), range(12), prepare, 4))
    assert [batch.items for batch in batches] == [[0, 1, 2, 3], [], [8, 9, 10, 11]]
    assert batches[1].failed == [(item, "gone") for item in range(4, 8)]
    assert batches[1].vectors.size == 0


@pytest.mark.parametrize("fails", ["prepare", "encode"])
def test_what_breaks_a_batch_passes_on_after_the_batches_before_it(fails: str) -> None:
    class Broken(Adder):
        def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
            if fails == "encode" and 8 in batch[:, 0]:
                raise MemoryError
            return super().encode(batch)

    def prepare(item: int) -> NDArray[np.int64]:
        if fails == "prepare" and item == 8:
            raise MemoryError
        return np.array([item, 0, 0])

    done: list[int] = []
    with pytest.raises(MemoryError):
        for batch in encoded(Broken("cpu"), range(20), prepare, 4):
            done += batch.items
    assert done == list(range(8))


class Spoiled(Adder):
    """What it says of 11 is not a number; counts how many pictures it is given at once."""

    at_once = 64

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.largest = 0

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.largest = max(self.largest, len(batch))
        vectors = super().encode(batch)
        vectors[batch[:, 0] == 11, 1] = np.nan
        return vectors


def test_one_broken_embedding_leaves_the_others_of_its_batch() -> None:
    batches = list(encoded(Spoiled("cpu"), [8, 9, 11, 12], pixels, 16))
    assert [item for batch in batches for item in batch.items] == [8, 9, 12]
    assert np.concatenate([batch.vectors for batch in batches])[:, 1].tolist() == [8, 9, 12]
    [(item, why)] = [failed for batch in batches for failed in batch.failed]
    assert (item, "not finite" in why) == (11, True)


@pytest.mark.parametrize(("device", "largest"), [("cpu", 16), ("cuda", 64)])
def test_a_gpu_gets_as_many_pictures_at_once_as_its_encoder_likes(
    device: str, largest: int, two_threads: None
) -> None:
    encoder = Spoiled(device)
    for _ in encoded(encoder, [7 * k for k in range(400)], pixels, 16):
        pass
    assert encoder.largest == largest
