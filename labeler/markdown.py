"""Texts and tables in Markdown files; what others wrote is shown letter for letter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_OWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&=\"'/@])")


def escaped(text: str) -> str:
    """`text` so that Markdown takes none of it for its own: no pictures, links or HTML.

    It becomes one line, and bytes of a file name that are no UTF-8 become replacement marks.
    """
    line = " ".join(text.encode("utf-8", "replace").decode().splitlines())
    return _OWN.sub(r"\\\1", line)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
