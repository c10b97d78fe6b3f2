"""Protects the geometry that estimators, folds and review share, on arrays checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.estimators.kernels import SAMPLE, distances, median_distance, normalize, rbf_kernel


def at(*degrees: float) -> np.ndarray:
    """Unit rows (n, 2) at these angles; their distance is 2 sin(half the angle between)."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_get_length_one_and_keep_their_type(dtype: type) -> None:
    rows = np.array([[3, 4], [0, 0], [0, 1e-15], [-2e15, 0]], dtype=dtype)
    units = normalize(rows)
    assert units.dtype == dtype
    np.testing.assert_allclose(units, [[0.6, 0.8], [0, 0], [0, 1], [-1, 0]], rtol=1e-6)
    assert rows[0].tolist() == [3, 4]
    assert normalize(rows[:0]).shape == (0, 2)


def test_distances_and_the_kernel_by_hand() -> None:
    apart = distances(at(0, 60), at(0, 60, 180))
    np.testing.assert_allclose(apart, [[0, 1, 2], [1, 0, np.sqrt(3)]], atol=1e-7)
    alike = rbf_kernel(at(0), at(0, 60, 180), width=0.5)
    np.testing.assert_allclose(alike, np.exp([[0, -2, -8]]))


def test_the_median_distance_by_hand() -> None:
    # 1, sqrt(3) and 2 lie between 0°, 60° and 180°.
    assert median_distance(at(0, 60, 180)) == pytest.approx(np.sqrt(3))
    assert median_distance(at(0)) == median_distance(at()) == 0


def test_the_same_embedding_again_and_again_is_no_distance() -> None:
    rows = np.random.default_rng(0).normal(size=(1, 768)).astype(np.float32).repeat(20, axis=0)
    assert median_distance(normalize(rows)) == 0


def test_the_median_distance_of_many_is_that_of_a_sample() -> None:
    many = normalize(np.random.default_rng(1).normal(size=(5 * SAMPLE, 8)))
    few = many[:: 2 * 5 // 2]
    assert median_distance(many) == pytest.approx(median_distance(few))
    assert median_distance(many) == pytest.approx(np.sqrt(2), abs=0.02)
