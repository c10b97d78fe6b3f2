"""What the store keeps twice, for speed, held against what it follows from; and mended from there.

Each check is a query of the cases, one text each, and statements that make them right. A healthy
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
from db.images.states import ids_with_wrong_state, update_all_states
from db.query_parts import wrapping_sum
from db.scores.aggregation import (
    SETTING,
    Rule,
    apply_rule,
    ids_with_wrong_score,
    read_rule,
    rule_in,
)
from db.store.engine import driver_connection
from db.store.schema import HandScoreRow, SettingRow
from db.store.store import Store
from db.versions.rounds import OUTCOME_IS_WRONG, update_outcomes

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Findings:
    """How many cases there are of an check, and the first few, each in some words."""

    count: int
    examples: list[str]

    def __bool__(self) -> bool:
        return self.count > 0


@dataclass(frozen=True, slots=True)
class ConsistencyCheck:
    """`what` the cases are, to be put behind their number."""

    name: str
    what: str
    find: Callable[[Session], Findings]
    repair: Callable[[Session, Path], None]


def find(store: Store, check: ConsistencyCheck) -> Findings:
    with store.reading() as session:
        return check.find(session)


def repair(store: Store, check: ConsistencyCheck) -> None:
    with store.transaction() as session:
        check.repair(session, store.path.parent)


_TRUE_COUNTS = f"""SELECT source_id, state, coalesce(hand_score, -1) AS hand_score,
    count(*) AS images, {wrapping_sum("id")} AS id_sum FROM images GROUP BY 1, 2, 3"""
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

_WRONG_OUTCOMES = f"""SELECT 'round ' || round_id || ', image ' || image_id
    FROM round_images AS card WHERE {OUTCOME_IS_WRONG}"""
_WITHOUT_PLACE = """SELECT 'image ' || id FROM images
    WHERE NOT EXISTS (SELECT 1 FROM locations WHERE image_id = images.id)"""


def _selected(query: str) -> Callable[[Session], Findings]:
    """Return the cases that a query names in its first column."""

    def found(session: Session) -> Findings:
        connection = session.connection()
        count = connection.exec_driver_sql(f"SELECT count(*) FROM ({query})").scalar_one()
        first = connection.exec_driver_sql(f"{query} LIMIT {EXAMPLES}") if count else ()
        return Findings(count, [str(row[0]) for row in first])

    return found


def _ran(*statements: str) -> Callable[[Session, Path], None]:
    def mended(session: Session, _folder: Path) -> None:
        for statement in statements:
            session.connection().exec_driver_sql(statement)

    return mended


def _images_of(session: Session, query: object) -> Findings:
    """Return the cases of a query that selects ids of images."""
    ids = query.subquery()  # type: ignore[attr-defined]
    count = session.scalar(select(func.count()).select_from(ids)) or 0
    if not count:
        return Findings(0, [])
    first: Any = session.execute(select(literal_column("id")).select_from(ids).limit(EXAMPLES))
    return Findings(count, [f"image {row[0]}" for row in first])


def _readable_rule(session: Session) -> Rule | None:
    try:
        return rule_in(session)
    except StoreError:
        return None


def _wrong_scores(session: Session) -> Findings:
    rule = _readable_rule(session)
    return Findings(0, []) if rule is None else _images_of(session, ids_with_wrong_score(rule))


def _recompute_scores(session: Session, _folder: Path) -> None:
    apply_rule(session, rule_in(session))


def _rule_of_nobody(session: Session) -> Findings:
    """Return a rule that can't be read, or one that counts the scores of a person who gave none."""
    kept = session.scalar(select(SettingRow.value).where(SettingRow.name == SETTING))
    rule = _readable_rule(session)
    if rule is None:
        return Findings(1, [repr(kept)])
    if rule.kind != "person":
        return Findings(0, [])
    given = select(HandScoreRow.id).where(HandScoreRow.scorer.is_not_distinct_from(rule.person))
    any_given = session.scalar(select(HandScoreRow.id).limit(1)) is not None
    alone = any_given and session.scalar(given.limit(1)) is None
    return Findings(1, [f"{rule}, who scored nothing"]) if alone else Findings(0, [])


def _reset_rule(session: Session, _folder: Path) -> None:
    """To the usual one, under which every hand score counts."""
    connection = session.connection()
    connection.execute(text("DELETE FROM settings WHERE name = :name"), {"name": SETTING})
    apply_rule(session, read_rule("latest"))


def _dangling(session: Session) -> Findings:
    dangling = db.repair.foreign_keys.dangling(session.connection())
    examples = [
        f"{number} of {each.table} to {each.to} ({each.column})"
        for each, number in dangling.items()
    ]
    return Findings(sum(dangling.values()), examples[:EXAMPLES])


def _mend_references(session: Session, folder: Path) -> None:
    connection = session.connection()
    db.repair.foreign_keys.repair(connection, folder)
    _after(session, connection)


def _after(session: Session, connection: Connection) -> None:
    """What follows from rows that came or went."""
    update_all_states(connection)
    if (rule := _readable_rule(session)) is not None:
        apply_rule(session, rule)


def _unreadable(session: Session) -> Findings:
    count = 0
    examples: list[str] = []
    for each in db.store.cell_checks.unreadable_cells(driver_connection(session.connection())):
        count += len(each.columns)
        if len(examples) < EXAMPLES:
            examples += each.lines()
    return Findings(count, examples[:EXAMPLES])


def _make_readable(session: Session, folder: Path) -> None:
    connection = session.connection()
    db.repair.unreadable_values.repair(connection, driver_connection(connection))
    # What was unreadable may have been a reference, or what others refer to.
    _mend_references(session, folder)


CONSISTENCY_CHECKS = (
    # First: the others read the values.
    ConsistencyCheck("values", "values can't be read", _unreadable, _make_readable),
    ConsistencyCheck("references", "rows refer to rows that are gone", _dangling, _mend_references),
    ConsistencyCheck(
        "places",
        "images have no file, not even a missing one",
        _selected(_WITHOUT_PLACE),
        lambda session, folder: db.repair.foreign_keys.give_places(session.connection(), folder),
    ),
    ConsistencyCheck(
        "rule", "rule for which scores count makes no sense", _rule_of_nobody, _reset_rule
    ),
    ConsistencyCheck(
        "hand scores",
        "images have another hand score than the rule makes of their history",
        _wrong_scores,
        _recompute_scores,
    ),
    ConsistencyCheck(
        "states",
        "images are in another state, or of another source, than their files tell",
        lambda session: _images_of(session, ids_with_wrong_state()),
        lambda session, _: update_all_states(session.connection()),
    ),
    ConsistencyCheck(
        "cards",
        "reviewed cards have another outcome than was answered",
        _selected(_WRONG_OUTCOMES),
        lambda session, _: update_outcomes(session.connection()),
    ),
    ConsistencyCheck(
        "versions",
        "versions have another number of training scores or predictions than they had",
        _selected(_MISCOUNTED_VERSIONS),
        _ran(*_RECOUNT_VERSIONS),
    ),
    # Last: what the others mend is counted along, but from a wrong count to a wrong one.
    ConsistencyCheck(
        "counts", "counts of images are wrong", _selected(_MISCOUNTED), _ran(*_RECOUNT)
    ),
)
