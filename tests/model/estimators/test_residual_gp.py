"""What a few corrections move: near neighbours follow, far ones stay, on arrays checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.estimators.kernels import median_distance
from model.estimators.residual_gp import (
    SHARES,
    USUAL_SHARE,
    Kernel,
    choose_kernel,
    shifts,
    usual_kernel,
)

KERNEL = Kernel(width=0.5, noise=0.25)


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_twin_follows_most_of_the_way_and_the_far_side_stays() -> None:
    moved = shifts(KERNEL, at(0, 60, 180), at(0), np.array([-0.5]))
    # k = 1, exp(-1 / 0.5), exp(-4 / 0.5); each times -0.5 / (1 + 0.25)
    np.testing.assert_allclose(moved, -0.4 * np.exp([0, -2, -8]))


def test_the_same_picture_corrected_twice_counts_hardly_more() -> None:
    once = shifts(KERNEL, at(0), at(0), np.array([-0.5]))[0]
    twice = shifts(KERNEL, at(0), at(0, 0), np.array([-0.5, -0.5]))[0]
    assert once == pytest.approx(-0.4)
    assert twice == pytest.approx(-0.5 * 2 / 2.25)


def test_confirmed_images_hold_their_neighbours() -> None:
    alone = shifts(KERNEL, at(20), at(0), np.array([-0.5]))[0]
    held = shifts(KERNEL, at(20), at(0, 30), np.array([-0.5, 0.0]))[0]
    assert alone < held < 0


def test_nothing_corrected_moves_nothing() -> None:
    assert shifts(KERNEL, at(0, 1), at(), np.zeros(0)).tolist() == [0, 0]


def test_without_residuals_the_width_is_a_share_of_the_median_distance() -> None:
    assert usual_kernel(at(0, 60, 180)).width == pytest.approx(USUAL_SHARE * np.sqrt(3))
    assert usual_kernel(at(0)).width == USUAL_SHARE


def test_the_width_fits_how_far_errors_reach() -> None:
    generator = np.random.default_rng(2)
    units = generator.normal(size=(300, 3))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    usual = median_distance(units)
    smooth = Kernel(usual)(units, units) + 1e-6 * np.eye(300)
    local = Kernel(0.25 * usual)(units, units) + 1e-6 * np.eye(300)
    widths = [
        choose_kernel(units, np.linalg.cholesky(each) @ generator.normal(size=300)).width / usual
        for each in (smooth, local)
    ]
    assert widths == pytest.approx([SHARES[-1], SHARES[0]])


def test_few_residuals_choose_nothing() -> None:
    assert choose_kernel(at(0, 60, 180), np.zeros(3)).width == pytest.approx(0.35 * np.sqrt(3))
