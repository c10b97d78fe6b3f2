"""What an export would hold, told before it is made: counts, a few rows, what may surprise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import db.images.embeddings
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
from labeler.collection.arrays import images_now
from labeler.core.files.tables import Table
from labeler.core.project import Project
from labeler.exports.datasets.export import Kind, with_defaults
from labeler.exports.datasets.formats.cityclassifiers import notes as trainer_notes
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.rows import COLUMNS, Dataset, ids_of

_EMBEDDED = frozenset({"cityclassifiers", "clip-retrieval"})
# Splits need a look at all images for near-duplicates, which a page doesn't wait for.
_SHOWN = [name for name in COLUMNS if name != "split"]


@dataclass(frozen=True)
class Preview:
    """`missing` images have no file at present; `notes` are sentences."""

    images: int
    scored: int
    predicted: int
    missing: int
    version: str | None
    sample: Table
    notes: list[str]


def preview(project: Project, kind: Kind, plan: Plan, rows: int = 5) -> Preview:
    """`rows` is how many images the sample holds. Raises `BadInput` as `labeler.exports` does."""
    ids = ids_of(project, scored_only=bool(with_defaults(kind, plan).scored_only))
    images = images_now(project)
    scored, values = db.scores.hand_scores.effective(project.store)
    exported = np.isin(scored, ids)
    version = db.versions.registry.active(project.store)
    predicted = 0
    if version is not None:
        found = db.versions.predictions.predictions(project.store, version.id).image_ids
        predicted = int(np.isin(ids, found).sum())
    sample = Dataset(project, plan, ids[:rows], np.zeros(len(ids[:rows]), dtype=np.int8))
    place = [list(COLUMNS).index(name) for name in _SHOWN]
    return Preview(
        images=len(ids),
        scored=int(exported.sum()),
        predicted=predicted,
        missing=int((~images.fine[images.rows(ids)]).sum()),
        version=version.name if version else None,
        sample=Table(
            {name: COLUMNS[name] for name in _SHOWN},
            [[row.cells()[k] for k in place] for row in sample.rows()],
        ),
        notes=_notes(project, kind, values[exported]),
    )


def _notes(project: Project, kind: Kind, values: np.ndarray) -> list[str]:
    if kind.name not in _EMBEDDED:
        return []
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if encoder is None:
        return ["There are no embeddings yet: embed the images first."]
    if kind.name == "cityclassifiers":
        return trainer_notes(set(np.floor(values + 0.5).astype(int).tolist()), encoder)
    return []
