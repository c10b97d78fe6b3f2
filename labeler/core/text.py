"""Text that people read: legible on a terminal, escaped for Markdown, tables and bars of it.

What others have written is shown letter for letter: nothing is hidden, or turns the rest around.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

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


# What any reader of Markdown may take for its own.
_ANY = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&=\"'/@])")
# Only what a reader of Markdown would take for its own where it stands: whoever reads the file as
# text sees every other backslash, too.
_OWN = re.compile(
    r"""
    [\\`*\[\]<|~${] | !(?=\[) | (?<=[^\s-])>  # code, emphasis, links, HTML, cells, sums, templates
    | (?<![^\W_])_ | _(?![^\W_])          # emphasis, which does not begin or end within a word
    | ^[#>+=-]                            # headings, quotations, lists, rules
    | (?<=\w)@(?=\w) | (?<!\S)@(?=\w)     # addresses and people
    | &(?=\#?\w+;)                        # letters by their names
    | :(?=//|[\w+/-]+:) | (?<!\S):(?=\w)  # addresses, small pictures and colours by their names
    | (?<=\bwww)[.]                       # addresses without http
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def escape_markdown(text: str) -> str:
    """`text` so that Markdown takes none of it for its own: no pictures, links or HTML.

    It becomes one line, in which nothing is hidden.
    """
    return _NUMBERED.sub(r"\1\\\2", _OWN.sub(r"\\\g<0>", _one_line(text)))


def escape_all_markdown(text: str) -> str:
    """Escape every sign that any reader of Markdown, such as Streamlit, could take for its own.

    `escape_markdown` leaves those that Markdown itself takes for nothing.
    """
    return _ANY.sub(r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return legible(" ".join(text.splitlines()).strip())


def markdown_code(text: str) -> str:
    """`text` in code marks, for a place in a line or a cell, whatever it holds."""
    line = _one_line(text).replace("`", "'").replace("|", "\\|")  # of a cell also in code
    return f"`{line}`" if line else ""


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


BAR_WIDTH = 40


def bar_chart(labels: Sequence[str], counts: Sequence[int], most: int) -> Iterator[str]:
    """Yield one line per label with a bar; `most` fills it, larger values are cut with a mark.

    What is not 0 always shows at least a thin one.
    """
    wide = max(len(label) for label in labels)
    for label, count in zip(labels, counts, strict=True):
        bar = "█" * min(BAR_WIDTH, round(count * BAR_WIDTH / max(most, 1)))
        bar = f"{bar}…" if count > most else bar or ("▏" if count else "")
        yield f"{label:>{wide}}  {count:>6} {bar}".rstrip()


def count_of(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
