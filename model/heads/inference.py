"""A head on embeddings by the hundred thousand: simplified, on the GPU if there is one, and in the
fastest number format that gives the same predictions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from model.devices import best_device, has_bfloat16
from model.heads.published_heads import AnyHead, PublishedHead
from model.heads.simplify import in_format, multiplications, simplified
from model.threads import parallel_map

AGREEMENT = 0.005  # the most by which a prediction may differ from float32's, 0–1
# A sample shows most of the differences, not the largest: it must agree more closely than all.
_SAMPLE_AGREEMENT = AGREEMENT / 2
SAMPLE = 512
# A head of fewer multiplications for an embedding is fast in any format: it gets the most exact,
# in which an embedding's prediction doesn't depend on what else is in its batch.
_SMALL_HEAD = 600_000
_BATCH = {"cpu": 1024, "cuda": 16_384}  # at a time: what they become must stay in the caches
ROWS_PER_THREAD = 8192  # embeddings that a thread takes at a time
Floats = NDArray[np.floating]


class BatchPredictor:
    """Predicts as a head does, faster: raw embeddings (n, features) of any float format → float32
    (n,), or (n, outputs > 1).

    Computes in float32 until `tuned`, a small head in float64. Safe to share between threads.
    `normalises` says that the length of an embedding changes nothing.
    """

    def __init__(self, head: AnyHead, device: torch.device | None = None) -> None:
        self.features, self.outputs = head.features, head.outputs
        self.normalises = isinstance(head, PublishedHead) and head.normalise
        self._device = device or best_device()
        compact = simplified(head)
        self.format = torch.float64 if multiplications(compact) < _SMALL_HEAD else torch.float32
        self._module = compact.to(self._device, self.format)

    def tuned(self, sample: Floats) -> BatchPredictor:
        """Return this predictor in the fastest number format that agrees with it.

        `sample` (n, features) are raw embeddings like those it will read: on them predictions
        differ by at most half of `AGREEMENT`, which leaves a margin for others.
        """
        exact = self(sample)
        for number_format in self._faster_formats() if len(sample) else ():
            tuned = self._converted(number_format)
            # False also where one of them is not a number.
            if np.abs(tuned(sample) - exact).max() <= _SAMPLE_AGREEMENT:
                return tuned
        return self

    def _faster_formats(self) -> Iterator[torch.dtype]:
        """Yield number formats that are faster on this device than the present one."""
        if self.format == torch.float32 and has_bfloat16(self._device):
            yield torch.bfloat16
            if self._device.type == "cuda":
                yield torch.float16

    def _converted(self, number_format: torch.dtype) -> BatchPredictor:
        converted = copy.copy(self)
        converted.format = number_format
        converted._module = in_format(self._module, number_format)
        return converted

    def __call__(self, rows: Floats) -> NDArray[np.float32]:
        """Predict `rows` on the thread that calls."""
        predictions = np.empty((len(rows), self.outputs), dtype=np.float32)
        batch = _BATCH.get(self._device.type, 1024)
        with torch.inference_mode():
            for start in range(0, len(rows), batch):
                block = _tensor(rows[start : start + batch])
                outputs = self._module(block.to(self._device, self.format))
                predictions[start : start + batch] = outputs.float().cpu().numpy()
        return predictions[:, 0] if self.outputs == 1 else predictions

    def predict_all(self, rows: Floats) -> NDArray[np.float32]:
        """Predict `rows` on all cores, tuned to a sample of them."""
        if len(rows) < ROWS_PER_THREAD:
            return self(rows)
        sampled = np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows)), dtype=np.int64)
        tuned = self.tuned(rows[sampled])
        blocks = (
            rows[start : start + ROWS_PER_THREAD] for start in range(0, len(rows), ROWS_PER_THREAD)
        )
        return np.concatenate(list(parallel_map(tuned, blocks)))


def row_lengths(rows: Floats) -> NDArray[np.float32]:
    """Return the Euclidean lengths (n,) of rows (n, width); not finite where a value isn't."""
    return torch.linalg.vector_norm(_tensor(rows).float(), dim=1).numpy()


def _tensor(rows: Floats) -> torch.Tensor:
    if rows.dtype not in (np.float16, np.float32) or not rows.flags.writeable:
        rows = rows.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(rows))
