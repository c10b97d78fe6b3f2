"""Format numbers and other people's texts for the pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labeler.core.scale import whole_percent
from labeler.core.text import escape_all_markdown

if TYPE_CHECKING:
    from db.records import Image
    from model.evaluation.intervals import Bounds

# As they look when they are escaped.
_ADDRESS = re.compile(r"https?\\:(?=\\/\\/)|www(?=\\\.)|(?<=\w)\\@(?=\w)", re.IGNORECASE)
_NOTHING = "\N{WORD JOINER}"


def markdown_escaped(text: str) -> str:
    """`text` so that markdown shows it letter for letter.

    File names end up in error messages, and a name may hold `![](http://…)`, which the page would
    fetch: every character that markdown could take for its own is escaped. Addresses of the web and
    of mail become links without any such character, so something invisible stands in them.
    """
    return _ADDRESS.sub(lambda found: f"{found[0]}{_NOTHING}", escape_all_markdown(text))


def percent(prediction: float | None) -> str:
    """Return a prediction, 0–1, in percent; a dash for None.

    The number is cut, not rounded: what shows 50 % passes a threshold of 50 %.
    """
    return "–" if prediction is None else f"{whole_percent(prediction)} %"


def share(value: float) -> str:
    """Return a share or chance, 0–1, as `24 %`."""
    return f"{round(value * 100)} %"


def percents(bounds: Bounds) -> str:
    """Return the interval of a share, 0–1, as `5–24 %`."""
    return f"{bounds.low * 100:.0f}–{share(bounds.high)}"


def score(value: float | None) -> str:
    """Return a hand score, 0–10, or "unscored"; a mean keeps two decimals."""
    return "unscored" if value is None else f"{round(value, 2):g}"


def scored(value: float | None) -> str:
    """Return `scored 7`, or `unscored`."""
    return "unscored" if value is None else f"scored {score(value)}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 image`, `1,204 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return seconds in words, coarser the longer it takes."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def file_size(size: int) -> str:
    """Return a size in bytes with a unit that people read."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


MISSING = (
    "Its file is not where it was. Its scores, predictions and embedding are kept; import the "
    "folder that it lies in now, and it is found again by its content."
)


def file_facts(image: Image) -> str:
    """Return the image's size in pixels, format and bytes; a dash for an embedding alone."""
    size = f"{image.width} × {image.height}" if image.width and image.height else "–"
    facts = [size, image.format, file_size(image.size_bytes) if image.size_bytes else None]
    return " · ".join(part for part in facts if part)
