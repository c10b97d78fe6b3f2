"""Computation of the images' embeddings, in batches on every core.

Each batch is stored at once, so a run after an interrupted one continues behind the last batch.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from numpy.typing import NDArray

import db.images.counts
import db.images.embeddings
import db.images.locations
import db.images.lookup
from db.records import EncoderRecord, KnownLocation
from labeler.core.archives.archives import is_unchanged
from labeler.core.archives.opening import CHANGED, open_regular
from labeler.core.images.pixel_identity import is_still
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.embedding.pipeline import encoded
from model.encoders.load import load_encoder
from model.errors import UnreadableImage
from model.images.decode import decode, read_header

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder

BATCH_SIZE = 16
# A JPEG is decoded at a half, a quarter or an eighth of its size if the shorter side stays this
# many times the encoder's input: the embedding then agrees with that of the full size (cosine ≥
# 0.999; at three times it is 0.998 for some pictures, at one time 0.976).
SPARE = 4

Wanted = tuple[int, str]  # image id, path


@dataclass
class EmbedSummary:
    """Result of one run: counts of images, `failed` (path, reason), `rate` in images per second."""

    embedded: int = 0
    already: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    rate: float = 0.0


def embed(
    project: Project,
    *,
    encoder: Encoder | None = None,
    progress: Progress = silent,
    only: Collection[int] | None = None,
    batch_size: int = BATCH_SIZE,
) -> EmbedSummary:
    """Embed the images without an embedding of the project's encoder, if given `only` these ids.

    `encoder` replaces the project's encoder. A file that can't be read, or has changed since its
    import, is listed in the summary's `failed`. No version predicts the new images: that is
    `labeler.versions.activate.predict_active`. Raises `ModelError` if the encoder can't be loaded,
    and `StoreError` if it is not the one that made the stored embeddings. On `Stopped` and Ctrl-C
    the embeddings so far stay stored.
    """
    identity = encoder.identity if encoder else project.encoder
    record = db.images.embeddings.encoder(project.store, identity)
    missing = db.images.embeddings.missing(
        project.store, record.id if record else 0, only=_ids(only)
    )
    summary = EmbedSummary(already=_fine(project, only) - len(missing))
    if missing:
        progress(0, len(missing), "embedding")
        encoder = encoder or _load(project)
        record = register(project, encoder)
        _embed_missing(
            project, encoder, record, missing, summary, progress=progress, batch_size=batch_size
        )
    return summary


def register(project: Project, encoder: Encoder) -> EncoderRecord:
    """Return the store's record of `encoder`, made if missing.

    Raises `StoreError` if there is a different encoder of that name.
    """
    return db.images.embeddings.register_encoder(
        project.store, encoder.identity, encoder.width, encoder.normalised, encoder.preprocessing
    )


def prepare_file(encoder: Encoder, path: Path | str) -> NDArray[Any]:
    """Return the encoder's input for a file; raises `UnreadableImage`.

    A large JPEG is decoded at a smaller size, but at least SPARE times the encoder's input.
    """
    path = Path(path)
    with open_regular(path) as file:
        return prepare_open(encoder, file, path)


def prepare_open(encoder: Encoder, file: BinaryIO, path: Path) -> NDArray[Any]:
    """Return what `prepare_file` does for an open file; of `path` only the extension is used."""
    header = read_header(file, path)
    size = encoder.preprocessing.get("size")
    shorter = _smallest(header.size, SPARE * size) if size else None
    return encoder.prepare(decode(header, shorter=shorter).image)


def _smallest(shape: tuple[int, int], least: int) -> int | None:
    """Return the shorter side, at least `least`, to decode a JPEG of `shape` at; None: full size.

    Only divisors of both sides are used: a partial pixel at the edge would shift the encoder's
    crop.
    """
    for part in (8, 4, 2):
        if min(shape) >= part * least and not any(side % part for side in shape):
            return min(shape) // part
    return None


def _load(project: Project) -> Encoder:
    return load_encoder(project.encoder)


def _ids(only: Collection[int] | None) -> list[int] | None:
    return None if only is None else [int(image_id) for image_id in only]


def _fine(project: Project, only: Collection[int] | None) -> int:
    """Return the number of readable images (among `only`)."""
    if only is None:
        return db.images.counts.by_state(project.store).get("fine", 0)
    chosen = db.images.lookup.by_ids(project.store, sorted(set(_ids(only) or [])))
    return sum(image.state == "fine" for image in chosen)


def _embed_missing(
    project: Project,
    encoder: Encoder,
    record: EncoderRecord,
    missing: Sequence[Wanted],
    summary: EmbedSummary,
    *,
    progress: Progress,
    batch_size: int,
) -> None:
    started = time.perf_counter()
    prepare = partial(_prepare, encoder, db.images.locations.known_locations(project.store, None))
    with closing(encoded(encoder, missing, prepare, batch_size)) as batches:
        for batch in batches:
            summary.failed += [(path, reason) for (_, path), reason in batch.failed]
            if batch.items:
                ids = [image_id for image_id, _ in batch.items]
                db.images.embeddings.put(project.store, record.id, ids, batch.vectors)
            summary.embedded += len(batch.items)
            summary.rate = summary.embedded / (time.perf_counter() - started)
            progress(summary.embedded + len(summary.failed), len(missing), "embedding")


def _prepare(encoder: Encoder, locations: dict[str, KnownLocation], one: Wanted) -> NDArray[Any]:
    """Return the encoder's input for an imported image; raises `UnreadableImage`."""
    _, path = one
    _check_unchanged(path, locations.get(path))
    return prepare_file(encoder, path)


def _check_unchanged(path: str, imported: KnownLocation | None) -> None:
    """Raise `UnreadableImage` if the file holds another picture than when it was imported."""
    try:
        if imported is None or is_unchanged(path, imported.mtime_ns, imported.size_bytes):
            return
    except OSError:
        return  # opening it says why
    place = Path(path)
    with open_regular(place) as opened:
        if not is_still(opened, place, imported.content_hash, imported.pixel_hash):
            raise UnreadableImage(CHANGED)
