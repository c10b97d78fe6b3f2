"""All embeddings of an encoder at a byte a value, in files that can always be made again.

A search among a million embeddings has no time to read them from the store. Their sketches are a
quarter of the size, memory-mapped, and each knows how far it is from the truth, so that a search
can tell which images to ask the store about. Files are made whole and never changed: each continues
where another ends, only the last one is replaced by a longer one. So a crash loses one file at
most, and two processes that write at once write the same.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
from db.records import EncoderRecord
from db.store.regular_files import NotPlain, check_file, check_folder
from db.store.store import Store
from labeler.core.files.atomic import atomic_write, remove_scratch
from labeler.core.project import Project
from model.estimators.kernels import normalize
from model.files.arrays import read_array_header
from model.files.bounded import open_plain

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Records = NDArray[Any]
MOST = 1 << 16  # sketches in one file
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_AT_ONCE = 2048  # embeddings read and sketched in one step: bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedEmbeddings:
    """The sketches of all images, file by file; those of embeddings replaced since are not `fresh`.

    A unit embedding is `scales` times its codes, and at most `errors` away from that.
    """

    parts: list[NDArray[np.int8]]  # codes (n of the file, width) each, memory-mapped
    image_ids: Ids  # (n,)
    scales: Vectors  # (n,)
    errors: Vectors  # (n,) Euclidean distances
    fresh: NDArray[np.bool_]  # (n,)

    def __len__(self) -> int:
        return len(self.image_ids)


class QuantizedFiles:
    """The sketches of one encoder's embeddings, brought up to date whenever they are asked for."""

    def __init__(self, store: Store, folder: Path, encoder: EncoderRecord) -> None:
        self._store, self._folder, self._encoder = store, folder, encoder
        self._lock = threading.Lock()
        self._seen = -1
        self._sketches: QuantizedEmbeddings | None = None

    def now(self) -> QuantizedEmbeddings:
        """Return the quantized embeddings as the store is now.

        They are held in memory where the disk is full or not writable.

        Raises `OSError` where files can't be written for another reason.
        """
        with self._lock:
            newest = db.images.embeddings.newest_row_id(self._store)
            if self._sketches is None or newest != self._seen:
                self._sketches = _together(self._brought_up_to_date(), self._encoder.width)
                self._seen = newest
            return self._sketches

    def _brought_up_to_date(self) -> list[Records]:
        parts = _chain(self._folder, self._encoder)
        if parts and not self._is_true(parts[-1]):
            # Of another store, or of an older copy of this one.
            parts = []
            _tidy(self._folder, self._encoder.id, None)
        while True:
            tail = parts[-1] if parts and len(parts[-1]) < MOST else None
            new = self._next(_end(parts), MOST - (0 if tail is None else len(tail)))
            if not len(new):
                break
            if tail is not None:
                parts, new = parts[:-1], np.concatenate([tail, new])
            parts.append(self._kept(_end(parts), new))
        _tidy(self._folder, self._encoder.id, parts)
        return parts

    def _next(self, after: int, limit: int) -> Records:
        """Sketches of the next embeddings behind the number `after`, at most `limit`."""
        parts = [np.zeros(0, dtype=_kind(self._encoder.width))]
        while (room := min(limit - sum(map(len, parts)), _AT_ONCE)) > 0:
            numbers, ids, vectors = db.images.embeddings.added_since(
                self._store, self._encoder.id, after, room
            )
            if not len(numbers):
                break
            parts.append(quantize(numbers, ids, vectors))
            after = int(numbers[-1])
        return np.concatenate(parts)

    def _kept(self, after: int, records: Records) -> Records:
        path = _path(self._folder, self._encoder.id, after, int(records["number"][-1]))
        try:
            folder = self._folder.parent
            with atomic_write(path, within=folder) as scratch, scratch.open("wb") as file:
                np.save(file, records)
            return _loaded(path, self._encoder.width)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            return records  # What can be made again need not be kept.

    def _is_true(self, part: Records) -> bool:
        """Whether the last sketch is that of the store's embedding of the same number."""
        last = part[-1]
        again = db.images.embeddings.added_since(
            self._store, self._encoder.id, int(last["number"]) - 1, 1
        )
        if again[0].tolist() != [last["number"]] or again[1].tolist() != [last["image_id"]]:
            return False
        apart = quantize(*again)["codes"][0].astype(np.int64) - last["codes"]
        return bool(np.abs(apart).max(initial=0) <= 1)


def quantized_files(project: Project, encoder: EncoderRecord) -> QuantizedFiles:
    """Return the project's one `QuantizedFiles` of an encoder, so that files are read once."""
    return project.cache.get(
        "quantized files",
        encoder.id,
        (encoder.identity, encoder.width),
        lambda: QuantizedFiles(project.store, project.sketches, encoder),
    )


def quantize(numbers: Ids, image_ids: Ids, vectors: Vectors) -> Records:
    """Quantize embeddings (n, width) to int8: unit vectors in whole steps, 127 at most."""
    units = normalize(vectors)
    scales = np.abs(units).max(axis=1, initial=0, keepdims=True) / np.float32(127)
    steps = np.rint(units / np.maximum(scales, np.float32(1e-30)))
    records = np.zeros(len(vectors), dtype=_kind(vectors.shape[1]))
    records["number"], records["image_id"] = numbers, image_ids
    records["scale"], records["codes"] = scales[:, 0], steps
    records["error"] = np.linalg.norm(units - scales * steps, axis=1)
    return records


def broken_files(project: Project) -> list[Path]:
    """Return the quantized files that can't be read, or are of an encoder that the store lacks."""
    widths = {each.id: each.width for each in db.images.embeddings.encoders(project.store)}
    broken = []
    for path in quantized_in(project.sketches):
        number = path.name.split("-")[0]
        try:
            _loaded(path, widths[int(number)])
        except NotPlain:
            continue  # None of ours.
        except (OSError, ValueError, EOFError, KeyError):
            broken.append(path)
    return broken


def quantized_in(folder: Path, encoder_id: str = r"\d{1,18}") -> list[Path]:
    """Return the files named like quantized ones, of one encoder or of any."""
    named = re.compile(rf"{encoder_id}-\d{{1,18}}-\d{{1,18}}\.npy", re.ASCII)
    with suppress(OSError):
        if check_folder(folder):
            return sorted(path for path in folder.iterdir() if named.fullmatch(path.name))
    return []


def _together(parts: Sequence[Records], width: int) -> QuantizedEmbeddings:
    empty = [np.zeros(0, dtype=_kind(width))]
    columns = {
        name: np.concatenate([part[name] for part in (*parts, *empty)])
        for name in ("image_id", "scale", "error")
    }
    return QuantizedEmbeddings(
        parts=[part["codes"] for part in parts],
        image_ids=columns["image_id"],
        scales=columns["scale"],
        errors=columns["error"],
        fresh=_last_of_each(columns["image_id"]),
    )


def _last_of_each(ids: Ids) -> NDArray[np.bool_]:
    """Which rows are the last ones of their image."""
    last = np.ones(len(ids), dtype=bool)
    if (ids[1:] > ids[:-1]).all():
        return last
    order = np.argsort(ids, kind="stable")
    last[order[:-1]] = ids[order[1:]] != ids[order[:-1]]
    return last


def _chain(folder: Path, encoder: EncoderRecord) -> list[Records]:
    """The files that continue each other from the first embedding on, as far as they are whole."""
    longest: dict[int, int] = {}
    for after, last in _files_of(folder, encoder.id):
        longest[after] = max(last, longest.get(after, 0))
    parts: list[Records] = []
    while (after := _end(parts)) in longest:
        try:
            path = _path(folder, encoder.id, after, longest[after])
            parts.append(_loaded(path, encoder.width))
        except (OSError, ValueError, EOFError):
            break  # damaged, or replaced just now: made again
    return parts


def _loaded(path: Path, width: int) -> Records:
    """Raises `OSError` or `ValueError` for what is no such file."""
    check_file(path)
    with open_plain(path, follow=False) as file:
        shape, _, kind = read_array_header(file)
        if kind != _kind(width) or len(shape) != 1 or not shape[0]:
            raise ValueError(f"{path} holds no sketches of {width} values")
        return np.asarray(np.memmap(file, kind, "r", offset=file.tell(), shape=shape))


def _tidy(folder: Path, encoder_id: int, parts: Sequence[Records] | None) -> None:
    """Remove the files that longer ones have replaced, or all of them."""
    remove_scratch(folder)
    ends = [0, *(int(part["number"][-1]) for part in parts or ())]
    kept = list(pairwise(ends))
    for after, last in _files_of(folder, encoder_id):
        replaced = any(a <= after and last <= b and (a, b) != (after, last) for a, b in kept)
        if parts is None or replaced:
            # Another process may read it still, or have removed it already.
            with suppress(OSError):
                _path(folder, encoder_id, after, last).unlink()


def _files_of(folder: Path, encoder_id: int) -> Iterator[tuple[int, int]]:
    """The numbers behind which each file begins, and with which it ends."""
    for path in quantized_in(folder, str(encoder_id)):
        after, last = map(int, path.stem.split("-")[1:])
        yield after, last


def _end(parts: Sequence[Records]) -> int:
    return int(parts[-1]["number"][-1]) if parts else 0


def _path(folder: Path, encoder_id: int, after: int, last: int) -> Path:
    return folder / f"{encoder_id}-{after}-{last}.npy"


def _kind(width: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("number", "<i8"),
            ("image_id", "<i8"),
            ("scale", "<f4"),
            ("error", "<f4"),
            ("codes", "i1", (width,)),
        ]
    )
