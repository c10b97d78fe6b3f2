"""A prediction in whole percent: cut rather than rounded, so that what shows 50 passes 50 %."""

from __future__ import annotations

import math

_SLACK = 1e-4  # of a percent: 0.7 in float32, and 0.29 times 100, are a little less than that


def whole_percent(prediction: float) -> int:
    """0–1 → 0–100."""
    return math.floor(prediction * 100 + _SLACK)
