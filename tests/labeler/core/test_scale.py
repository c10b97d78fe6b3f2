"""What is shown as a whole percent never promises more than the prediction holds."""

from __future__ import annotations

import numpy as np
import pytest

from labeler.app.widgets import formatting
from labeler.cli.output import percent
from labeler.core.scale import whole_percent


@pytest.mark.parametrize(
    ("prediction", "shown"),
    [
        (0.0, 0),
        (0.496, 49),
        (0.4999, 49),
        (0.5, 50),
        (0.875, 87),
        (1.0, 100),
        (float(np.float32(0.7)), 70),
    ],
)
def test_it_is_cut_and_the_same_everywhere(prediction: float, shown: int) -> None:
    assert whole_percent(prediction) == shown
    assert (percent(prediction), formatting.percent(prediction)) == (f"{shown}%", f"{shown} %")


def test_every_hundredth_is_itself() -> None:
    assert [whole_percent(number / 100) for number in range(101)] == list(range(101))


def test_shares_are_rounded() -> None:
    assert formatting.share(0.496) == "50 %"
