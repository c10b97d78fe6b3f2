"""The scale of predictions, 0–1: in whole percent, and in brackets of hand scores, 0–10."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.passing import SLACK, least_passing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Bracket:
    """What the hand scores `low`–`high` (both included, 0–10) usually stand for."""

    low: int
    high: int
    meaning: str

    @property
    def span(self) -> str:
        """`2–3`, or `4` alone."""
        return f"{self.low}" if self.low == self.high else f"{self.low}–{self.high}"


BRACKETS = (
    Bracket(0, 0, "real photo, noise, much text"),
    Bracket(1, 1, "manga panel, no subject"),
    Bracket(2, 3, "sketch, rough lineart"),
    Bracket(4, 4, "flat shading, TV screenshot, average"),
    Bracket(5, 10, "high quality by your own taste, the higher the better"),
)


def bounds_words(at_least: float | None, below: float | None) -> str:
    """Say what is known of a hand score, 0–10, of which no number was said."""
    if below is None:
        return "passes"
    return "fails" if at_least is None else f"{at_least:g} to under {below:g}"


def to_others(text: str) -> str:
    """Return a text of the pages, which speak to the person who scored, as it is said to others."""
    named = text.replace("your own", "the owner's").replace("yours", "the hand scores")
    return named.replace("your score", "the hand score")


_LOWEST = [each.low for each in BRACKETS]
_SLACK = 10 * SLACK  # of a point


def bracket_of(prediction: float) -> Bracket:
    """Return the bracket of a prediction, 0–1.

    Cut rather than rounded, as percentages are: 0.49 is a 4, and 0.5, which passes, a 5.
    """
    return BRACKETS[max(bisect_right(_LOWEST, prediction * 10 + _SLACK), 1) - 1]


def spans_of(predictions: NDArray[np.floating]) -> list[str]:
    """Return the span of each bracket, as text, for predictions (n,) 0–1."""
    import numpy as np  # `labeler --help` prints percents without it.

    places = np.searchsorted(_LOWEST, predictions * 10 + _SLACK, side="right")
    spans = [BRACKETS[0].span, *(each.span for each in BRACKETS)]
    return [spans[place] for place in places.tolist()]


_PERCENT_SLACK = 100 * SLACK  # of a percent: 0.29 times 100 is a little less than it says


def whole_percent(prediction: float) -> int:
    """Return a prediction, 0–1, in whole percent: cut, so that what shows 50 passes 50 %."""
    return math.floor(prediction * 100 + _PERCENT_SLACK)


def band_ends(low: float, high: float) -> tuple[float, float]:
    """Return the least and the largest prediction, 0–1, in a band, both ends included.

    The lower end goes by what `passes`. An upper end that is a whole percent goes by what is
    printed: up to 0.7 takes all that shows 70 %, as the original's folder tool has it.
    """
    return (
        least_passing(low),
        math.nextafter((round(high * 100) + 1 - _PERCENT_SLACK) / 100, 0)
        if abs(high * 100 - round(high * 100)) < _PERCENT_SLACK
        else high + SLACK,
    )
