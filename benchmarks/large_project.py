"""A project of any size, written straight into the store: for measuring pages, not for looking at.

Embeddings lie in clusters, hand scores follow a direction of the embedding space, predictions err
around them (the later the version the less), and one image in fifty is a near-duplicate of the one
before it. The scored images are those that come first in the random order.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import db.images.embeddings
import db.images.sources
import db.versions.registry
from db.records import NewVersion, Predictions
from db.versions.predictions import EXCEED
from labeler.core.project import STORE_FILE, Project, thumbnail_path
from labeler.versions.model_files import second_opinion_path
from model.estimators import kernel_ordinal

CLUSTERS = 400
BATCH = 5000
MASTERS = 64
MOST_TAUGHT = 500  # hand scores that the second opinion is fitted to
UNREADABLE = 5000  # of so many images one
START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def make_large(
    folder: Path,
    images: int,
    scored: int,
    width: int,
    seed: int = 0,
    *,
    versions: int = 1,
    thumbnails: int | None = None,
) -> Project:
    """A project with `images` embedded, `scored` by hand, and predicted by so many versions.

    The last version is the active one. The first `thumbnails` images have one, by default all.
    """
    project = Project.create(folder, encoder="lite")
    generator = np.random.default_rng(seed)
    source = db.images.sources.add_source(project.store, "drawings", None, None)
    photos = db.images.sources.add_source(project.store, "photos", None, (0.0, 1.0))
    assert (source.id, photos.id) == (1, 2)
    encoder = db.images.embeddings.register_encoder(
        project.store, project.encoder, width, False, {}
    )
    copies = np.arange(images) % 50 == 49
    shuffles = generator.permutation(images) * (2**31 // max(1, images))
    chosen = np.argsort(shuffles)[:scored] + 1
    project.close()
    with _in_bulk(folder / STORE_FILE) as connection:
        _add_images(connection, _hashes(generator, copies), shuffles, generator)
        tastes = _add_embeddings(connection, encoder.id, copies, width, generator)
        _add_scores(connection, chosen, tastes)
    # The later the version, the less it errs.
    errors = [0.12 + 0.02 * (versions - 1 - number) for number in range(versions)]
    made = [_predictions(tastes, error, generator) for error in errors]
    ids = [_add_version(project, tastes, np.sort(chosen), each) for each in made]
    _add_opinion(project, tastes, np.sort(chosen))
    project.close()
    with _in_bulk(folder / STORE_FILE) as connection:
        for version_id, each in zip(ids, made, strict=True):
            _add_predictions(connection, version_id, each)
    _add_thumbnails(project, images if thumbnails is None else thumbnails, generator)
    return project


@contextmanager
def _in_bulk(path: Path) -> Iterator[sqlite3.Connection]:
    """Nothing is synced or journalled, and indexes are made when their rows are all there."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        yield connection
        for _, sql in indexes:
            connection.execute(sql)
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")


def content_hash(image_id: int) -> str:
    return hashlib.sha256(str(image_id).encode()).hexdigest()


def _hashes(generator: np.random.Generator, copies: np.ndarray) -> np.ndarray:
    """Difference hashes (n,) whose rows of bits resemble each other, as those of pictures do."""
    changes = generator.random((len(copies), 8, 8), dtype=np.float32) < 0.25
    bits = np.cumsum(changes, axis=1, dtype=np.uint8) % 2 == 1
    bits[:, :, :] ^= generator.random((len(copies), 1, 8)) < 0.5
    hashes = np.packbits(bits.reshape(len(copies), 64), axis=1).view(">u8")[:, 0].astype(np.uint64)
    hashes[copies] = np.roll(hashes, 1)[copies] ^ np.uint64(1 << 17)
    return hashes


def _vectors(
    generator: np.random.Generator, copies: np.ndarray, width: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Embeddings (batch, width) float32 and what a person thinks of them (batch,), 0–1."""
    centres = generator.normal(0, 1, (CLUSTERS, width)).astype(np.float32)
    direction = generator.normal(0, 1, width).astype(np.float32) / np.sqrt(width)
    for start in range(0, len(copies), BATCH):
        part = copies[start : start + BATCH]
        noise = generator.standard_normal((len(part), width), dtype=np.float32)
        vectors = centres[generator.integers(0, CLUSTERS, len(part))] + np.float32(0.7) * noise
        vectors[part] = np.roll(vectors, 1, axis=0)[part]
        vectors[part] += generator.normal(0, 0.05, (part.sum(), width)).astype(np.float32)
        yield vectors, 1 / (1 + np.exp(-1.5 * (vectors @ direction)))


def _add_images(
    connection: sqlite3.Connection,
    hashes: np.ndarray,
    shuffles: np.ndarray,
    generator: np.random.Generator,
) -> None:
    columns = zip(
        hashes.view(np.int64).tolist(),
        np.where(generator.random(len(hashes)) < 0.2, 2, 1).tolist(),
        shuffles.tolist(),
        strict=True,
    )
    rows: list[tuple[Any, ...]] = [
        (k, content_hash(k), look, source_id, shuffle, START.isoformat())
        for k, (look, source_id, shuffle) in enumerate(columns, start=1)
    ]
    connection.executemany(
        "INSERT INTO images (id, content_hash, fingerprint, source_id, shuffle, created_at, format,"
        " width, height, size_bytes, state) VALUES (?, ?, ?, ?, ?, ?, 'JPEG', 640, 480, 9, 'fine')",
        rows,
    )
    connection.executemany(
        "INSERT INTO locations (image_id, source_id, path, mtime_ns, size_bytes, present)"
        " VALUES (?, ?, ?, 1, 9, 1)",
        [(row[0], row[3], f"/pictures/{row[0] % 1000}/{row[0]}.jpg") for row in rows],
    )
    connection.execute(
        "UPDATE images SET state = 'unreadable', reason = 'It is cut off.' WHERE id % ? = 0",
        [UNREADABLE],
    )


def _add_embeddings(
    connection: sqlite3.Connection,
    encoder_id: int,
    copies: np.ndarray,
    width: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """What a person thinks of each image (n,), 0–1."""
    tastes = np.empty(len(copies))
    start = 0
    for vectors, taste in _vectors(generator, copies, width):
        tastes[start : start + len(taste)] = taste
        connection.executemany(
            "INSERT INTO embeddings (encoder_id, image_id, vector) VALUES (?, ?, ?)",
            [(encoder_id, start + k + 1, v.tobytes()) for k, v in enumerate(vectors)],
        )
        start += len(taste)
    return tastes


def _add_scores(connection: sqlite3.Connection, chosen: np.ndarray, tastes: np.ndarray) -> None:
    """The images `chosen` (m,) were scored one a second, drawn at random."""
    values = np.round(tastes[chosen - 1] * 10).tolist()
    scored = list(zip(chosen.tolist(), values, strict=True))
    connection.executemany(
        "INSERT INTO hand_scores (id, event_id, image_id, value, why, queue, at)"
        " VALUES (?, ?, ?, ?, 'first', 'score', ?)",
        [
            (k, f"first-{k}", image_id, value, (START + timedelta(seconds=k)).isoformat())
            for k, (image_id, value) in enumerate(scored, start=1)
        ],
    )
    connection.execute("INSERT INTO draws (hand_score_id) SELECT id FROM hand_scores")
    connection.executemany(
        "UPDATE images SET hand_score = ? WHERE id = ?", [(v, i) for i, v in scored]
    )


def _predictions(tastes: np.ndarray, error: float, generator: np.random.Generator) -> Predictions:
    """For all images, `error` from the truth."""
    count, levels = len(tastes), np.arange(1, 11, dtype=np.float32) / 10 - np.float32(0.05)
    made, believed = tastes + generator.normal(0, error, (2, count))
    odds = (believed.astype(np.float32)[:, None] - levels) / np.float32(0.08)
    scores = np.clip(made, 0, 1).astype(np.float32)
    return Predictions(np.arange(1, count + 1), scores, 1 / (1 + np.exp(-odds)))


def _add_version(
    project: Project, tastes: np.ndarray, chosen: np.ndarray, made: Predictions
) -> int:
    """The id of a new active version, trained on the images `chosen` (m,)."""
    rows, history = chosen - 1, db.versions.registry.history(project.store)
    name = db.versions.registry.next_name(project.store)
    assert made.exceed is not None
    version = db.versions.registry.add(
        project.store,
        NewVersion(
            name=name,
            parent=history[-1].name if history else None,
            encoder=project.encoder,
            recipe="quick",
            threshold=0.5,
            file=name,
            scored_ids=chosen,
            scored_values=np.round(tastes[rows] * 10),
            out_of_fold=Predictions(chosen, made.scores[rows], made.exceed[rows], chosen % 5),
        ),
    )
    return version.id


def _add_predictions(connection: sqlite3.Connection, version_id: int, made: Predictions) -> None:
    assert made.exceed is not None
    connection.execute("UPDATE versions SET batches = 1 WHERE id = ?", [version_id])
    packed, size = made.exceed.astype(EXCEED).tobytes(), 10 * EXCEED.itemsize
    connection.executemany(
        "INSERT INTO predictions (version_id, image_id, score, exceed) VALUES (?, ?, ?, ?)",
        (
            (version_id, k + 1, score, packed[k * size : (k + 1) * size])
            for k, score in enumerate(made.scores.tolist())
        ),
    )


def _add_opinion(project: Project, tastes: np.ndarray, chosen: np.ndarray) -> None:
    """The active version's second opinion, taught with some of the scores."""
    active = db.versions.registry.active(project.store)
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if active is None or encoder is None:
        return
    taught = chosen[:: -(-len(chosen) // MOST_TAUGHT) or 1]
    _, vectors = db.images.embeddings.get(project.store, encoder.id, taught)
    values = np.round(tastes[taught - 1] * 10)
    kernel_ordinal.fit(vectors, values).save(second_opinion_path(project.models / active.file))


def _add_thumbnails(project: Project, images: int, generator: np.random.Generator) -> None:
    """A few pictures under many names: what a page costs does not depend on what they show."""
    masters = []
    for number in range(MASTERS):
        coarse = generator.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        picture = Image.fromarray(coarse).resize((256, 192), Image.Resampling.BICUBIC)
        picture.save(buffer, "JPEG", quality=85)
        masters.append(project.thumbnails / f"master-{number}.jpg")
        masters[-1].write_bytes(buffer.getvalue())
    for image_id in range(1, images + 1):
        path = thumbnail_path(project, content_hash(image_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(masters[image_id % MASTERS], path)
        except OSError:
            # A file has only so many names on some systems.
            path.write_bytes(masters[image_id % MASTERS].read_bytes())
