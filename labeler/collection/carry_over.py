"""Hand scores of pictures whose file holds another picture now: offered to the new one.

A picture that was compressed anew, resized or touched up in its place is another image: its pixels
are others. What was scored stays with the old one, which is missing, until a person says that the
scores hold for the new one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import db.images.pixel_hashes
import db.importing.replaced_images
from db.importing.removal import remove_unneeded
from db.records import Image, ImportedFile, Pixels
from labeler.collection.previews import forget_small_copies
from labeler.core.images.pixel_identity import likeness
from labeler.core.project import Project

COMMAND = "labeler carry-over"


@dataclass(frozen=True, slots=True)
class CarryOver:
    """The scored `old` image of a file that holds the unscored `new` one now.

    `near`: a person would take the one for the other.
    """

    old: Image
    new: Image
    near: bool


def carry_overs(project: Project) -> list[CarryOver]:
    """Every score that could be carried over, near ones first, by path."""
    pairs = db.importing.replaced_images.replaced(project.store)
    ids = {image.id for pair in pairs for image in (pair.old, pair.new)}
    shown = db.images.pixel_hashes.pixels_of(project.store, ids)
    found = [CarryOver(pair.old, pair.new, _is_near(pair.old, pair.new, shown)) for pair in pairs]
    return sorted(found, key=lambda offer: (not offer.near, offer.new.path))


def carry_over(project: Project, taken: Sequence[CarryOver]) -> int:
    """Have the hand scores of the old images count for the new ones; returns for how many."""
    pairs = [(offer.old.id, offer.new.id) for offer in taken]
    carried = db.importing.replaced_images.carry_over(project.store, pairs)
    for content in [*carried, *remove_unneeded(project.store)]:
        forget_small_copies(project, content)
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
    now = likeness(old, shown.get(old.id), file)
    return now.same or now.turned or now.near
