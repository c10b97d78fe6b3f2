"""Decoding and encoding of pictures on every core.

Each thread decodes and encodes its own batches. A decoding thread beside an encoding one would need
another core, and a network that runs on several cores waits in each layer for the slowest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.errors import UnreadableImage

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder

# A batch is at most this part of a thread's share of what is left, so that all finish together;
# fewer pictures than FEWEST at a time cost more each.
LEFT = 2
FEWEST = 4

NOT_FINITE = "The encoder gives values for it that are not finite; look at the picture itself."

Item = TypeVar("Item")


@dataclass
class Encoded(Generic[Item]):
    """A batch: its n readable items, their embeddings (n, width) float32, and (item, reason)."""

    items: list[Item] = field(default_factory=list)
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    failed: list[tuple[Item, str]] = field(default_factory=list)


def encoded(
    encoder: Encoder,
    items: Sequence[Item],
    prepare: Callable[[Item], NDArray[Any]],
    batch_size: int,
) -> Generator[Encoded[Item], None, None]:
    """Yield all items in order, at most `batch_size` at a time, computed ahead of the caller.

    `prepare` returns the encoder's input for an item or raises `UnreadableImage`; it and the
    encoder are called by several threads at once. Another exception of theirs is raised after the
    batches before it. Close the generator to stop early.
    """
    # Imported where they are used: torch takes seconds to load; pages import this module.
    import torch

    from model.threads import parallel_map

    on_gpu = getattr(encoder, "device", torch.device("cpu")).type != "cpu"
    # Every core computes for itself; a GPU is one, quick with many pictures at once.
    turns = threading.Lock() if on_gpu else nullcontext()
    if on_gpu:
        batch_size = max(batch_size, getattr(encoder, "at_once", batch_size))

    def work(part: Sequence[Item]) -> Encoded[Item]:
        return _encode(encoder, part, prepare, turns)

    parts = _parts(items, batch_size, LEFT * torch.get_num_threads())
    with closing(parallel_map(work, parts)) as batches:
        yield from batches


def _parts(items: Sequence[Item], batch_size: int, remaining: int) -> Iterator[Sequence[Item]]:
    start = 0
    while start < len(items):
        share = (len(items) - start) // remaining
        size = min(batch_size, max(share, FEWEST))
        yield items[start : start + size]
        start += size


def _encode(
    encoder: Encoder,
    part: Sequence[Item],
    prepare: Callable[[Item], NDArray[Any]],
    turns: AbstractContextManager[Any],
) -> Encoded[Item]:
    batch: Encoded[Item] = Encoded()
    pixels = []
    for item in part:
        try:
            pixels.append(prepare(item))
            batch.items.append(item)
        except UnreadableImage as error:
            batch.failed.append((item, str(error)))
    if pixels:
        stacked = np.stack(pixels)
        with turns:
            batch.vectors = encoder.encode(stacked)
        _leave_out_broken(batch)
    return batch


def _leave_out_broken(batch: Encoded[Item]) -> None:
    """Move the items whose embeddings are not finite to `failed`."""
    finite = np.asarray(np.isfinite(batch.vectors).all(axis=1))
    if not finite.all():
        broken = [item for item, fine in zip(batch.items, finite, strict=True) if not fine]
        batch.failed += [(item, NOT_FINITE) for item in broken]
        batch.items = [item for item, fine in zip(batch.items, finite, strict=True) if fine]
        batch.vectors = batch.vectors[finite]
