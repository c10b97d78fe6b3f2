"""Embeddings for the images that lack them: computed in batches on every core, kept at once.

What is stored after each batch stays, whatever happens next: the following run goes on from there.
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
# A JPEG may be decoded at a half, a quarter or an eighth of its size as long as this many times the
# encoder's input remains: the embedding then agrees with the full decode (cosine ≥ 0.999; with
# three times it is 0.998 for some, with once 0.976).
SPARE = 4

Wanted = tuple[int, str]  # image id, path


@dataclass
class EmbedSummary:
    """What one run did; `failed` are (path, reason), `rate` is images a second, all included."""

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
    """Embed the images (of `only` these ids) that the project's encoder hasn't seen yet.

    `encoder` stands in for the project's. A file that can't be read, or has changed since it was
    imported, is in the summary's `failed` and the rest goes on. No version predicts the new images:
    that is `labeler.versions.activate.predict_active`. Raises `ModelError` when the encoder can't
    be loaded, `StoreError` when it is not the one that made the stored embeddings; `Stopped` and
    Ctrl-C pass through and what was computed until then is kept.
    """
    identity = encoder.identity if encoder else project.encoder
    record = db.images.embeddings.encoder(project.store, identity)
    wanted = db.images.embeddings.missing(
        project.store, record.id if record else 0, only=_ids(only)
    )
    summary = EmbedSummary(already=_fine(project, only) - len(wanted))
    if wanted:
        progress(0, len(wanted), "embedding")
        encoder = encoder or _load(project)
        record = register(project, encoder)
        _embed_missing(
            project, encoder, record, wanted, summary, progress=progress, batch_size=batch_size
        )
    return summary


def register(project: Project, encoder: Encoder) -> EncoderRecord:
    """The store's record of `encoder`; raises `StoreError` if it has changed under its name."""
    return db.images.embeddings.register_encoder(
        project.store, encoder.identity, encoder.width, encoder.normalised, encoder.preprocessing
    )


def prepare_file(encoder: Encoder, path: Path | str) -> NDArray[Any]:
    """The encoder's input from a file; raises `UnreadableImage`.

    A large JPEG is decoded smaller, with pixels to spare for the encoder's own resizing.
    """
    path = Path(path)
    with open_regular(path) as file:
        return prepare_open(encoder, file, path)


def prepare_open(encoder: Encoder, file: BinaryIO, path: Path) -> NDArray[Any]:
    """`prepare_file` for an open one; `path` serves for its extension only."""
    header = read_header(file, path)
    size = encoder.preprocessing.get("size")
    shorter = _smallest(header.size, SPARE * size) if size else None
    return encoder.prepare(decode(header, shorter=shorter).image)


def _smallest(shape: tuple[int, int], least: int) -> int | None:
    """The shorter side, at least `least`, that a JPEG of `shape` is to be decoded to, if any.

    A part of a pixel at the edge would count as a whole one: the encoder would crop elsewhere.
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
    """How many readable images there are (among `only`)."""
    if only is None:
        return db.images.counts.by_state(project.store).get("fine", 0)
    chosen = db.images.lookup.by_ids(project.store, sorted(set(_ids(only) or [])))
    return sum(image.state == "fine" for image in chosen)


def _embed_missing(
    project: Project,
    encoder: Encoder,
    record: EncoderRecord,
    wanted: Sequence[Wanted],
    summary: EmbedSummary,
    *,
    progress: Progress,
    batch_size: int,
) -> None:
    started = time.perf_counter()
    prepare = partial(_prepare, encoder, db.images.locations.known_locations(project.store, None))
    with closing(encoded(encoder, wanted, prepare, batch_size)) as batches:
        for batch in batches:
            summary.failed += [(path, reason) for (_, path), reason in batch.failed]
            if batch.items:
                ids = [image_id for image_id, _ in batch.items]
                db.images.embeddings.put(project.store, record.id, ids, batch.vectors)
            summary.embedded += len(batch.items)
            summary.rate = summary.embedded / (time.perf_counter() - started)
            progress(summary.embedded + len(summary.failed), len(wanted), "embedding")


def _prepare(encoder: Encoder, known: dict[str, KnownLocation], one: Wanted) -> NDArray[Any]:
    """The encoder's input for the imported image; raises `UnreadableImage`."""
    _, path = one
    _check_unchanged(path, known.get(path))
    return prepare_file(encoder, path)


def _check_unchanged(path: str, imported: KnownLocation | None) -> None:
    """Another picture under an old path must not pass for the image that was imported from it."""
    try:
        if imported is None or is_unchanged(path, imported.mtime_ns, imported.size_bytes):
            return
    except OSError:
        return  # opening it says why
    place = Path(path)
    with open_regular(place) as opened:
        if not is_still(opened, place, imported.content_hash, imported.pixel_hash):
            raise UnreadableImage(CHANGED)
