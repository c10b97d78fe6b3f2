"""Which hand score counts for an image where several people have scored it.

A typed score goes before a confirmation, which says no number, whoever gave either and whichever
came later: only where none of those whose scores the rule counts has typed one do confirmations
count. They are then taken as scores are: the latest, or each scorer's own latest, whose mean lies
between the means of their bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session, aliased

from db.errors import StoreError
from db.query_parts import Ids, Query, is_in, python_ids
from db.store.schema import ConfirmationRow, HandScoreRow, ImageRow, SettingRow
from db.store.store import Store

SETTING = "effective_rule"
_PERSON = "person:"


@dataclass(frozen=True, slots=True)
class Rule:
    """`kind` is latest (whoever gave it), mean (of each scorer's own latest) or person.

    `person` is the scorer whose latest counts where the kind is person, `None` the nameless one:
    images that this scorer has not scored are then unscored.
    """

    kind: str = "latest"
    person: str | None = None

    def __str__(self) -> str:
        """As it is kept and given: latest, mean, or person:NAME."""
        return f"{_PERSON}{self.person or ''}" if self.kind == "person" else self.kind


def read_rule(text: str) -> Rule:
    """Return the rule that `text` stands for; raises `StoreError` if it is none."""
    if text.startswith(_PERSON):
        return Rule("person", text.removeprefix(_PERSON) or None)
    if text not in ("latest", "mean"):
        raise StoreError(f"{text!r} is no rule; give latest, mean or person:NAME.")
    return Rule(text)


def effective_rule(store: Store) -> Rule:
    with store.reading() as session:
        return rule_in(session)


def set_effective_rule(store: Store, rule: Rule) -> int:
    """Keep the rule and apply it to every image; returns how many hand scores changed by it."""
    kept = insert(SettingRow).values(name=SETTING, value=str(rule))
    kept = kept.on_conflict_do_update(index_elements=["name"], set_={"value": str(rule)})
    with store.transaction() as session:
        session.execute(kept)
        return apply_rule(session, rule)


def rule_in(session: Session) -> Rule:
    """Return the rule as this transaction sees it."""
    kept = session.scalar(select(SettingRow.value).where(SettingRow.name == SETTING))
    return read_rule(kept) if kept else Rule()


def apply_rule(session: Session, rule: Rule, image_ids: Ids | None = None) -> int:
    """Make the hand scores that count follow from what was given and not undone.

    Of these images, or of all; returns how many changed.
    """
    unscored = update(ImageRow).where(ImageRow.hand_score.is_not(None))
    query = _effective(rule)
    if image_ids is not None:
        listed = python_ids(image_ids)
        unscored = unscored.where(is_in(ImageRow.id, listed))
        query = _effective(rule, is_in(HandScoreRow.image_id, listed))
    effective = query.subquery()
    unscored = unscored.where(ImageRow.id.not_in(select(effective.c.image_id)))
    scored = update(ImageRow).where(
        ImageRow.id == effective.c.image_id,
        ImageRow.hand_score.is_distinct_from(effective.c.effective),
    )
    changes = (unscored.values(hand_score=None), scored.values(hand_score=effective.c.effective))
    connection = session.connection()
    return sum(connection.execute(each).rowcount for each in changes)


def ids_with_wrong_score(rule: Rule) -> Query:
    """Select the ids of images whose hand score is not what the rule makes of their history."""
    effective = _effective(rule).subquery()
    apart = func.coalesce(func.abs(ImageRow.hand_score - effective.c.effective), 1)
    return (
        select(ImageRow.id)
        .outerjoin(effective, effective.c.image_id == ImageRow.id)
        .where(
            ImageRow.hand_score.is_distinct_from(effective.c.effective),
            apart > 1e-9,  # a mean may be added up in another order
        )
    )


def effective_bounds(rule: Rule) -> Query:
    """Select (image_id, at_least, below), 0–10, of the images whose hand score is a confirmation.

    NULL where that side is open.
    """
    confirmed = select(HandScoreRow.image_id).join(
        ConfirmationRow, ConfirmationRow.hand_score_id == HandScoreRow.id
    )
    counted = _counted_rows(rule, HandScoreRow.image_id.in_(confirmed))
    columns = [
        case((func.count(bound) > 0, func.avg(func.coalesce(bound, end)))).label(bound.key)
        for bound, end in ((ConfirmationRow.at_least, 0), (ConfirmationRow.below, 10))
    ]
    return (
        select(HandScoreRow.image_id, *columns)
        .join(ConfirmationRow, ConfirmationRow.hand_score_id == HandScoreRow.id)
        .where(HandScoreRow.id.in_(counted))
        .group_by(HandScoreRow.image_id)
        .order_by(HandScoreRow.image_id)
    )


def is_typed(row: Any = HandScoreRow) -> ColumnElement[bool]:
    """Return whether a row of `hand_scores` holds a number that was said."""
    return row.id.not_in(select(ConfirmationRow.hand_score_id))


def _effective(rule: Rule, *only: ColumnElement[bool]) -> Query:
    """Select (image_id, effective) of the images that have a hand score by the rule.

    `only` narrows the rows of `hand_scores` that are looked at.
    """
    return (
        # The mean of one is that one itself.
        select(HandScoreRow.image_id, func.avg(HandScoreRow.value).label("effective"))
        .where(HandScoreRow.id.in_(_counted_rows(rule, *only)))
        .group_by(HandScoreRow.image_id)
    )


def _counted_rows(rule: Rule, *only: ColumnElement[bool]) -> Query:
    """Select the ids of the rows of `hand_scores` that the hand score of each image is made of."""
    typed = aliased(HandScoreRow)
    its_typed = and_(
        typed.image_id == HandScoreRow.image_id, typed.undone_at.is_(None), is_typed(typed)
    )
    by: tuple[Any, ...] = (HandScoreRow.image_id,)
    if rule.kind == "mean":
        by = (HandScoreRow.image_id, HandScoreRow.scorer)
    elif rule.kind == "person":
        only = (*only, HandScoreRow.scorer.is_not_distinct_from(rule.person))
        its_typed = and_(its_typed, typed.scorer.is_not_distinct_from(rule.person))
    return (
        select(func.max(HandScoreRow.id))
        .where(
            *only,
            HandScoreRow.undone_at.is_(None),
            or_(is_typed(), ~exists().where(its_typed).correlate(HandScoreRow)),
        )
        .group_by(*by)
    )
