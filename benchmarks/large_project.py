"""A project of any size, written straight into the store: for measuring pages, not for looking at.

Embeddings lie in clusters, hand scores follow a direction of the embedding space, predictions err
around them, and one image in fifty is a near-duplicate of the one before it.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import db.embeddings
import db.images
import db.versions
from db.predictions import EXCEED
from db.records import NewVersion, Predictions
from labeler.pictures import thumbnail_path
from labeler.project import Project

CLUSTERS = 400
BATCH = 5000
MASTERS = 64
START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def make_large(folder: Path, images: int, scored: int, width: int, seed: int = 0) -> Project:
    """A project with `images` embedded and predicted by an active version, `scored` by hand."""
    project = Project.create(folder, encoder="lite")
    generator = np.random.default_rng(seed)
    source = db.images.add_source(project.store, "drawings", None, None)
    photos = db.images.add_source(project.store, "photos", None, (0.0, 1.0))
    encoder = db.embeddings.register_encoder(project.store, project.encoder, width, False, {})
    copies = np.arange(images) % 50 == 49
    hashes, sources = _hashes(generator, copies), np.where(generator.random(images) < 0.2, 2, 1)
    assert (source.id, photos.id) == (1, 2)
    tastes = np.empty(images)
    with sqlite3.connect(project.store.path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        _add_images(connection, hashes, sources, generator)
        start = 0
        for vectors, taste in _vectors(generator, copies, width):
            tastes[start : start + len(taste)] = taste
            rows = [(encoder.id, start + k + 1, v.tobytes()) for k, v in enumerate(vectors)]
            connection.executemany(
                "INSERT INTO embeddings (encoder_id, image_id, vector) VALUES (?, ?, ?)", rows
            )
            start += len(taste)
        _add_scores(connection, tastes[:scored])
    connection.close()
    _add_version(project, tastes, scored, generator)
    _add_thumbnails(project, images, generator)
    return project


def content_hash(image_id: int) -> str:
    return hashlib.sha256(str(image_id).encode()).hexdigest()


def _hashes(generator: np.random.Generator, copies: np.ndarray) -> np.ndarray:
    """Difference hashes (n,) whose rows of bits resemble each other, as those of pictures do."""
    changes = generator.random((len(copies), 8, 8)) < 0.25
    bits = np.cumsum(changes, axis=1) % 2 == 1
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
        vectors = centres[generator.integers(0, CLUSTERS, len(part))]
        vectors = vectors + generator.normal(0, 0.7, vectors.shape).astype(np.float32)
        vectors[part] = np.roll(vectors, 1, axis=0)[part]
        vectors[part] += generator.normal(0, 0.05, (part.sum(), width)).astype(np.float32)
        yield vectors, 1 / (1 + np.exp(-1.5 * (vectors @ direction)))


def _add_images(
    connection: sqlite3.Connection,
    hashes: np.ndarray,
    sources: np.ndarray,
    generator: np.random.Generator,
) -> None:
    shuffles = generator.integers(0, 2**62, len(hashes)).tolist()
    signed = hashes.view(np.int64).tolist()
    rows: list[tuple[Any, ...]] = [
        (k + 1, content_hash(k + 1), signed[k], int(sources[k]), shuffles[k], START.isoformat())
        for k in range(len(hashes))
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


def _add_scores(connection: sqlite3.Connection, tastes: np.ndarray) -> None:
    values = np.round(tastes * 10).tolist()
    connection.executemany(
        "INSERT INTO hand_scores (event_id, image_id, value, why, at) VALUES (?, ?, ?, 'first', ?)",
        [
            (f"first-{k}", k + 1, value, (START + timedelta(seconds=k)).isoformat())
            for k, value in enumerate(values)
        ],
    )
    connection.executemany(
        "UPDATE images SET hand_score = ? WHERE id = ?",
        [(value, k + 1) for k, value in enumerate(values)],
    )


def _add_version(
    project: Project, tastes: np.ndarray, scored: int, generator: np.random.Generator
) -> None:
    ids, values = np.arange(1, scored + 1), np.round(tastes[:scored] * 10)
    made = np.clip(tastes + generator.normal(0, 0.12, len(tastes)), 0, 1).astype(np.float32)
    levels = np.arange(1, 11) / 10 - 0.05
    believed = tastes + generator.normal(0, 0.12, len(tastes))
    exceed = (1 / (1 + np.exp((levels[None, :] - believed[:, None]) / 0.08))).astype(np.float32)
    unseen = Predictions(ids, made[:scored], exceed[:scored], ids % 5)
    version = db.versions.add(
        project.store,
        NewVersion(
            name="v1.0",
            parent=None,
            encoder=project.encoder,
            recipe="quick",
            threshold=0.5,
            file="",
            scored_ids=ids,
            scored_values=values,
            out_of_fold=unseen,
        ),
    )
    packed = exceed.astype(EXCEED)
    with sqlite3.connect(project.store.path) as connection:
        connection.executemany(
            "INSERT INTO predictions (version_id, image_id, score, exceed) VALUES (?, ?, ?, ?)",
            [(version.id, k + 1, float(made[k]), packed[k].tobytes()) for k in range(len(tastes))],
        )
    connection.close()


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
