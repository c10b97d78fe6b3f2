"""Settings that are parsed: their values, defaults and checks.

A setting may be edited by hand, or be part of somebody else's project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from labeler.core.errors import LabelerError
from model.files.bounded_json import parse_json

if TYPE_CHECKING:
    from db.store.store import Store

DEFAULT_THRESHOLD = 0.5
DEFAULT_AUDIT_EVERY = 10
MOST_AUDIT_EVERY = 1000
DEFAULT_REPEAT_EVERY = 30
FEWEST_REPEAT_EVERY, MOST_REPEAT_EVERY = 5, 1000

Value = TypeVar("Value")
_MOST_IMAGES = 1 << 53
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


@dataclass(frozen=True, slots=True)
class Setting(Generic[Value]):
    """`parse` makes a value of the text, or raises ValueError; `usual` is what was never set.

    `default` is the text to go back to, empty to forget it; None where a person's own words would
    be lost by that.
    """

    name: str
    parse: Callable[[str], Value]
    usual: Value
    default: str | None

    def read(self, store: Store) -> Value:
        """Return the value; raises `LabelerError` where its text can't be parsed."""
        text = store.setting(self.name)
        try:
            return self.parse(text) if text else self.usual
        except ValueError as error:
            raise LabelerError(
                f"The setting {self.name} makes no sense ({ascii(text)[:80]}); run: labeler doctor "
                "--repair"
            ) from error


def _threshold(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError(text)
    return value


def _audit_every(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MOST_AUDIT_EVERY:
        raise ValueError(text)
    return value


def _repeat_every(text: str) -> int:
    value = int(text)
    if not may_repeat_every(value):
        raise ValueError(text)
    return value


def may_repeat_every(number: int) -> bool:
    """Return whether one in so many images may be a repeat; 0 means none."""
    return number == 0 or FEWEST_REPEAT_EVERY <= number <= MOST_REPEAT_EVERY


def _licences(text: str) -> dict[str, str]:
    document: Any = parse_json(text)
    if not isinstance(document, dict) or not all(
        isinstance(each, str) for each in document.values()
    ):
        raise ValueError(text)
    return document


@dataclass(frozen=True, slots=True)
class LastBackup:
    """The newest backup; `hand_scores` images had one then."""

    place: str
    at: datetime
    hand_scores: int


def _last_backup(text: str) -> LastBackup:
    kept: Any = parse_json(text)
    place, at, number = (
        (kept.get("place"), kept.get("at"), kept.get("hand_scores"))
        if isinstance(kept, dict)
        else (None, None, None)
    )
    if not isinstance(place, str) or not isinstance(at, str) or type(number) is not int:
        raise ValueError(text)
    if not 0 <= number <= _MOST_IMAGES:
        raise ValueError(text)
    when = datetime.fromisoformat(at)
    if not _FIRST_YEAR <= when.year <= _LAST_YEAR:  # such have a time in every zone
        raise ValueError(text)
    return LastBackup(place, when if when.tzinfo else when.replace(tzinfo=UTC), number)


THRESHOLD = Setting("threshold", _threshold, DEFAULT_THRESHOLD, str(DEFAULT_THRESHOLD))
AUDIT_EVERY = Setting("audit_every", _audit_every, DEFAULT_AUDIT_EVERY, str(DEFAULT_AUDIT_EVERY))
REPEAT_EVERY = Setting(
    "repeat_every", _repeat_every, DEFAULT_REPEAT_EVERY, str(DEFAULT_REPEAT_EVERY)
)
LICENCES: Setting[dict[str, str]] = Setting("licences", _licences, {}, None)
LAST_BACKUP: Setting[LastBackup | None] = Setting("last_backup", _last_backup, None, "")
TYPED: tuple[Setting[Any], ...] = (THRESHOLD, AUDIT_EVERY, REPEAT_EVERY, LICENCES, LAST_BACKUP)
