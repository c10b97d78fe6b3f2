"""Texts and tables in Markdown files; what others wrote is shown letter for letter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from labeler.legible import legible

_OWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&=\"'/@])")


def escaped(text: str) -> str:
    """`text` so that Markdown takes none of it for its own: no pictures, links or HTML.

    It becomes one line, in which nothing is hidden.
    """
    return _OWN.sub(r"\\\1", legible(" ".join(text.splitlines())))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
