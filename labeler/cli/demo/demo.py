"""A ready project on a collection that our own code draws: the loop within a minute.

A first set of hand scores follows the rule in `labeler.cli.demo.drawings.kinds`, but for a few
slips that are there to be found in the queue of hand scores that look wrong. The rest is left to
the person; `scores-by-rule.csv` holds what the rule says about every picture, in the form that
`labeler label --from` reads.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import db.images.locations
import db.scores.events
import db.versions.registry
from db.records import Event
from labeler.collection.importing import import_paths
from labeler.core.errors import LabelerError
from labeler.core.files.atomic import atomic_write
from labeler.core.progress import Progress, silent
from labeler.core.project import Project, is_project

if TYPE_CHECKING:
    from PIL import Image

    from model.encoders.encoder import Encoder
    from model.training.recipe import Recipe

PICTURES = 360
FIRST_SCORES = 120
SLIPS = 6
RULE_FILE = "scores-by-rule.csv"
_SETTING = "demo"


@dataclass(frozen=True)
class DrawnPicture:
    """A picture of the collection on disk and what the rule gives it (0–10)."""

    path: Path
    kind: str
    score: int


def make_demo(
    folder: Path,
    count: int = PICTURES,
    seed: int = 0,
    progress: Progress = silent,
    *,
    encoder: Encoder | None = None,
    recipe: str | Recipe = "quick",
) -> Project:
    """Draw, import, score in part, embed and train v1.0; a demo that is ready is only opened.

    `encoder` stands in for the project's own, `lite`. The pictures, which of them are scored and
    the slips depend on `seed` and `count` alone. One that was interrupted goes on. Raises
    `LabelerError` if the folder holds another project.
    """
    project = _project_in(folder)
    if project.store.setting(_SETTING) == "ready":
        return project
    try:
        _fill(project, count, seed, progress)
        _embed_and_train(project, progress, encoder, recipe)
        project.store.set_setting(_SETTING, "ready")
    except BaseException:
        project.close()
        raise
    return project


def _fill(project: Project, count: int, seed: int, progress: Progress) -> None:
    collection = project.folder / "collection"
    drawn = draw_collection(collection, count, seed, progress)
    _write_rule(project.folder / RULE_FILE, drawn)
    scenes = collection / "scenes"
    others = sorted({picture.path.parent for picture in drawn} - {scenes})
    import_paths(project, others, progress=progress)
    import_paths(project, [scenes], expect=(0, 1), progress=progress)
    _give_first_scores(project, drawn, np.random.default_rng(seed))


def _project_in(folder: Path) -> Project:
    if not is_project(folder):
        project = Project.create(folder, encoder="lite")
        project.store.set_setting(_SETTING, "started")
        return project
    project = Project.open(folder)
    if project.store.setting(_SETTING) is None:
        project.close()
        raise LabelerError(
            f"{folder} holds a project that is not the demo; name another folder: labeler demo DIR"
        )
    return project


def draw_collection(
    folder: Path, count: int = PICTURES, seed: int = 0, progress: Progress = silent
) -> list[DrawnPicture]:
    """Draw about `count` pictures into `folder`/KIND/NUMBER.EXTENSION; returns them in order."""
    plan = list(_plan(folder, count))
    drawn: list[DrawnPicture] = []
    # Most of the drawing happens inside Pillow, outside Python's lock.
    with ThreadPoolExecutor(2, thread_name_prefix="draw") as pool:
        try:
            for picture in pool.map(lambda job: _draw(job, seed), plan):
                drawn.append(picture)
                progress(len(drawn), len(plan), "drawing")
        finally:
            pool.shutdown(cancel_futures=True)
    return drawn


def _plan(folder: Path, count: int) -> Iterator[tuple[Path, str, int]]:
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.cli.demo.drawings.kinds import SHARES

    for kind, share in SHARES.items():
        for number in range(1, max(1, round(count * share)) + 1):
            yield folder / kind, kind, number


def _draw(job: tuple[Path, str, int], seed: int) -> DrawnPicture:
    from labeler.cli.demo.drawings.kinds import SHARES, draw

    folder, kind, number = job
    rng = np.random.default_rng([seed, list(SHARES).index(kind), number])
    image, score = draw(kind, rng)
    photo = kind == "scenes" or (image.mode == "RGB" and rng.random() < 0.6)
    path = folder / f"{kind}-{number:03}{'.jpg' if photo else '.png'}"
    _save(image, path)
    return DrawnPicture(path, kind, score)


def _save(image: Image.Image, path: Path) -> None:
    with atomic_write(path, lasting=False) as scratch:
        if path.suffix == ".jpg":
            image.save(scratch, "JPEG", quality=90)
        else:
            image.save(scratch, "PNG", compress_level=4)


def _write_rule(path: Path, drawn: Sequence[DrawnPicture]) -> None:
    with atomic_write(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "score"])
        rows.writerows(
            (picture.path.relative_to(path.parent).as_posix(), picture.score) for picture in drawn
        )


def _give_first_scores(
    project: Project, drawn: Sequence[DrawnPicture], rng: np.random.Generator
) -> None:
    """Score a third of the pictures by the rule, the first few of them wrongly."""
    chosen = rng.permutation(len(drawn))[: min(FIRST_SCORES, len(drawn) // 3)]
    ids = db.images.locations.ids_by_path(project.store)
    now, events, slips = datetime.now(UTC), [], 0
    for picture in (drawn[index] for index in chosen):
        value = picture.score
        if slips < SLIPS and (value <= 1 or value >= 7):
            value, slips = 9 - value, slips + 1
        image_id = ids[str(picture.path)]
        events.append(
            Event(
                f"demo-{picture.path.stem}",
                "score",
                image_id,
                now,
                float(value),
                "import",
                scorer="demo",
            )
        )
    db.scores.events.record(project.store, events)


def _embed_and_train(
    project: Project, progress: Progress, encoder: Encoder | None, recipe: str | Recipe
) -> None:
    from labeler.embedding.embed import embed
    from labeler.versions.activate import predict_active
    from labeler.versions.train import train

    embed(project, encoder=encoder, progress=progress)
    if db.versions.registry.active(project.store) is None:
        note = "First scores of the demo."
        train(project, recipe=recipe, note=note, encoder=encoder, progress=progress)
    else:
        predict_active(project, progress)
