"""JSON that somebody else wrote, parsed within bounds.

A byte of it can become forty bytes of objects, so its length alone bounds little.
"""

from __future__ import annotations

import json
from typing import Any

LONGEST = 1 << 23  # characters, or bytes
MOST_VALUES = 1 << 21  # a mask drawn on a large photograph, number by number, is one of a million
_PARTS = ",", "[", "{"


def parse_json(text: str | bytes, longest: int = LONGEST) -> Any:
    """Parse a document; raises `ValueError` for one that is invalid, too large or nested too deep.

    The size is checked before parsing.
    """
    check_size(text, longest)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_size(text: str | bytes, longest: int = LONGEST) -> None:
    """Raise `ValueError` for a text that would become too many objects."""
    if len(text) > longest:
        raise ValueError(f"it is longer than {longest:,} characters")
    if len(text) > MOST_VALUES and _parts(text) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")


def _parts(text: str | bytes) -> int:
    if isinstance(text, bytes):
        return sum(text.count(part.encode()) for part in _PARTS)
    return sum(text.count(part) for part in _PARTS)
