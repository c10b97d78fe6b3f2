"""Carry-over of hand scores from a picture to the one that replaced it in its file.

A picture that was recompressed, resized or retouched has other pixels, so it is another image. The
scores stay with the old image, whose file is missing, until a person carries them over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import db.images.pixel_hashes
import db.importing.replaced_images
from db.importing.removal import remove_unneeded
from db.records import Image, ImportedFile, Pixels
from labeler.collection.previews import delete_previews
from labeler.core.images.pixel_identity import likeness
from labeler.core.project import Project

COMMAND = "labeler carry-over"


@dataclass(frozen=True, slots=True)
class CarryOver:
    """A scored `old` image whose file holds the unscored `new` one now.

    `near`: the two look alike.
    """

    old: Image
    new: Image
    near: bool


def carry_overs(project: Project) -> list[CarryOver]:
    """Return all scores that can be carried over: near ones first, then by path."""
    pairs = db.importing.replaced_images.replaced(project.store)
    ids = {image.id for pair in pairs for image in (pair.old, pair.new)}
    shown = db.images.pixel_hashes.pixels_of(project.store, ids)
    offers = [CarryOver(pair.old, pair.new, _is_near(pair.old, pair.new, shown)) for pair in pairs]
    return sorted(offers, key=lambda offer: (not offer.near, offer.new.path))


def carry_over(project: Project, accepted: Sequence[CarryOver]) -> int:
    """Give the hand scores of the old images to the new ones; returns how many images got some."""
    pairs = [(offer.old.id, offer.new.id) for offer in accepted]
    carried = db.importing.replaced_images.carry_over(project.store, pairs)
    for content in [*carried, *remove_unneeded(project.store)]:
        delete_previews(project, content)
    return len(carried)


def _is_near(old: Image, new: Image, shown: dict[int, Pixels]) -> bool:
    file = ImportedFile(
        new.path,
        new.source_id,
        0,
        new.size_bytes,
        content_hash=new.content_hash,
        fingerprint=new.fingerprint,
        format=new.format,
        width=new.width,
        height=new.height,
        pixels=shown.get(new.id),
    )
    result = likeness(old, shown.get(old.id), file)
    return result.same or result.turned or result.near
