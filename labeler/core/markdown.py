"""Texts and tables in Markdown files; what others wrote is shown letter for letter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from labeler.core.text import legible

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


def escaped(text: str) -> str:
    """`text` so that Markdown takes none of it for its own: no pictures, links or HTML.

    It becomes one line, in which nothing is hidden.
    """
    return _NUMBERED.sub(r"\1\\\2", _OWN.sub(r"\\\g<0>", _one_line(text)))


def wholly_escaped(text: str) -> str:
    """As `escaped` for readers that know more than Markdown, such as Streamlit: each sign that any
    of them could take for its own.
    """
    return _ANY.sub(r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return legible(" ".join(text.splitlines()).strip())


def code(text: str) -> str:
    """`text` in code marks, for a place in a line or a cell, whatever it holds."""
    line = _one_line(text).replace("`", "'").replace("|", "\\|")  # of a cell also in code
    return f"`{line}`" if line else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
