"""Refuse values that are no numbers, with a sentence that says which and what to do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelError


def check_finite(what: str, values: NDArray[np.floating], step: str) -> None:
    """Raise `ModelError` naming the first row of `values` (n,) or (n, k) that is not all finite.

    `what` is what a row holds ("embedding"), `step` what to do next.
    """
    wrong = ~np.isfinite(values)
    wrong = wrong.any(axis=1) if wrong.ndim > 1 else wrong
    if wrong.any():
        raise ModelError(
            f"The {what} in row {int(np.argmax(wrong))} holds NaN or infinity "
            f"({int(wrong.sum())} of {len(wrong)} rows do); {step}."
        )
