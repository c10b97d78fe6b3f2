"""Rows for tests of the store: images without files, and events with a clock of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import db.images.embeddings
import db.images.sources
import db.images.tags
import db.importing.files
import db.scores.events
import db.scores.hand_scores
import db.versions.registry
from db.records import Event, ImportedFile, NewVersion, Predictions, Receipt, Version
from db.store.store import Store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


@cache
def empty_store() -> bytes:
    """The file of a new store: migrating takes longer than most tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "labeler.sqlite"
        Store.create(path).close()
        return path.read_bytes()


def tags_of_image(store: Store, image_id: int) -> list[str]:
    return db.images.tags.of_images(store, [image_id]).get(image_id, [])


@contextmanager
def new_store(folder: Path) -> Iterator[Store]:
    path = folder / "labeler.sqlite"
    path.write_bytes(empty_store())
    store = Store.open(path)
    try:
        yield store
    finally:
        store.close()


def picture(number: int, source_id: int = 1, **changes: Any) -> ImportedFile:
    """A readable file; the same number is the same content, at the same path unless changed."""
    file = ImportedFile(
        path=f"/pictures/{number}.png",
        source_id=source_id,
        mtime_ns=number,
        size_bytes=1000 + number,
        content_hash=f"{number:064x}",
        fingerprint=number,
        format="PNG",
        width=640,
        height=480,
    )
    return replace(file, **changes)


def add_images(store: Store, count: int, source: str = "drawings", first: int = 0) -> list[int]:
    """Ids of `count` new images of that source."""
    source_id = db.images.sources.add_source(store, source, "/pictures", None).id
    files = [picture(number, source_id) for number in range(first, first + count)]
    return [outcome.image_id for outcome in db.importing.files.record_files(store, files)]


def event(event_id: str, kind: str, image_id: int = 0, **details: Any) -> Event:
    """An event at noon unless told otherwise."""
    at = details.pop("at", NOON)
    return Event(event_id=event_id, kind=kind, image_id=image_id, at=at, **details)


def score(store: Store, image_id: int, value: float, **details: Any) -> Receipt:
    """One score under an event id of its own."""
    already = len(db.scores.hand_scores.history(store, image_id))
    event_id = details.pop("event_id", f"image-{image_id}-{already}")
    return db.scores.events.record(
        store, [event(event_id, "score", image_id, value=value, **details)]
    )[0]


def add_encoder(store: Store, identity: str = "lite", width: int = 4) -> int:
    return db.images.embeddings.register_encoder(store, identity, width, False, {"size": 224}).id


def add_version(store: Store, name: str | None = None, **changes: Any) -> Version:
    """A version trained on all scores there are, with its out-of-fold predictions exact."""
    ids, values = db.scores.hand_scores.effective(store)
    new = NewVersion(
        name=name or db.versions.registry.next_name(store),
        parent=None,
        encoder="lite",
        recipe="quick",
        threshold=0.5,
        file="head.safetensors",
        scored_ids=ids,
        scored_values=values,
        out_of_fold=Predictions(ids, (values / 10).astype(np.float32), folds=ids % 5),
    )
    return db.versions.registry.add(store, replace(new, **changes))


def later(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)
