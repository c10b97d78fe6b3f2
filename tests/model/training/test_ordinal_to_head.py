"""Protects what the default recipe writes: a published head that says what its regression says, at
every threshold, width and size, and still does when its file is read again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from scipy.stats import spearmanr

from model.estimators import ordinal
from model.estimators.ordinal import Inputs, Ordinal
from model.heads.head import predict
from model.heads.head_files import load_head, save_head
from model.training.ordinal_to_head import ordinal_to_head

THRESHOLDS = [0.05, 0.3, 0.5, 0.55, 0.9, 0.9999, 1.0]
# By hidden size: how far a prediction may be from what the regression stands for.
CLOSE = {128: 0.06, 256: 0.06, 512: 0.012, 1024: 0.012}


def regression(width: int, seed: int = 0, spread: float = 3.0) -> Ordinal:
    """Of embeddings around 5; log odds fall from level to level and vary by `spread`."""
    weights = np.random.default_rng(seed).normal(0, spread / np.sqrt(width), (width, 10))
    return Ordinal(weights, np.linspace(3, -3, 10) - 5 * weights.sum(axis=0))


def images(width: int, count: int = 400, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, width)) + 5).astype(np.float32)


def both(fitted: Ordinal, x: np.ndarray, threshold: float, hidden: int = 1024) -> tuple:
    """What the head predicts and what the regression stands for."""
    said = predict(ordinal_to_head(fitted, threshold, hidden), x)
    return said, ordinal.to_scores(fitted.logits(x), threshold)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("width", [1, 16, 768])
def test_the_head_says_what_the_regression_says(width: int, threshold: float) -> None:
    said, meant = both(regression(width), images(width), threshold)
    np.testing.assert_allclose(said, meant, atol=CLOSE[1024])


@pytest.mark.parametrize("threshold", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("hidden", CLOSE)
def test_more_hidden_units_say_it_more_exactly(hidden: int, threshold: float) -> None:
    said, meant = both(regression(16), images(16), threshold, hidden)
    np.testing.assert_allclose(said, meant, atol=CLOSE[hidden])


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_order_and_side_of_the_threshold_are_kept(threshold: float) -> None:
    said, meant = both(regression(24, seed=5), images(24, 2000), threshold)
    assert ((said >= threshold) != (meant >= threshold)).mean() <= 0.002
    assert 0 < (meant >= threshold).mean() < 1
    assert spearmanr(said, meant).statistic > 0.999


def test_around_the_threshold_images_are_in_the_order_of_their_chance_to_pass() -> None:
    fitted = regression(24, seed=6)
    x = images(24, 4000)
    said = predict(ordinal_to_head(fitted, 0.5), x)
    near = np.abs(said - 0.5) < 0.1
    assert near.sum() > 300
    assert spearmanr(said[near], fitted.logits(x)[near, 4]).statistic > 0.9


@pytest.mark.parametrize("threshold", [0.05, 0.5, 1.0])
def test_extreme_log_odds(threshold: float) -> None:
    """The head's ReLUs must cancel far beyond their last corner."""
    x = np.eye(11, dtype=np.float32)
    weights = np.where(np.arange(1, 11)[None, :] <= np.arange(11)[:, None], 50.0, -50.0)
    said, meant = both(Ordinal(weights, np.zeros(10)), x, threshold)
    np.testing.assert_allclose(said, meant, atol=CLOSE[1024])
    assert (np.diff(said) > 0).all()
    wild, _ = both(regression(16, spread=1000.0), images(16), threshold)
    assert ((wild >= 0) & (wild <= 1)).all()


@pytest.mark.parametrize(
    ("kind", "scores"),
    [
        ("equal", np.arange(40) % 11.0),
        ("usual", np.arange(40) % 4 + 3.0),
        ("usual", np.full(40, 4.0)),
    ],
    ids=["all embeddings equal", "levels that nobody reaches", "one score"],
)
def test_degenerate_collections(kind: str, scores: np.ndarray) -> None:
    x = np.full((40, 6), 2.0, dtype=np.float32) if kind == "equal" else images(6, 40)
    inputs = Inputs(x)
    fitted = inputs.ordinal(ordinal.fit(inputs.values, scores, 30.0))
    for threshold in (0.1, 0.5, 1.0):
        said, meant = both(fitted, x, threshold)
        np.testing.assert_allclose(said, meant, atol=CLOSE[1024])


def test_the_file_is_the_published_one_and_reads_back_the_same(tmp_path: Path) -> None:
    head, x = ordinal_to_head(regression(768), 0.5), images(768, 50)
    save_head(tmp_path / "v1.0", head, name="mine", rev="v1.0")
    with safe_open(tmp_path / "v1.0.safetensors", framework="np") as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    layers = {
        "up.0": (1024, 768),
        "up.1.long.0": (1024, 1024),
        "up.1.long.2": (1024, 1024),
        "up.1.long.4": (1024, 1024),
        "down.0": (128, 1024),
        "down.1": (64, 128),
        "down.4": (32, 64),
        "down.5": (1, 32),
    }
    expected = {f"{name}.weight": shape for name, shape in layers.items()}
    assert shapes == expected | {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    loaded = load_head(tmp_path / "v1.0", features=768).head
    np.testing.assert_array_equal(predict(loaded, x), predict(head, x))
