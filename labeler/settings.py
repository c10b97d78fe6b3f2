"""The settings that are more than words: what each says, read in one place, or refused.

A setting may have been written by hand or come with a stranger's project.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from db.store import Store
from labeler.errors import LabelerError
from labeler.project import DEFAULT_AUDIT_EVERY, DEFAULT_THRESHOLD, MOST_AUDIT_EVERY

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Setting(Generic[Value]):
    """`parse` makes a value of the text, or raises ValueError; `usual` is what was never set.

    `default` is the text to go back to; None where a person's own words would be lost by it.
    """

    name: str
    parse: Callable[[str], Value]
    usual: Value
    default: str | None

    def read(self, store: Store) -> Value:
        """What is set; raises `LabelerError` where that can't be read."""
        text = store.setting(self.name)
        try:
            return self.parse(text) if text else self.usual
        except (ValueError, RecursionError) as error:
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


def _licences(text: str) -> dict[str, str]:
    known: Any = json.loads(text)
    if not isinstance(known, dict) or not all(isinstance(each, str) for each in known.values()):
        raise ValueError(text)
    return known


THRESHOLD = Setting("threshold", _threshold, DEFAULT_THRESHOLD, str(DEFAULT_THRESHOLD))
AUDIT_EVERY = Setting("audit_every", _audit_every, DEFAULT_AUDIT_EVERY, str(DEFAULT_AUDIT_EVERY))
LICENCES: Setting[dict[str, str]] = Setting("licences", _licences, {}, None)
TYPED: tuple[Setting[Any], ...] = (THRESHOLD, AUDIT_EVERY, LICENCES)
