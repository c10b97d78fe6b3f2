"""When a prediction or a score passes a threshold: one rule for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:  # `labeler --help` loads no numpy.
    import numpy as np
    from numpy.typing import NDArray

# Predictions are float32, in which 0.7 and 0.9 are a little less than they say; what is printed as
# 70 % passes 70 %.
SLACK = 5e-7


@overload
def passes(value: float, threshold: float) -> bool: ...


@overload
def passes(
    value: NDArray[np.floating], threshold: float | NDArray[np.floating]
) -> NDArray[np.bool_]: ...


def passes(
    value: float | NDArray[np.floating], threshold: float | NDArray[np.floating]
) -> bool | NDArray[np.bool_]:
    """Return whether predictions or scores (0–1) reach `threshold`; NaN does not."""
    return value >= least_passing(threshold)


@overload
def least_passing(threshold: float) -> float: ...


@overload
def least_passing(threshold: NDArray[np.floating]) -> NDArray[np.floating]: ...


def least_passing(threshold: float | NDArray[np.floating]) -> float | NDArray[np.floating]:
    """Return the least value, 0–1, that `passes`: what float32 can't tell from it does, too."""
    return threshold - SLACK
