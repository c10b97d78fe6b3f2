"""A head that reads embeddings by the hundred thousand: with as little work as can be, on the GPU
if there is one, in the quickest number format that says the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from model.devices import best_device, has_bfloat16
from model.heads.published_heads import AnyHead, ForeignHead
from model.heads.simplify import coarse, compacted, work
from model.threads import shared_out

AGREEMENT = 0.005  # how far a prediction may be from float32's
# A sample shows most of the differences, not the largest: it must agree more closely than all.
_SAMPLE_AGREEMENT = AGREEMENT / 2
SAMPLE = 512
# A head of fewer multiplications for an embedding is quick in any format: it gets the exactest one,
# in which an embedding's prediction doesn't depend on what else is in its batch.
_SMALL = 600_000
_ROWS = {"cpu": 1024, "cuda": 16_384}  # at a time: what they become must stay in the caches
SHARE = 8192  # embeddings that a thread takes at a time
Floats = NDArray[np.floating]


class Scorer:
    """Raw embeddings (n, features) of any float format → float32 (n,) or (n, outputs), as the head.

    In float32 until `tuned`, a small head in float64. Safe to share between threads. `normalises`
    tells that the length of an embedding changes nothing.
    """

    def __init__(self, head: AnyHead, device: torch.device | None = None) -> None:
        self.features, self.outputs = head.features, head.outputs
        self.normalises = isinstance(head, ForeignHead) and head.normalise
        self._device = device or best_device()
        compact = compacted(head)
        self.format = torch.float64 if work(compact) < _SMALL else torch.float32
        self._module = compact.to(self._device, self.format)

    def tuned(self, sample: Floats) -> Scorer:
        """The same in the quickest number format that agrees with this one within 0.005 on a sample
        (n, features) of what it will read, with a margin for rows that the sample lacks.
        """
        exact = self(sample)
        for number_format in self._quicker() if len(sample) else ():
            tuned = self._in(number_format)
            # False also where one of them is not a number.
            if np.abs(tuned(sample) - exact).max() <= _SAMPLE_AGREEMENT:
                return tuned
        return self

    def _quicker(self) -> Iterator[torch.dtype]:
        """Number formats that are quicker here than this one."""
        if self.format == torch.float32 and has_bfloat16(self._device):
            yield torch.bfloat16
            if self._device.type == "cuda":
                yield torch.float16

    def _in(self, number_format: torch.dtype) -> Scorer:
        other = copy.copy(self)
        other.format = number_format
        other._module = coarse(self._module, number_format)
        return other

    def __call__(self, rows: Floats) -> NDArray[np.float32]:
        """On the thread that calls."""
        found = np.empty((len(rows), self.outputs), dtype=np.float32)
        at_once = _ROWS.get(self._device.type, 1024)
        with torch.inference_mode():
            for start in range(0, len(rows), at_once):
                part = _tensor(rows[start : start + at_once])
                said = self._module(part.to(self._device, self.format))
                found[start : start + at_once] = said.float().cpu().numpy()
        return found[:, 0] if self.outputs == 1 else found

    def all(self, rows: Floats) -> NDArray[np.float32]:
        """On all cores, tuned to `rows`."""
        if len(rows) < SHARE:
            return self(rows)
        sampled = np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows)), dtype=np.int64)
        tuned = self.tuned(rows[sampled])
        parts = (rows[start : start + SHARE] for start in range(0, len(rows), SHARE))
        return np.concatenate(list(shared_out(tuned, parts)))


def lengths(rows: Floats) -> NDArray[np.float32]:
    """Euclidean length (n,) of each of rows (n, width); infinite or NaN where a value is."""
    return torch.linalg.vector_norm(_tensor(rows).float(), dim=1).numpy()


def _tensor(rows: Floats) -> torch.Tensor:
    if rows.dtype not in (np.float16, np.float32) or not rows.flags.writeable:
        rows = rows.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(rows))
