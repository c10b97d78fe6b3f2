"""A collection whose hand scores stand in a file, read and embedded to play the loop with it.

The pictures go through a project like any others, so what is broken is named and left out, and a
second simulation in the same folder finds everything embedded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import db.images.embeddings
import db.images.locations
import db.images.lookup
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import Line, read_lines
from labeler.core.images.lookup import on_disk
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.embedding.embed import embed
from labeler.review.simulation.simulate import Labelled
from labeler.scoring.label import read_score
from model.encoders.names import canonical
from model.estimators.group_folds import connected_groups

Tell = Callable[[str], None]


@dataclass(slots=True)
class _Answers:
    """What the file says, by the path of the picture."""

    scores: dict[str, float] = field(default_factory=dict)
    groups: dict[str, str | None] = field(default_factory=dict)


def read_labelled(
    labels: Path,
    images_folder: Path,
    *,
    encoder: str = "lite",
    folder: Path,
    progress: Progress = silent,
    tell: Tell = lambda _: None,
) -> Labelled:
    """The pictures named in `labels` (columns path, relative to `images_folder`, and score 0–10;
    split_group if there), embedded in a project in `folder`, which is made or gone on with.

    `tell` gets a sentence about each line or picture that is left out. The same content counts
    once, with the score of its first line. Groups join equal split_group and near-duplicates.
    Raises `BadInput` where nothing is left, or `folder` belongs to another encoder.
    """
    answers = _read(labels, images_folder, tell)
    project = _project(folder, encoder)
    try:
        summary = import_paths(
            project, sorted(answers.scores), source="labelled", progress=progress
        )
        for path, reason in summary.unreadable:
            tell(f"{path} is left out: {reason}")
        for path, reason in embed(project, progress=progress).failed:
            tell(f"{path} is left out: {reason}")
        return _joined(project, answers)
    finally:
        project.close()


def _project(folder: Path, encoder: str) -> Project:
    if not folder.exists():
        return Project.create(folder, encoder)
    project = Project.open(folder)
    if project.encoder != canonical(encoder):
        project.close()
        raise BadInput(
            f"{folder} was embedded with {project.encoder}; take that with --encoder, or another "
            "folder with --out."
        )
    return project


def _read(labels: Path, images_folder: Path, tell: Tell) -> _Answers:
    answers = _Answers()
    for line in read_lines(labels, [("path",), ("score",)]):
        found, score = on_disk(images_folder, line.cell("path")), _score(line)
        path = (found or images_folder / line.cell("path")).resolve()
        if score is None:
            tell(f"{labels}, line {line.number}: {line.cell('score')!r} is no score from 0 to 10.")
        elif not path.is_file():
            tell(f"{labels}, line {line.number}: there is no picture {path}.")
        elif str(path) not in answers.scores:
            answers.scores[str(path)] = score
            answers.groups[str(path)] = line.cell("split_group", "group") or None
    if not answers.scores:
        raise BadInput(
            f"{labels} names no picture in {images_folder} with a score; check --images."
        )
    return answers


def _score(line: Line) -> float | None:
    try:
        return read_score(line.cell("score"))
    except BadInput:
        return None


def _joined(project: Project, answers: _Answers) -> Labelled:
    """One row for each picture that has an embedding, by its id."""
    store = project.store
    record = db.images.embeddings.encoder(store, project.encoder)
    path_of: dict[int, str] = {}
    known = db.images.locations.ids_by_path(store)
    for path in answers.scores:
        if path in known:
            path_of.setdefault(known[path], path)
    wanted = np.array(sorted(path_of), dtype=np.int64)
    if record is None or not len(wanted):
        raise BadInput("None of the pictures could be embedded; see what was left out above.")
    ids, vectors = db.images.embeddings.get(store, record.id, wanted)
    paths = [path_of[image_id] for image_id in ids.tolist()]
    looks = dict(
        zip(*(each.tolist() for each in db.images.lookup.fingerprints(store)), strict=True)
    )
    hashes = np.array([looks.get(image_id, 0) for image_id in ids.tolist()], dtype=np.uint64)
    names = [answers.groups[path] for path in paths]
    return Labelled(
        embeddings=vectors,
        scores=np.array([answers.scores[path] for path in paths]),
        groups=connected_groups(len(ids), names, hashes, vectors),
        hashes=hashes,
    )
