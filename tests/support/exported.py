"""A project with all that an export can meet: odd names, same names, two scorers, an undone score,
fractions, 0 and 10, unscored images, a group, tags, a source with an expected band, a version."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.images.tags
import db.scores.events
import db.scores.hand_scores
from db.records import Event, Image
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from tests.support.collection import START, add_version
from tests.support.pictures import make_jpeg

WIDTH = 768
UNICODE = "ünï 猫 🎨.jpg"
FORMULA = "=cmd() & 'x'.jpg"
LONG = f"{'é' * 110}.jpg"
# Names that loaders take for something: splits, patterns, addresses.
AWKWARD = (UNICODE, FORMULA, LONG, "test-1.jpg", "validation.jpg", "a[b]*?%20#.jpg", "-dash.jpg")
PLAIN = 20


def make_exported(folder: Path) -> Project:
    """33 images: 20 plain ones, 7 with awkward names, 6 that share their names with others.

    The first 24 by id are scored by ann: 0 to 10 over and over, the 24th 4.5. Ben has scored the
    first three 9, and the fourth 1, which he took back.
    """
    project = Project.create(folder / "taste", encoder="lite")
    for number in range(PLAIN):
        make_jpeg(folder / "a" / f"{number:03}.jpg", number)
    for number, name in enumerate(AWKWARD):
        make_jpeg(folder / "a" / name, 100 + number)
    for number in range(6):
        make_jpeg(folder / "b" / f"{number:03}.jpg", 200 + number)
    import_paths(project, [folder / "a"], source="=photos", expect=(0, 1), workers=1)
    import_paths(project, [folder / "b"], source="drawings", workers=1)
    ids = image_ids(project)
    embed(project, ids)
    score(project, [(k, 4.5 if n == 23 else n % 11) for n, k in enumerate(ids[:24])], "ann")
    score(project, [(image_id, 9) for image_id in ids[:3]], "ben", why="revision")
    score(project, [(ids[3], 1)], "ben")
    undo = Event("undo", "undo", ids[3], START + timedelta(hours=2), undoes=f"ben-{ids[3]}-1.0")
    [receipt] = db.scores.events.record(project.store, [undo])
    assert receipt.accepted, receipt.problem
    db.images.lookup.set_groups(project.store, {ids[0]: "kittens", ids[9]: "kittens"})
    db.images.tags.put(
        project.store, db.images.tags.TABLE, {ids[0]: ["@home", "cat"], ids[30]: ["dog"]}
    )
    add_version(project, noise=0.05, note="first")
    return project


def image_ids(project: Project) -> list[int]:
    return sorted(db.images.locations.ids_by_path(project.store).values())


def images(project: Project) -> list[Image]:
    return db.images.lookup.by_ids(project.store, image_ids(project))


def embed(project: Project, ids: Sequence[int]) -> np.ndarray:
    """Give them embeddings (n, 768) that are far from each other, and return those."""
    vectors = np.random.default_rng(5).normal(0, 3, (len(ids), WIDTH)).astype(np.float32)
    known = db.images.embeddings.register_encoder(project.store, project.encoder, WIDTH, False, {})
    db.images.embeddings.put(project.store, known.id, np.array(ids), vectors)
    return vectors


def score(
    project: Project, given: Sequence[tuple[int, float]], scorer: str | None, why: str | None = None
) -> None:
    """Hand scores, one minute apart, by `scorer`."""
    past = len(db.scores.hand_scores.histories(project.store, image_ids(project)))
    events = [
        Event(
            event_id=f"{scorer}-{image_id}-{float(value)}",
            kind="score",
            image_id=image_id,
            at=START + timedelta(minutes=past + number),
            value=float(value),
            scorer=scorer,
            why=why,
        )
        for number, (image_id, value) in enumerate(given)
    ]
    receipts = db.scores.events.record(project.store, events)
    assert [receipt.problem for receipt in receipts if not receipt.accepted] == []
