"""Read a collection with hand scores from a file, and embed it for a simulation.

The pictures are imported into a project, so broken ones are named and left out, and a second
simulation in the same folder reuses the embeddings.
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
from labeler.review.simulation.simulate import LabelledData
from labeler.scoring.label import read_score
from model.encoders.names import canonical
from model.estimators.group_folds import connected_groups

PrintMessage = Callable[[str], None]


@dataclass(slots=True)
class _LabelFile:
    """The contents of the label file, by the path of the picture."""

    scores: dict[str, float] = field(default_factory=dict)
    groups: dict[str, str | None] = field(default_factory=dict)


def read_labelled(
    labels: Path,
    images_folder: Path,
    *,
    encoder: str = "lite",
    folder: Path,
    progress: Progress = silent,
    print_message: PrintMessage = lambda _: None,
) -> LabelledData:
    """Read and embed the pictures named in `labels`.

    `labels` has the columns path, relative to `images_folder`, score 0–10 and optionally
    split_group. The project in `folder` is created, or reused. `print_message` gets a sentence
    about each line or picture that is left out. The same content counts once, with the score of its
    first line. Groups join equal split_group and near-duplicates. Raises `BadInput` where nothing
    is left, or `folder` belongs to another encoder.
    """
    labels_by_path = _read_label_file(labels, images_folder, print_message)
    project = _open_project(folder, encoder)
    try:
        summary = import_paths(
            project, sorted(labels_by_path.scores), source="labelled", progress=progress
        )
        for path, reason in summary.unreadable:
            print_message(f"{path} is left out: {reason}")
        for path, reason in embed(project, progress=progress).failed:
            print_message(f"{path} is left out: {reason}")
        return _labelled_data(project, labels_by_path)
    finally:
        project.close()


def _open_project(folder: Path, encoder: str) -> Project:
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


def _read_label_file(labels: Path, images_folder: Path, print_message: PrintMessage) -> _LabelFile:
    labels_by_path = _LabelFile()
    for line in read_lines(labels, [("path",), ("score",)]):
        existing, score = on_disk(images_folder, line.cell("path")), _score(line)
        path = (existing or images_folder / line.cell("path")).resolve()
        if score is None:
            print_message(
                f"{labels}, line {line.number}: {line.cell('score')!r} is no score from 0 to 10."
            )
        elif not path.is_file():
            print_message(f"{labels}, line {line.number}: there is no picture {path}.")
        elif str(path) not in labels_by_path.scores:
            labels_by_path.scores[str(path)] = score
            labels_by_path.groups[str(path)] = line.cell("split_group", "group") or None
    if not labels_by_path.scores:
        raise BadInput(
            f"{labels} names no picture in {images_folder} with a score; check --images."
        )
    return labels_by_path


def _score(line: Line) -> float | None:
    try:
        return read_score(line.cell("score"))
    except BadInput:
        return None


def _labelled_data(project: Project, labels_by_path: _LabelFile) -> LabelledData:
    """Return one row for each picture that has an embedding, by its id."""
    store = project.store
    record = db.images.embeddings.encoder(store, project.encoder)
    path_of: dict[int, str] = {}
    id_of = db.images.locations.ids_by_path(store)
    for path in labels_by_path.scores:
        if path in id_of:
            path_of.setdefault(id_of[path], path)
    ids = np.array(sorted(path_of), dtype=np.int64)
    if record is None or not len(ids):
        raise BadInput("None of the pictures could be embedded; see what was left out above.")
    ids, vectors = db.images.embeddings.get(store, record.id, ids)
    paths = [path_of[image_id] for image_id in ids.tolist()]
    hash_of = dict(
        zip(*(each.tolist() for each in db.images.lookup.fingerprints(store)), strict=True)
    )
    hashes = np.array([hash_of.get(image_id, 0) for image_id in ids.tolist()], dtype=np.uint64)
    names = [labels_by_path.groups[path] for path in paths]
    return LabelledData(
        embeddings=vectors,
        scores=np.array([labels_by_path.scores[path] for path in paths]),
        groups=connected_groups(len(ids), names, hashes, vectors),
        hashes=hashes,
    )
