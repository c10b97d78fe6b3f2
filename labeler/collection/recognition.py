"""Recognition of known pictures in files with new bytes.

A file that was rewritten is compared with the picture that it held before. For other files equal
hashes of pixels are confirmed by comparing all pixels, if the known picture's file still exists.
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
    """Return the files with `same_as` or `instead_of` set to an image's id where there is one.

    `held` has the image id that each path held before.
    """
    decoded = [file for file in files if file.pixels is not None]
    if not decoded:
        return list(files)
    held_ids = {held[file.path] for file in decoded if file.path in held}
    by_pixel_hash = db.images.pixel_hashes.ids_by_pixel_hash(
        store, {file.pixels.pixel_hash for file in decoded if file.pixels}
    )
    candidate_ids = held_ids | {image_id for ids in by_pixel_hash.values() for image_id in ids}
    images = {image.id: image for image in db.images.lookup.by_ids(store, sorted(candidate_ids))}
    pixels = db.images.pixel_hashes.pixels_of(store, held_ids)
    return [
        _recognise_file(file, images, pixels, by_pixel_hash, held.get(file.path)) for file in files
    ]


def _recognise_file(
    file: ImportedFile,
    images: Mapping[int, Image],
    pixels: Mapping[int, Pixels],
    by_pixel_hash: Mapping[str, Sequence[int]],
    held_id: int | None,
) -> ImportedFile:
    if file.pixels is None:
        return file
    held_image = images.get(held_id) if held_id is not None else None
    is_unchanged = held_image is not None and held_image.content_hash == file.content_hash
    turned = False
    if held_image is not None and held_image.content_hash is not None and not is_unchanged:
        result = likeness(held_image, pixels.get(held_image.id), file)
        if result.same:
            return replace(file, same_as=held_image.id)
        turned = result.turned
    for image_id in by_pixel_hash.get(file.pixels.pixel_hash, ()):
        other = images[image_id]
        if other.content_hash == file.content_hash:
            return file
        if _is_same(file, other):
            return replace(file, same_as=image_id)
    return replace(file, instead_of=held_id) if turned else file


def _is_same(file: ImportedFile, other: Image) -> bool:
    """Return whether the file shows the image `other`, whose hash of pixels it has."""
    if (file.width, file.height) != (other.width, other.height):
        return False
    path = Path(other.path)
    try:
        with open_in_memory(path) as opened:
            is_unchanged = content_hash(opened) == other.content_hash
        return not is_unchanged or shows_the_same(Path(file.path), path)
    except (UnreadableImage, OSError):  # gone: the hash alone decides
        return True
