"""What the store keeps twice, for speed, held against what it follows from; and mended from there.

Each ailment is a query of the cases, one text each, and statements that make them right. A healthy
store has no case. Nothing here changes what a person did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, literal_column, select, text
from sqlalchemy.orm import Session

import db.repair.foreign_keys
import db.repair.unreadable_values
import db.store.cell_checks
from db.errors import StoreError
from db.images.states import settle_all, unsettled
from db.query_parts import whole_sum
from db.scores.aggregation import SETTING, Rule, apply_rule, misjudged, read_rule, rule_in
from db.store.engine import driver_of
from db.store.schema import HandScoreRow, SettingRow
from db.store.store import Store
from db.versions.rounds import MISTOLD, tell_outcomes

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Cases:
    """How many cases there are of an ailment, and the first few, each in some words."""

    count: int
    examples: list[str]

    def __bool__(self) -> bool:
        return self.count > 0


@dataclass(frozen=True, slots=True)
class Ailment:
    """`what` the cases are, to be put behind their number."""

    name: str
    what: str
    find: Callable[[Session], Cases]
    mend: Callable[[Session, Path], None]


def find(store: Store, ailment: Ailment) -> Cases:
    with store.reading() as session:
        return ailment.find(session)


def mend(store: Store, ailment: Ailment) -> None:
    with store.transaction() as session:
        ailment.mend(session, store.path.parent)


_TRUE_COUNTS = f"""SELECT source_id, state, coalesce(hand_score, -1) AS hand_score,
    count(*) AS images, {whole_sum("id")} AS id_sum FROM images GROUP BY 1, 2, 3"""
_KEPT_COUNTS = """SELECT source_id, state, hand_score, images, id_sum FROM image_counts
    WHERE images != 0 OR id_sum != 0"""
_MISCOUNTED = f"""SELECT DISTINCT 'source ' || source_id || ', ' || state FROM
    (SELECT * FROM ({_TRUE_COUNTS} EXCEPT {_KEPT_COUNTS})
    UNION ALL SELECT * FROM ({_KEPT_COUNTS} EXCEPT {_TRUE_COUNTS}))"""
_RECOUNT = ("DELETE FROM image_counts", f"INSERT INTO image_counts {_TRUE_COUNTS}")

_TRAINED = "(SELECT count(*) FROM version_scores WHERE version_id = versions.id)"
_PREDICTED = "EXISTS (SELECT 1 FROM predictions WHERE version_id = versions.id)"
_MISCOUNTED_VERSIONS = f"""SELECT name FROM versions
    WHERE scored_count != {_TRAINED} OR (batches = 0 AND {_PREDICTED})"""
_RECOUNT_VERSIONS = (
    f"UPDATE versions SET scored_count = {_TRAINED} WHERE scored_count != {_TRAINED}",
    f"UPDATE versions SET batches = 1 WHERE batches = 0 AND {_PREDICTED}",
)

_MISTOLD_CARDS = f"""SELECT 'round ' || round_id || ', image ' || image_id
    FROM round_images AS card WHERE {MISTOLD}"""
_WITHOUT_PLACE = """SELECT 'image ' || id FROM images
    WHERE NOT EXISTS (SELECT 1 FROM locations WHERE image_id = images.id)"""


def _selected(query: str) -> Callable[[Session], Cases]:
    """The cases that a query names in its first column."""

    def found(session: Session) -> Cases:
        connection = session.connection()
        count = connection.exec_driver_sql(f"SELECT count(*) FROM ({query})").scalar_one()
        first = connection.exec_driver_sql(f"{query} LIMIT {EXAMPLES}") if count else ()
        return Cases(count, [str(row[0]) for row in first])

    return found


def _ran(*statements: str) -> Callable[[Session, Path], None]:
    def mended(session: Session, _folder: Path) -> None:
        for statement in statements:
            session.connection().exec_driver_sql(statement)

    return mended


def _images_of(session: Session, query: object) -> Cases:
    """The cases of a query that selects ids of images."""
    ids = query.subquery()  # type: ignore[attr-defined]
    count = session.scalar(select(func.count()).select_from(ids)) or 0
    if not count:
        return Cases(0, [])
    first: Any = session.execute(select(literal_column("id")).select_from(ids).limit(EXAMPLES))
    return Cases(count, [f"image {row[0]}" for row in first])


def _readable_rule(session: Session) -> Rule | None:
    try:
        return rule_in(session)
    except StoreError:
        return None


def _misjudged(session: Session) -> Cases:
    rule = _readable_rule(session)
    return Cases(0, []) if rule is None else _images_of(session, misjudged(rule))


def _judge_again(session: Session, _folder: Path) -> None:
    apply_rule(session, rule_in(session))


def _rule_of_nobody(session: Session) -> Cases:
    """A rule that can't be read, or one that counts the scores of a person who gave none."""
    kept = session.scalar(select(SettingRow.value).where(SettingRow.name == SETTING))
    rule = _readable_rule(session)
    if rule is None:
        return Cases(1, [repr(kept)])
    if rule.kind != "person":
        return Cases(0, [])
    given = select(HandScoreRow.id).where(HandScoreRow.scorer.is_not_distinct_from(rule.person))
    any_given = session.scalar(select(HandScoreRow.id).limit(1)) is not None
    alone = any_given and session.scalar(given.limit(1)) is None
    return Cases(1, [f"{rule}, who scored nothing"]) if alone else Cases(0, [])


def _reset_rule(session: Session, _folder: Path) -> None:
    """To the usual one, under which every hand score counts."""
    connection = session.connection()
    connection.execute(text("DELETE FROM settings WHERE name = :name"), {"name": SETTING})
    apply_rule(session, read_rule("latest"))


def _dangling(session: Session) -> Cases:
    found = db.repair.foreign_keys.dangling(session.connection())
    told = [
        f"{number} of {each.table} to {each.to} ({each.column})" for each, number in found.items()
    ]
    return Cases(sum(found.values()), told[:EXAMPLES])


def _mend_references(session: Session, folder: Path) -> None:
    connection = session.connection()
    db.repair.foreign_keys.mend(connection, folder)
    _after(session, connection)


def _after(session: Session, connection: Connection) -> None:
    """What follows from rows that came or went."""
    settle_all(connection)
    if (rule := _readable_rule(session)) is not None:
        apply_rule(session, rule)


def _unreadable(session: Session) -> Cases:
    count = 0
    examples: list[str] = []
    for each in db.store.cell_checks.odd_cells(driver_of(session.connection())):
        count += len(each.columns)
        if len(examples) < EXAMPLES:
            examples += each.told()
    return Cases(count, examples[:EXAMPLES])


def _make_readable(session: Session, folder: Path) -> None:
    connection = session.connection()
    db.repair.unreadable_values.mend(connection, driver_of(connection))
    # What was unreadable may have been a reference, or what others refer to.
    _mend_references(session, folder)


AILMENTS = (
    # First: the others read the values.
    Ailment("values", "values can't be read", _unreadable, _make_readable),
    Ailment("references", "rows refer to rows that are gone", _dangling, _mend_references),
    Ailment(
        "places",
        "images have no file, not even a missing one",
        _selected(_WITHOUT_PLACE),
        lambda session, folder: db.repair.foreign_keys.give_places(session.connection(), folder),
    ),
    Ailment("rule", "rule for which scores count makes no sense", _rule_of_nobody, _reset_rule),
    Ailment(
        "hand scores",
        "images have another hand score than the rule makes of their history",
        _misjudged,
        _judge_again,
    ),
    Ailment(
        "states",
        "images are in another state, or of another source, than their files tell",
        lambda session: _images_of(session, unsettled()),
        lambda session, _: settle_all(session.connection()),
    ),
    Ailment(
        "cards",
        "reviewed cards have another outcome than was answered",
        _selected(_MISTOLD_CARDS),
        lambda session, _: tell_outcomes(session.connection()),
    ),
    Ailment(
        "versions",
        "versions have another number of training scores or predictions than they had",
        _selected(_MISCOUNTED_VERSIONS),
        _ran(*_RECOUNT_VERSIONS),
    ),
    # Last: what the others mend is counted along, but from a wrong count to a wrong one.
    Ailment("counts", "counts of images are wrong", _selected(_MISCOUNTED), _ran(*_RECOUNT)),
)
