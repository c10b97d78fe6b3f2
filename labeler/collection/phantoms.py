"""Merge images known by their embedding alone into the pictures that their names mean."""

from __future__ import annotations

import os

import db.images.locations
from db.importing.embedding_only import UnseenImage, merge_into, unseen_images
from labeler.core.images.lookup import Lookup, normalised
from labeler.core.project import Project


def match_phantoms(project: Project) -> int:
    """Merge each image known by its embedding alone into the picture that its name means.

    Its embedding, and what was done to it, become the picture's. Returns how many were merged.
    """
    phantoms = unseen_images(project.store)
    if not phantoms:
        return 0
    lookup = Lookup(lambda: db.images.locations.ids_by_path(project.store, seen_only=True))
    pairs = [
        (one.image_id, image_id)
        for one in phantoms
        if (image_id := _meant(lookup, one)) is not None
    ]
    if pairs:
        merge_into(project.store, pairs)
    return len(pairs)


def _meant(lookup: Lookup, one: UnseenImage) -> int | None:
    inside = one.root is not None and one.path.startswith(f"{one.root}{os.sep}")
    path = os.path.relpath(one.path, one.root) if inside else one.path
    return lookup.find(path, (one.path, normalised(one.path)))
