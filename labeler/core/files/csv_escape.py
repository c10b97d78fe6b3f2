"""Text in CSV cells that a table program must not take for a formula, there and back.

Such a program runs what begins with = + - @ (in full width, too), a tab or a line's end, and names
of files, tags and sources are written by strangers. Many of them take a semicolon or a tab for the
end of a cell, whatever stands around it, so behind one a cell begins as well. An apostrophe before
it makes it text; one that stands before such a beginning already gets another, so that taking one
off always gives the text back.
"""

from __future__ import annotations

import re

_RUN = "=+\\-@＝＋－＠"
_BEGINNING = r"(?:^|(?<=[;\t\r\n]))"  # of a cell, in the eyes of any such program
_NEEDS_ONE = re.compile(rf"^(?='*[{_RUN}\t\r\n])|{_BEGINNING}(?='*[{_RUN}])")
_HAS_ONE = re.compile(rf"^'(?='*[{_RUN}\t\r\n])|{_BEGINNING}'(?='*[{_RUN}])")


def escape_formula(text: str) -> str:
    """Return `text` as it is written into a cell."""
    return _NEEDS_ONE.sub("'", text)


def unescape_formula(cell: str) -> str:
    """Return the text that `escape_formula` wrote as `cell`."""
    return _HAS_ONE.sub("", cell)
