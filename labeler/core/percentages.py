"""A prediction in whole percent: cut rather than rounded, so that what shows 50 passes 50 %; and
bands of predictions, whose ends go by it."""

from __future__ import annotations

import math

_SLACK = 1e-4  # of a percent: 0.7 in float32, and 0.29 times 100, are a little less than that


def whole_percent(prediction: float) -> int:
    """0–1 → 0–100."""
    return math.floor(prediction * 100 + _SLACK)


def band_ends(low: float, high: float) -> tuple[float, float]:
    """The least and the largest prediction, 0–1, that a band takes, both ends included.

    An end that is a whole percent goes by what is printed: up to 0.7 takes all that shows 70 %, as
    the original's folder tool has it. A finer end is taken as it is.
    """
    return (
        (round(low * 100) - _SLACK) / 100 if _is_whole(low) else low,
        math.nextafter((round(high * 100) + 1 - _SLACK) / 100, 0) if _is_whole(high) else high,
    )


def _is_whole(end: float) -> bool:
    return abs(end * 100 - round(end * 100)) < _SLACK
