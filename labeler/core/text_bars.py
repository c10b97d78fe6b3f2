"""A bar chart of counts as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

BAR_WIDTH = 40


def bars(labels: Sequence[str], counts: Sequence[int], most: int) -> Iterator[str]:
    """One line per label with a bar; `most` fills it, more than that is cut off with a mark.

    What is not 0 always shows at least a thin one.
    """
    wide = max(len(label) for label in labels)
    for label, count in zip(labels, counts, strict=True):
        bar = "█" * min(BAR_WIDTH, round(count * BAR_WIDTH / max(most, 1)))
        bar = f"{bar}…" if count > most else bar or ("▏" if count else "")
        yield f"{label:>{wide}}  {count:>6} {bar}".rstrip()
