"""Which files hold which image: the same picture twice, moved, changed, gone, come back."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.images.locations import ADD_LOCATION, ARRIVE
from db.images.pixel_hashes import forget_content, note_content
from db.images.pixel_hashes import keep as keep_pixels
from db.images.states import has_file, update_states
from db.importing.merge import absorb, copy_embeddings, merge
from db.importing.removal import next_image_id
from db.query_parts import is_in
from db.records import FileOutcome, ImportedFile
from db.store.schema import ImageRow, LocationRow, OtherContentRow
from db.store.store import Store

_SHUFFLE_BITS = 31
_NEVER_SEEN = (0, 0)  # mtime_ns and size_bytes of a place where no file was ever looked at


def record_files(store: Store, files: Sequence[ImportedFile]) -> list[FileOutcome]:
    """Keep what the import found, in one transaction; one outcome per file, in order.

    - known: the path holds the image that it held before;
    - new: an image not seen before, or one seen unreadable (or known by its embedding alone) that
      can be read now;
    - duplicate: another present file of a known image;
    - moved: a known image whose other files are gone (`mark_missing` them first);
    - changed: the path held another image before; that one is missing if it has no other file;
    - rewritten: the path holds the picture that it held before, in other bytes; where nobody knows
      what pixels it had it is to be embedded anew;
    - turned: the path holds that picture turned, as an image of its own which takes over from it;
    - unreadable: recorded with its reason, whatever it was before.

    An image known by this path alone is merged into the one that the file turns out to hold, and so
    is one into another that shows the same picture: the younger into the older.
    """
    touched: set[int] = set()
    merged: list[tuple[int, int]] = []
    with store.transaction() as session:
        connection = session.connection()
        fresh = _add_fresh(connection, files)
        outcomes = [
            FileOutcome(file.path, "new", fresh[number])
            if number in fresh
            else _record(session, file, touched, merged)
            for number, file in enumerate(files)
        ]
        keep_pixels(
            connection,
            {
                outcome.image_id: file.pixels
                for outcome, file in zip(outcomes, files, strict=True)
                if file.pixels is not None
            },
        )
        update_states(connection, touched)
        copy_embeddings(connection, merged)
        merge(session, merged)
        return outcomes


def _add_fresh(connection: Connection, files: Sequence[ImportedFile]) -> dict[int, int]:
    """Add all at once those that are new by path and content: place in `files` → image id.

    Nearly all files of a first import are; nothing about them has to be looked up one by one.
    """
    paths = _among(connection, LocationRow.path, [file.path for file in files])
    contents = [file.content_hash for file in files]
    hashes = _among(connection, ImageRow.content_hash, contents)
    hashes |= _among(connection, OtherContentRow.content_hash, contents)
    fresh = []
    for number, file in enumerate(files):
        known = file.path in paths or file.content_hash is None or file.content_hash in hashes
        if not known and file.reason is None and file.same_as is None:
            fresh.append(number)
        paths.add(file.path)  # what comes again in this batch is a duplicate, or a change
        hashes.add(file.content_hash)
    if not fresh:
        return {}
    first = next_image_id(connection)
    rows = [_image_values(files[number], first + place) for place, number in enumerate(fresh)]
    connection.execute(_ADD_IMAGES, rows)
    found = {number: first + place for place, number in enumerate(fresh)}
    connection.execute(
        ADD_LOCATION, [_location_values(files[number], id_) for number, id_ in found.items()]
    )
    return found


def _among(
    connection: Connection, attribute: InstrumentedAttribute[Any], values: Iterable[str | None]
) -> set[str | None]:
    """Return which of `values` the store has."""
    return set(connection.scalars(select(attribute).where(is_in(attribute, values))))


def mark_missing(store: Store, source_id: int | None, paths: Iterable[str]) -> int:
    """Note that these files (of one source, or of any) are gone.

    Returns how many images have no present file left because of it.
    """
    touched: set[int] = set()
    with store.transaction() as session:
        connection = session.connection()
        for path in paths:
            place = connection.execute(_AT_PATH, {"path": path}).first()
            if place is None or not place.present or source_id not in (None, place.source_id):
                continue
            connection.execute(_LEAVE, {"left": place.id})
            touched.add(place.image_id)
        before = _missing_among(connection, touched)
        update_states(connection, touched)
        return _missing_among(connection, touched) - before


# Built once: an import runs them for every file. A path's present image comes first.
_AT_PATH = (
    select(
        LocationRow.id,
        LocationRow.image_id,
        LocationRow.source_id,
        LocationRow.present,
        LocationRow.mtime_ns,
        LocationRow.size_bytes,
    )
    .where(LocationRow.path == bindparam("path"))
    .order_by(LocationRow.present.desc(), LocationRow.id.desc())
    .limit(1)
)
_IMAGE = select(ImageRow.id, ImageRow.content_hash, ImageRow.reason, has_file().label("here"))
_BY_HASH = _IMAGE.where(ImageRow.content_hash == bindparam("hash"))
_BY_ID = _IMAGE.where(ImageRow.id == bindparam("image"))
_BY_OTHER = _IMAGE.join_from(
    ImageRow, OtherContentRow, OtherContentRow.image_id == ImageRow.id
).where(OtherContentRow.content_hash == bindparam("hash"))
_UNREAD = _IMAGE.where(ImageRow.id == bindparam("image"), ImageRow.content_hash.is_(None))
_ADD_IMAGES = insert(ImageRow.__table__)  # type: ignore[arg-type]
_LEAVE = (
    update(LocationRow.__table__)  # type: ignore[arg-type]
    .where(LocationRow.id == bindparam("left"))
    .values(present=False)
)
_FIRST_PATH = select(LocationRow.path).where(LocationRow.image_id == bindparam("image"))
_FIRST_PATH = _FIRST_PATH.order_by(LocationRow.present.desc(), LocationRow.id).limit(1)


# Embeddings that came without how they were made can't be made again: they stay.
_UNSEEN = "image_id = :image AND NOT EXISTS (SELECT 1 FROM image_pixels WHERE image_id = :image)"
_OURS = "encoder_id IN (SELECT id FROM encoders WHERE preprocessing != '{}')"
_FORGET_UNSEEN = (
    f"DELETE FROM predictions WHERE {_UNSEEN} AND version_id IN"
    f" (SELECT id FROM versions WHERE {_OURS})",
    f"DELETE FROM embeddings WHERE {_UNSEEN} AND {_OURS}",
)


def _record(
    session: Session,
    file: ImportedFile,
    touched: set[int],
    merged: list[tuple[int, int]],
) -> FileOutcome:
    connection = session.connection()
    place = connection.execute(_AT_PATH, {"path": file.path}).first()
    image, former = _image_of(connection, file, place), None
    if file.same_as is not None and (other := _other_half(connection, file)) is not None:
        kept, left = sorted((file.same_as, other))
        former = next(iter(absorb(session, [(left, kept)])), None)
        image = connection.execute(_BY_ID, {"image": kept}).first()
        place = connection.execute(_AT_PATH, {"path": file.path}).first()
    outcome = _outcome(file, place, image)
    if image is None:
        image_id = _add_image(connection, file)
    else:
        image_id = image.id
        former = _refresh(connection, file, image) or former
    if outcome == "rewritten":
        for statement in _FORGET_UNSEEN:
            connection.exec_driver_sql(statement, {"image": image_id})
    touched.add(image_id)
    if place is not None and place.image_id != image_id:
        connection.execute(_LEAVE, {"left": place.id})
        touched.add(place.image_id)
        if _unread_at(connection, file, place) is not None:
            merged.append((place.image_id, image_id))
    connection.execute(ARRIVE, _location_values(file, image_id))
    if _takes_over(connection, file, image_id):
        former = next(iter(absorb(session, [(int(file.instead_of or 0), image_id)])), former)
        outcome = "turned"
    return FileOutcome(file.path, outcome, image_id, former)


def _takes_over(connection: Connection, file: ImportedFile, image_id: int) -> bool:
    """Not from an image of which another file is still as it was."""
    if file.instead_of in (None, image_id):
        return False
    before = connection.execute(_BY_ID, {"image": file.instead_of}).first()
    return before is not None and not before.here


def _other_half(connection: Connection, file: ImportedFile) -> int | None:
    """Return an image that has the file's content as its own though it is to be the same as
    another.
    """
    other = connection.execute(_BY_HASH, {"hash": file.content_hash}).first()
    return None if other is None or other.id == file.same_as else int(other.id)


def _image_of(connection: Connection, file: ImportedFile, place: Any) -> Any:
    """Return the image that this file holds, `None` if the store doesn't know it.

    A file that could not even be read has no hash: it stays the image of its path as long as that
    has none either, and becomes the image that it turns out to be.
    """
    if file.same_as is not None:
        return connection.execute(_BY_ID, {"image": file.same_as}).first()
    if file.content_hash is not None:
        for query in (_BY_HASH, _BY_OTHER):
            image = connection.execute(query, {"hash": file.content_hash}).first()
            if image is not None:
                return image
    return None if place is None else _unread_at(connection, file, place)


def _unread_at(connection: Connection, file: ImportedFile, place: Any) -> Any:
    """Return the image known by the file's path alone, `None` if there is none or the file is
    another.

    One whose row was lost (db/repair/foreign_keys.py) is known by its file's size and time, too:
    another picture may have its path by now. Of one that came as an embedding neither is known.
    """
    image = connection.execute(_UNREAD, {"image": place.image_id}).first()
    if image is None or image.reason is not None:
        return image
    then, now = (place.mtime_ns, place.size_bytes), (file.mtime_ns, file.size_bytes)
    return image if then in (now, _NEVER_SEEN) else None


def _outcome(file: ImportedFile, place: Any, image: Any) -> str:
    if file.reason is not None:
        return "unreadable"
    if place is not None and image is not None and place.image_id == image.id:
        if image.content_hash is None or image.reason is not None:
            return "new"
        return "known" if image.content_hash == file.content_hash else "rewritten"
    if place is not None and place.present:
        return "changed"
    if image is None:
        return "new"
    return "duplicate" if image.here else "moved"


def _add_image(connection: Connection, file: ImportedFile) -> int:
    image_id = next_image_id(connection)
    connection.execute(_ADD_IMAGES, _image_values(file, image_id))
    return image_id


def _image_values(file: ImportedFile, image_id: int) -> dict[str, object]:
    return _described(file) | {
        "id": image_id,
        "content_hash": file.content_hash,
        "state": "fine",
        "source_id": int(file.source_id),
        "shuffle": random.getrandbits(_SHUFFLE_BITS),
        "created_at": datetime.now(UTC),
    }


def _refresh(connection: Connection, file: ImportedFile, image: Any) -> str | None:
    """Same picture: only what could not be told before is told now, or the other way round.

    Returns the content that was the image's own, if that is another one now.
    """
    if image.reason == file.reason and image.content_hash == file.content_hash:
        return None
    values = _described(file) | {"content_hash": file.content_hash or image.content_hash}
    former = None
    if file.reason is None and image.content_hash not in (None, file.content_hash):
        first = connection.scalar(_FIRST_PATH, {"image": image.id}) if image.here else file.path
        if first != file.path:  # which stays as it is
            note_content(connection, str(file.content_hash), image.id)
            return None
        former = image.content_hash
        note_content(connection, former, image.id)
    if file.content_hash is not None:
        forget_content(connection, file.content_hash)
    connection.execute(update(ImageRow).where(ImageRow.id == image.id).values(values))
    return former


def _described(file: ImportedFile) -> dict[str, object]:
    return {
        "fingerprint": file.fingerprint,
        "format": file.format,
        "width": file.width,
        "height": file.height,
        "size_bytes": int(file.size_bytes),
        "reason": file.reason,
    }


def _location_values(file: ImportedFile, image_id: int) -> dict[str, object]:
    return {
        "path": file.path,
        "image_id": image_id,
        "source_id": int(file.source_id),
        "mtime_ns": int(file.mtime_ns),
        "size_bytes": int(file.size_bytes),
        "present": True,
    }


def _missing_among(connection: Connection, image_ids: set[int]) -> int:
    missing = select(func.count()).where(is_in(ImageRow.id, image_ids), ImageRow.state == "missing")
    return connection.scalars(missing).one()
