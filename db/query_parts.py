"""Building blocks that the query modules share: id lists, and images as records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from operator import itemgetter
from types import NoneType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    RowMapping,
    ScalarSelect,
    Select,
    cast,
    column,
    exists,
    func,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.errors import StoreError, UnreadableValue
from db.records import Image
from db.store.column_types import Blob, Checked, FileNameText
from db.store.schema import HandScoreRow, ImageRow, LocationRow, PixelsRow, SourceRow, VersionRow

Ids = Iterable[int] | np.ndarray
Value = TypeVar("Value")
# Of any columns; as text because SQLAlchemy 2.0 can't be subscripted so at run time.
Query: TypeAlias = "Select[*tuple[Any, ...]]"


# Of statements whose session holds no objects that would have to follow.
NO_SYNC = {"synchronize_session": False}
_DIGITS = b"0123456789.,-+e"
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def python_ids(ids: Ids) -> list[int]:
    """Return Python integers: numpy's would be bound as blobs and match nothing."""
    return ids.tolist() if isinstance(ids, np.ndarray) else [int(i) for i in ids]


def wrapping_sum(term: str) -> str:
    """Return SQL for the sum of integers, modulo 2^64: SQLite's own sum fails where that is too
    large.
    """
    low, high = f"sum(({term}) & 0xffffffff)", f"sum(({term}) >> 32)"
    return f"(({high} + ({low} >> 32)) << 32 | ({low} & 0xffffffff))"


def hashed_ids(ids: np.ndarray) -> np.ndarray:
    """Return a number (n,) uint64 for each id, far from those of its neighbours and the same every
    time.

    The id times 2^64 over the golden ratio, modulo 2^64 (Knuth, volume 3, section 6.4).
    """
    return ids.astype(np.uint64) * _GOLDEN


def is_in(attribute: InstrumentedAttribute[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """`attribute IN values` for any number of integers or texts: SQLite limits parameters."""
    listed = func.json_each(json.dumps(list(values))).table_valued(column("value"))
    return attribute.in_(select(listed.c.value))


def driver_rows(session: Session, query: Query) -> Sequence[tuple[Any, ...]]:
    """Return the driver's own tuples, several times as quick where a million are read.

    Only for columns that are kept as they are meant: integers, reals, blobs, text.
    Their kind is checked, and names of files are put into text. Raises `UnreadableValue`.
    """
    rows = unchecked_rows(session, query)
    for place, column_type in _checked(query):
        odd = set(map(type, map(itemgetter(place), rows))) - column_type.kinds - {NoneType}
        if odd and isinstance(column_type, FileNameText):
            shown = column_type.shown
            rows = [(*row[:place], shown(row[place]), *row[place + 1 :]) for row in rows]
        elif odd:
            value = next(row[place] for row in rows if type(row[place]) in odd)
            raise UnreadableValue(column_type.place, value)
    return rows


def unchecked_rows(session: Session, query: Query) -> Sequence[tuple[Any, ...]]:
    """Do `driver_rows` without checking the types of the values."""
    with closing(session.connection().execute(query)) as result:
        rows: Sequence[tuple[Any, ...]] = result.cursor.fetchall()
    return rows


def _checked(query: Query) -> list[tuple[int, Checked]]:
    """Return the columns, by their place, whose values are of a kind of ours."""
    types = [column.type for column in query.selected_columns]
    return [(place, each) for place, each in enumerate(types) if isinstance(each, Checked)]


def concatenated_columns(session: Session, query: Query) -> list[str | bytes | None]:
    """Return each column of `query` as one text with commas, or the bytes of its blobs joined.

    Twice as quick as rows where a million are read, and without a Python object for each value.
    None of what a column holds may be NULL, and blobs are all as long; `None` for a query without
    rows. Raises `UnreadableValue` where that is not so.
    """
    rows = query.subquery()
    selected: list[ColumnElement[Any]] = [func.count()]
    for each in rows.c:
        if _is_blob(each):
            selected.append(cast(func.group_concat(each, ""), LargeBinary))
            selected.append(func.total(func.typeof(each) != "blob"))
            selected.append(func.max(func.length(each)))
        else:
            selected.append(func.group_concat(each))
    count, *results = session.execute(select(*selected)).one()
    columns: list[str | bytes | None] = []
    for each in rows.c:
        column = results.pop(0)
        sound = (
            _are_blobs(column, count, others=results.pop(0), longest=results.pop(0))
            if _is_blob(each)
            else _are_numbers(column, count)
        )
        if count and not sound:
            raise UnreadableValue(getattr(each.type, "place", "") or each.name, "of another kind")
        columns.append(column)
    return columns


def _are_blobs(joined: bytes | None, count: int, *, others: float, longest: int | None) -> bool:
    """Return whether so many blobs, all as long, were joined."""
    return not others and len(joined or b"") == count * (longest or 0)


def _are_numbers(listed: Any, count: int) -> bool:
    """Return whether so many numbers are listed: an empty one would be no number."""
    if not isinstance(listed, str) or listed.count(",") != count - 1:
        return False
    return not listed.encode("utf-8", "replace").translate(None, _DIGITS) and not (
        ",," in listed or listed.startswith(",") or listed.endswith(",")
    )


def _is_blob(each: ColumnElement[Any]) -> bool:
    return isinstance(each.type, (LargeBinary, Blob))


def packed(blobs: bytes | str | None, rows: int, width: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the blobs of a column of `concatenated_columns` as an array (rows, width).

    Raises `StoreError` where they are of another length.
    """
    joined = blobs or b""
    assert not isinstance(joined, str)
    if len(joined) != rows * width * dtype.itemsize:
        raise StoreError(
            f"The store holds what can't be read: of {rows} blobs some are not of {width} numbers; "
            "see which with: labeler doctor, which mends it with --repair."
        )
    # Over a bytearray the array is writable, which torch asks for.
    return np.frombuffer(bytearray(joined), dtype=dtype).reshape(rows, width)


def numbers(text: str | bytes | None, dtype: DTypeLike) -> np.ndarray:
    """Return the numbers of a column as `concatenated_columns` gives it."""
    return np.fromstring(text, dtype=dtype, sep=",") if text else np.empty(0, dtype=dtype)


def iterate_rows(session: Session, query: Query) -> Iterator[tuple[Any, ...]]:
    """Do `driver_rows`, reading one row at a time: for callers that stop early."""
    checked = _checked(query)
    with closing(session.connection().execute(query)) as result:
        for row in iter(result.cursor.fetchone, None):
            for place, column_type in checked:
                if type(row[place]) not in column_type.kinds and row[place] is not None:
                    raise UnreadableValue(column_type.place, row[place])
            yield row


def id_array(ids: Sequence[int]) -> np.ndarray:
    return np.array(ids, dtype=np.int64)


def first_path() -> ScalarSelect[str]:
    """Return the path of the image's first present location, else of its first one."""
    return of_first_location(LocationRow.path)


def pixel_hash_of() -> ScalarSelect[str]:
    """Return what the image shows, as a hash; NULL where it was never looked at."""
    query = select(PixelsRow.pixel_hash).where(PixelsRow.image_id == ImageRow.id)
    return query.correlate(ImageRow).scalar_subquery()


def of_first_location(column: InstrumentedAttribute[Value]) -> ScalarSelect[Value]:
    """Return a column of the image's first present location, else of its first one."""
    return (
        select(column)
        .where(LocationRow.image_id == ImageRow.id)
        .order_by(LocationRow.present.desc(), LocationRow.id)
        .limit(1)
        .correlate(ImageRow)
        .scalar_subquery()
    )


def was_scored_again() -> ColumnElement[bool]:
    """Return whether a hand score that is not undone came after this one, of the same image."""
    later = aliased(HandScoreRow)
    again = exists().where(
        later.image_id == HandScoreRow.image_id,
        later.id > HandScoreRow.id,
        later.undone_at.is_(None),
    )
    return again.correlate(HandScoreRow)


def image_select() -> Query:
    """Select what `to_image` reads; further conditions and columns may be added."""
    return select(
        ImageRow.id,
        ImageRow.content_hash,
        ImageRow.fingerprint,
        ImageRow.format,
        ImageRow.width,
        ImageRow.height,
        ImageRow.size_bytes,
        ImageRow.state,
        ImageRow.reason,
        ImageRow.group_name.label("group"),
        ImageRow.hand_score,
        ImageRow.source_id,
        SourceRow.name.label("source"),
        first_path().label("path"),
        pixel_hash_of().label("pixel_hash"),
    ).join_from(ImageRow, SourceRow)


def to_image(row: RowMapping) -> Image:
    return Image(**{name: row[name] for name in Image.__slots__})


def images_in_order(session: Session, ids: Ids) -> list[Image]:
    """Return the images of `ids` in that order, without those that don't exist."""
    requested = python_ids(ids)
    rows = session.execute(image_select().where(is_in(ImageRow.id, requested))).mappings()
    images = {row["id"]: to_image(row) for row in rows}
    return [images[i] for i in requested if i in images]


def version_id_of(session: Session, name: str | None) -> int | None:
    """Return the id of the version called `name`; `None` if there is none."""
    return session.scalar(select(VersionRow.id).where(VersionRow.name == name))
