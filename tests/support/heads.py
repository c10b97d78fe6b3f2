"""Versions with real weights, though nothing was trained: for what leaves the project."""

from __future__ import annotations

import numpy as np
import torch

import db.images.embeddings
import db.images.locations
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
from db.records import EncoderRecord, NewVersion, Predictions, Version
from labeler.core.project import Project
from labeler.versions.files import create_files, head_metadata
from model.heads.head import Head, predict
from model.heads.head_files import save_head
from model.heads.published_heads import AnyHead


def spread_head(vectors: np.ndarray, hidden: int = 24, seed: int = 0) -> Head:
    """A head at random whose scores of `vectors` (n, width) spread over most of 0–1."""
    torch.manual_seed(seed)
    head = Head(vectors.shape[1], hidden).eval().requires_grad_(False)
    last = head.down[5]
    said = head.logits(torch.from_numpy(vectors))
    last.weight.div_(said.std())
    last.bias.sub_(said.mean()).div_(said.std())
    return head


def add_version_of(
    project: Project, head: AnyHead, record: EncoderRecord, *, foreign: bool = False
) -> Version:
    """`head` as the active version; made here, with all scores so far, unless it is `foreign`."""
    ids, values = db.scores.hand_scores.effective(project.store)
    if foreign:
        ids, values = ids[:0], values[:0]
    name = "published" if foreign else db.versions.registry.next_name(project.store)
    new = NewVersion(
        name=name,
        parent=None,
        encoder=record.identity,
        recipe="foreign" if foreign else "quick",
        threshold=0.5,
        file=f"{name}.safetensors",
        scored_ids=ids,
        scored_values=values,
        settings={"kind": "a kind", "file": "x.pth", "scale": [1.0, 10.0]} if foreign else {},
    )
    with create_files(project, new) as path:
        save_head(path, head, name="taste", rev=name, metadata=head_metadata(record, new))
        version = db.versions.registry.add(project.store, new)
    known = np.array(sorted(db.images.locations.ids_by_path(project.store).values()))
    embedded, vectors = db.images.embeddings.get(project.store, record.id, known)
    if len(embedded):
        made = Predictions(embedded, predict(head, vectors))
        db.versions.predictions.put_predictions(project.store, version.id, made)
    return version
