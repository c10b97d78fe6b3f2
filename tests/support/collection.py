"""A small project with everything in it, made through the store alone: no encoder, no training.

Its pictures are plain gradients whose brightness decides their hand score; embeddings hold that
brightness in their first value, so that neighbours can be told by hand.
"""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

import db.images.embeddings
import db.images.locations
import db.scores.events
import db.scores.hand_scores
import db.scores.queue_queries
import db.versions.predictions
import db.versions.registry
from db.records import Event, NewVersion, Predictions, Version
from db.store.commit_numbers import new_lineage
from labeler.collection.importing import import_paths
from labeler.core.project import STORE_FILE, Project
from model.evaluation import metrics

WIDTH = 8
START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def copied(made: Path, to: Path) -> Iterator[Project]:
    """A project of a test's own, copied from one that was `made` for many; closed afterwards."""
    shutil.copytree(made, to)
    project = Project.open(to)
    yield project
    project.close()


def draw_pictures(folder: Path, count: int) -> list[Path]:
    """`count` different small pictures, from dark to bright."""
    folder.mkdir(parents=True, exist_ok=True)
    across = np.linspace(0.6, 1.0, 96)[None, :, None]
    paths = []
    for number in range(count):
        level = 20 + 235 * number / max(1, count - 1)
        tint = np.array([1.0, 0.85 + 0.15 * (number % 3) / 2, 0.8 + 0.2 * (number % 5) / 4])
        pixels = np.broadcast_to(level * across, (64, 96, 1)) * tint
        path = folder / f"picture {number:03}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        paths.append(path)
    return paths


def make_collection(folder: Path, *, images: int = 40, scored: int = 30) -> Project:
    """A project with `images` imported and embedded, the first `scored` of them scored by hand.

    Copied from one that is made once in a process, so that its tests don't each import.
    """
    made = _made(images, scored)
    for name in ("pictures", "project"):
        shutil.copytree(made / name, folder / name, dirs_exist_ok=True)
    with closing(sqlite3.connect(folder / "project" / STORE_FILE)) as connection:
        for table, column in (("locations", "path"), ("sources", "root")):
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (str(made), str(folder.resolve())),
            )
        connection.execute(f"PRAGMA user_version = {new_lineage()}")
        connection.commit()
    return Project.open(folder / "project")


@cache
def _made(images: int, scored: int) -> Path:
    """A folder with the pictures and the project of `make_collection`, until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="collection-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    project = Project.create(folder / "project", encoder="lite")
    draw_pictures(folder / "pictures", images)
    import_paths(project, [folder / "pictures"], source="gradients", workers=1)
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    vectors = np.random.default_rng(7).normal(0, 0.05, (images, WIDTH)).astype(np.float32)
    angle = np.linspace(0, np.pi / 2, images)
    vectors[:, 0], vectors[:, 1] = np.cos(angle), np.sin(angle)
    encoder = db.images.embeddings.register_encoder(
        project.store, project.encoder, WIDTH, False, {"size": 224}
    )
    db.images.embeddings.put(project.store, encoder.id, np.array(ids), vectors)
    give_scores(project, ids[:scored])
    project.close()
    return folder


def give_scores(project: Project, ids: list[int]) -> None:
    """0, 1, … 10, 0, 1 … in the order of `ids`."""
    events = [
        Event(
            event_id=f"first-{image_id}",
            kind="score",
            image_id=image_id,
            at=START + timedelta(seconds=number),
            value=float(number % 11),
            scorer="ann",
        )
        for number, image_id in enumerate(ids)
    ]
    receipts = db.scores.events.record(project.store, events)
    assert all(receipt.accepted for receipt in receipts)


def add_unscored(project: Project, count: int) -> None:
    """Import `count` more pictures, which no version has predicted."""
    folder = project.folder.parent / "more"
    draw_pictures(folder, count)
    import_paths(project, [folder], workers=1)


def score_at_random(project: Project, count: int, *noise_of: tuple[Version, float]) -> None:
    """Score the next `count` images of the random order 0, 1, … 10, 0 …, which each version is made
    to predict with its noise (standard deviation, 0–1)."""
    drawn = db.scores.queue_queries.unscored(project.store, order="random", limit=count)
    ids = [image.id for image in drawn]
    assert len(ids) == count
    events = [
        Event(
            event_id=f"drawn-{image_id}",
            kind="score",
            image_id=image_id,
            at=datetime.now(UTC),
            value=float(number % 11),
            queue="score",
            draw=True,
        )
        for number, image_id in enumerate(ids)
    ]
    receipts = db.scores.events.record(project.store, events)
    assert all(receipt.accepted for receipt in receipts)
    values = np.array([number % 11 for number in range(count)]) / 10
    for seed, (version, noise) in enumerate(noise_of):
        generator = np.random.default_rng(seed)
        said = np.clip(values + generator.normal(0, noise, count), 0, 1).astype(np.float32)
        order = np.argsort(ids)
        made = Predictions(np.array(ids)[order], said[order])
        db.versions.predictions.put_predictions(project.store, version.id, made)


def add_version(project: Project, noise: float, note: str = "", *, seed: int = 1) -> Version:
    """A version whose predictions are the hand scores with `noise` (standard deviation, 0–1)."""
    ids, values = db.scores.hand_scores.effective(project.store)
    everything = np.array(sorted(db.images.locations.ids_by_path(project.store).values()))
    generator = np.random.default_rng(seed)
    unseen = np.clip(values / 10 + generator.normal(0, noise, len(ids)), 0, 1).astype(np.float32)
    known = dict(zip(ids.tolist(), unseen.tolist(), strict=True))
    said = [known.get(int(i), float(generator.uniform())) for i in everything]
    active = db.versions.registry.active(project.store)
    name = db.versions.registry.next_name(project.store)
    version = db.versions.registry.add(
        project.store,
        NewVersion(
            name=name,
            parent=active.name if active else None,
            encoder=project.encoder,
            recipe="quick",
            threshold=0.5,
            file=f"{name}.safetensors",
            scored_ids=ids,
            scored_values=values,
            out_of_fold=Predictions(ids, unseen, None, np.arange(len(ids)) % 5),
            note=note,
            metrics=metrics.measure(unseen, values / 10, 0.5)
            | {"baseline": metrics.baseline(values / 10, 0.5)},
            curve=[],
        ),
    )
    predictions = Predictions(everything, np.array(said, dtype=np.float32), None, None)
    db.versions.predictions.put_predictions(project.store, version.id, predictions)
    return version
