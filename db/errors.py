"""What the store raises for a person to read."""

from __future__ import annotations

from typing import Any

_SHOWN = 40


class StoreError(Exception):
    """`str(error)` is one sentence that names the store or row and the next step."""


class ReplacedError(StoreError):
    """The store is not the one that was opened any more; nothing is taken, and that stays so."""


class NotMigrated(StoreError):
    """What an older store holds can't be brought into the schema of today."""


class UnreadableValue(StoreError):
    """The column at `place` ("table.column") holds a value that is none of its kind."""

    def __init__(self, place: str, value: Any, row: object = None) -> None:
        table, _, column = place.partition(".")
        where = f"row {row} of {table}" if row is not None else f"the table {table}"
        super().__init__(
            f"The store holds what can't be read: {column or 'a value'} in {where} is "
            f"{shown(value)}; see what else there is with: labeler doctor, which mends it with "
            "--repair."
        )
        self.place, self.value = place, value


def shown(value: Any) -> str:
    """Return a value as it lies, in a few printable signs."""
    text = ascii(value[: 2 * _SHOWN] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
