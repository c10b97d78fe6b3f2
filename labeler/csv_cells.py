"""Text in CSV cells that a table program must not take for a formula, there and back.

Such a program runs what begins with = + - @, a tab or a line's end, and names of files, tags and
sources are written by strangers. An apostrophe before it makes it text; one that stands before such
a beginning already gets another, so that taking one off always gives the text back.
"""

from __future__ import annotations

import re

_NEEDS_ONE = re.compile(r"'*[=+\-@\t\r]")
_HAS_ONE = re.compile(r"'+[=+\-@\t\r]")


def guarded(text: str) -> str:
    """`text` as it is written into a cell."""
    return f"'{text}" if _NEEDS_ONE.match(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` wrote as `cell`."""
    return cell[1:] if _HAS_ONE.match(cell) else cell
