"""Which known picture a file shows whose bytes are new: at its own place, or at any other.

A file that was written anew at its place is held against what it showed before. Elsewhere equal
hashes of pixels have to be confirmed by all pixels, as long as there is a file to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import db.images.lookup
import db.images.pixel_hashes
from db.records import Image, ImportedFile, Pixels
from db.store.store import Store
from labeler.core.archives.opening import open_in_memory
from labeler.core.images.pixel_identity import likeness, shows_the_same
from model.errors import UnreadableImage
from model.images.hashing import content_hash


def recognise(
    store: Store, files: Sequence[ImportedFile], held: Mapping[str, int]
) -> list[ImportedFile]:
    """The files, each with the image that it is the `same_as`, or comes `instead_of`, if any.

    `held` has the image that each path was known to hold.
    """
    looked = [file for file in files if file.pixels is not None]
    if not looked:
        return list(files)
    before = {held[file.path] for file in looked if file.path in held}
    showing = db.images.pixel_hashes.ids_by_pixel_hash(
        store, {file.pixels.pixel_hash for file in looked if file.pixels}
    )
    wanted = before | {image_id for ids in showing.values() for image_id in ids}
    known = {image.id: image for image in db.images.lookup.by_ids(store, sorted(wanted))}
    shown = db.images.pixel_hashes.pixels_of(store, before)
    return [_recognised(file, known, shown, showing, held.get(file.path)) for file in files]


def _recognised(
    file: ImportedFile,
    known: Mapping[int, Image],
    shown: Mapping[int, Pixels],
    showing: Mapping[str, Sequence[int]],
    held: int | None,
) -> ImportedFile:
    if file.pixels is None:
        return file
    was = known.get(held) if held is not None else None
    is_what_it_was = was is not None and was.content_hash == file.content_hash
    turned = False
    if was is not None and was.content_hash is not None and not is_what_it_was:
        now = likeness(was, shown.get(was.id), file)
        if now.same:
            return replace(file, same_as=was.id)
        turned = now.turned
    for image_id in showing.get(file.pixels.pixel_hash, ()):
        other = known[image_id]
        if other.content_hash == file.content_hash:
            return file
        if _is_same(file, other):
            return replace(file, same_as=image_id)
    return replace(file, instead_of=held) if turned else file


def _is_same(file: ImportedFile, other: Image) -> bool:
    """Whether the file shows that image, whose hash of pixels it has."""
    if (file.width, file.height) != (other.width, other.height):
        return False
    place = Path(other.path)
    try:
        with open_in_memory(place) as opened:
            is_as_it_was = content_hash(opened) == other.content_hash
        return not is_as_it_was or shows_the_same(Path(file.path), place)
    except (UnreadableImage, OSError):  # gone, so that there is nothing to compare with
        return True
