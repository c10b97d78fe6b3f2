"""What others have written, as people can read it: nothing is hidden, or turns the rest around."""

from __future__ import annotations

import re

MARK = "\N{REPLACEMENT CHARACTER}"
# Control characters, ends of lines, the marks that make following text run the other way, and what
# takes no room at all. What joins letters or symbols into one stays: languages and emoji are
# written with it, and so stay the three flags that are spelt in tags.
_FLAGS = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in place) + "\U000e007f"
    for place in ("gbeng", "gbsct", "gbwls")
)
_HIDDEN = re.compile(
    f"({_FLAGS})|[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def legible(text: str) -> str:
    """`text` as one line, with a mark for each of these; bytes that are no UTF-8 become `?`."""
    readable = text.encode("utf-8", "replace").decode()
    return _HIDDEN.sub(lambda found: found[1] or MARK, readable)


def printable(text: str) -> str:
    """`text` without anything that could steer a terminal or fake a line.

    Control characters, line ends, invisible direction marks and undecodable bytes are shown as
    escapes (`\\x1b`, `\\n`, `\\u202e`); everything that has a glyph stays.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
