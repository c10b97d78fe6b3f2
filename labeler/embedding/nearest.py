"""Exact search of the nearest embeddings: first in the quantized ones, then in the store.

A quantized embedding gives the cosine up to a known error. The candidates within it are read from
the store, those with the highest bound first, until no other candidate can be among the nearest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
from db.records import EncoderRecord
from labeler.core.project import Project
from labeler.embedding.quantized_index import Ids, QuantizedEmbeddings, Vectors, quantized_files
from model.estimators.kernels import normalize

_BLOCK = 512  # codes that are converted at once: they stay in the processor's cache
_READ_AT_ONCE = 256  # embeddings read from the store at once, at least


def nearest(
    project: Project,
    encoder: EncoderRecord,
    own: Vectors,
    limit: int,
    among: Sequence[int] | Ids | None = None,
) -> tuple[list[int], list[float]]:
    """Return the `limit` image ids with the highest cosine to `own` (width,), and the cosines.

    The highest come first, of equal ones the lower id. `among` restricts the search to these ids.
    Raises `OSError` where the quantized embeddings can't be written.
    """
    sketches = quantized_files(project, encoder).now()
    (unit,) = normalize(own[None])
    included = sketches.fresh if among is None else sketches.fresh & _marked(sketches, among)
    rows = np.flatnonzero(included)
    about = _products(sketches, rows, unit) * sketches.scales[rows]
    # Sums of so many products are rounded, too.
    errors = sketches.errors[rows] + np.float32(2 * len(unit) * np.finfo(np.float32).eps)
    lowest, highest = about - errors, about + errors
    if len(rows) > limit:
        least = np.partition(lowest, len(rows) - limit)[len(rows) - limit]
        rows, highest = rows[highest >= least], highest[highest >= least]
    order = np.argsort(-highest, kind="stable")
    read = partial(db.images.embeddings.get, project.store, encoder.id)
    return _rank_candidates(read, own, limit, sketches.image_ids[rows[order]], highest[order])


def _rank_candidates(
    read: Callable[[Ids], tuple[Ids, Vectors]],
    own: Vectors,
    limit: int,
    ids: Ids,
    highest: NDArray[np.float32],
) -> tuple[list[int], list[float]]:
    """Return the nearest of `ids` (n,) by the vectors of `read`; `highest` (n,) falling bounds."""
    best_ids = np.empty(0, dtype=np.int64)
    best = np.empty(0, dtype=np.float64)
    step = max(limit, _READ_AT_ONCE)
    for start in range(0, len(ids), step):
        if len(best) == limit and highest[start] < best[-1]:
            break
        read_ids, vectors = read(ids[start : start + step])
        best_ids = np.concatenate([best_ids, read_ids])
        best = np.concatenate([best, cosine(vectors, own)])
        order = np.lexsort((best_ids, -best))[:limit]
        best_ids, best = best_ids[order], best[order]
    return best_ids.tolist(), best.tolist()


def cosine(vectors: Vectors, own: Vectors) -> NDArray[np.float64]:
    """Return the cosine (n,) of `vectors` (n, width) with `own` (width,); 0 for length 0."""
    others, mine = vectors.astype(np.float64), own.astype(np.float64)
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(mine)
    products = others @ mine  # (n,)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def _products(sketches: QuantizedEmbeddings, rows: Ids, unit: Vectors) -> NDArray[np.float32]:
    """Return the products (m,) of the codes in `rows` (m,), rising, with `unit` (width,).

    Each thread computes those of one file.
    """
    starts = np.cumsum([0, *map(len, sketches.parts)])
    ends = np.searchsorted(rows, starts)
    part_rows = [rows[a:b] - start for (a, b), start in zip(pairwise(ends), starts, strict=False)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        products = threads.map(
            lambda part, some: _of_part(part, some, unit), sketches.parts, part_rows
        )
        return np.concatenate([np.zeros(0, dtype=np.float32), *products])


def _of_part(codes: NDArray[np.int8], rows: Ids, unit: Vectors) -> NDArray[np.float32]:
    products = np.empty(len(rows), dtype=np.float32)
    block = np.empty((_BLOCK, codes.shape[1]), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        in_a_row = some[-1] - some[0] == len(some) - 1
        np.copyto(block[: len(some)], codes[some[0] : some[-1] + 1] if in_a_row else codes[some])
        np.dot(block[: len(some)], unit, out=products[start : start + len(some)])
    return products


def _marked(sketches: QuantizedEmbeddings, ids: Sequence[int] | Ids) -> NDArray[np.bool_]:
    return np.isin(sketches.image_ids, np.asarray(ids, dtype=np.int64))
