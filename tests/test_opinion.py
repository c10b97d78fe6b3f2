"""Protects the second opinion: chances that are ordered, honest and sane where scores are few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model import opinion
from model.errors import ModelError
from model.opinion import Opinion

WIDTH = 24


def collection(count: int, seed: int = 0, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings (n, 24) of very different lengths, whose direction decides the score."""
    draw = np.random.default_rng(seed)
    direction = draw.normal(size=(count, WIDTH)) + 0.5
    score = 5 + 2.5 * direction[:, 0] + noise * draw.normal(size=count)
    lengths = draw.uniform(3, 30, (count, 1))
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return (unit * lengths).astype(np.float32), np.clip(np.round(score), 0, 10)


def test_chances_follow_the_direction_not_the_length() -> None:
    embeddings, scores = collection(400)
    fitted = opinion.fit(embeddings, scores)
    new, truth = collection(300, seed=1)
    exceed = fitted.exceed(new)
    assert exceed.shape == (300, 10)
    assert exceed.dtype == np.float32
    np.testing.assert_allclose(fitted.exceed(new * 7), exceed, atol=1e-5)
    assert np.abs(exceed.sum(axis=1) - truth).mean() < 0.6 * np.abs(truth - truth.mean()).mean()


def test_chances_never_rise_with_the_level() -> None:
    crossing = np.array([[3.0, -2.0, 1.0, 0.5, 0.5, -1.0, -0.5, -4.0, -3.0, -9.0]])
    found = opinion.chances(crossing)
    assert (np.diff(found, axis=1) <= 0).all()
    assert found[0, 0] == pytest.approx(1 / (1 + np.exp(-3)))
    # The second and third disagree: both become the mean of what each claims.
    middle = (1 / (1 + np.exp(2)) + 1 / (1 + np.exp(-1))) / 2
    assert found[0, 1] == pytest.approx(middle)
    assert found[0, 2] == pytest.approx(middle)


def test_levels_that_never_occur_keep_half_an_image_of_doubt() -> None:
    embeddings, scores = collection(99)
    scores = np.clip(scores, 2, 7)
    exceed = opinion.fit(embeddings, scores).exceed(embeddings)
    np.testing.assert_allclose(exceed[:, 9], 0.5 / 100, atol=2.5e-3)
    np.testing.assert_allclose(exceed[:, 0], 99.5 / 100, atol=2.5e-3)


def test_one_score_for_all_is_still_an_opinion() -> None:
    exceed = opinion.fit(collection(30)[0], np.full(30, 4.0)).exceed(collection(5)[0])
    assert np.isfinite(exceed).all()
    assert (exceed[:, 3] > 0.9).all()
    assert (exceed[:, 4] < 0.1).all()


def test_fractions_reach_the_whole_scores_below_them() -> None:
    reached = opinion.reaches(np.array([6.5, 0.0, 10.0, 0.99]))
    assert reached.sum(axis=1).tolist() == [6, 0, 10, 0]


def test_zero_embeddings_and_fewer_images_than_values_are_fine() -> None:
    embeddings, scores = collection(12)
    embeddings[3] = 0
    assert np.isfinite(opinion.fit(embeddings, scores).exceed(embeddings)).all()


def test_out_of_fold_opinion_has_not_seen_the_image() -> None:
    embeddings, scores = collection(60)
    folds = np.arange(60) % 3
    before = opinion.out_of_fold(embeddings, scores, folds)
    changed = scores.copy()
    changed[folds == 0] = 10 - changed[folds == 0]
    after = opinion.out_of_fold(embeddings, changed, folds)
    np.testing.assert_array_equal(after[folds == 0], before[folds == 0])
    assert np.abs(after[folds == 1] - before[folds == 1]).max() > 0.1


def test_temperature_undoes_overconfidence() -> None:
    draw = np.random.default_rng(5)
    honest = draw.normal(0, 1.5, (500, 1))
    scores = np.where(draw.uniform(size=500) < 1 / (1 + np.exp(-honest[:, 0])), 10.0, 0.0)
    found = opinion.best_temperature(np.repeat(3 * honest, 10, axis=1), scores)
    assert found == pytest.approx(3, rel=0.2)


def test_calibrated_chances_come_true() -> None:
    embeddings, scores = collection(600)
    logits = opinion.out_of_fold(embeddings, scores, np.arange(600) % 5)
    fitted = opinion.calibrated(
        opinion.fit(embeddings, scores), opinion.best_temperature(logits, scores)
    )
    new, truth = collection(2000, seed=9)
    said, came = fitted.exceed(new).ravel(), opinion.reaches(truth).ravel()
    for low in (0.1, 0.3, 0.5, 0.7):
        bin_ = (said >= low) & (said < low + 0.2)
        assert came[bin_].mean() == pytest.approx(said[bin_].mean(), abs=0.06)


def test_noise_asks_for_a_stronger_prior_than_a_clear_case() -> None:
    groups = np.arange(300)
    clear, noisy = collection(300, noise=0.1), collection(300, noise=6.0)
    strengths = [opinion.choose_strength(*each, groups) for each in (clear, noisy)]
    assert strengths[0] > strengths[1]
    one_group = np.zeros(300, dtype=np.int64)
    assert opinion.choose_strength(*clear, one_group) == opinion.USUAL_STRENGTH


def certain(score: int) -> np.ndarray:
    """Log odds of somebody who is sure of `score`."""
    return np.where(np.arange(1, 11) <= score, 20.0, -20.0)[None, :]


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.5, 0.55, 0.9, 0.95])
def test_scores_stay_in_their_range_and_on_their_side(threshold: float) -> None:
    found = np.array([opinion.as_scores(certain(k), threshold)[0] for k in range(11)])
    assert (np.diff(found) > 0).all()
    assert ((found >= threshold) == (np.arange(11) / 10 >= threshold)).all()
    np.testing.assert_allclose(found, np.arange(11) / 10, atol=0.021)


def test_even_odds_at_the_threshold_are_exactly_the_threshold() -> None:
    logits = certain(4)
    logits[0, 4] = 0.0
    assert opinion.as_scores(logits, 0.5)[0] == pytest.approx(0.5)
    logits[0, 4] = 0.1
    assert opinion.as_scores(logits, 0.5)[0] > 0.5


def test_saved_opinion_comes_back(tmp_path: Path) -> None:
    embeddings, scores = collection(50)
    fitted = opinion.fit(embeddings, scores, 3.0, 1.4)
    fitted.save(tmp_path / "v1.0.opinion.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["v1.0.opinion.npz"]
    loaded = Opinion.load(tmp_path / "v1.0.opinion.npz")
    assert (loaded.strength, loaded.temperature) == (3.0, 1.4)
    np.testing.assert_array_equal(loaded.exceed(embeddings), fitted.exceed(embeddings))


def test_files_that_are_not_opinions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "v1.0.opinion.npz"
    with pytest.raises(ModelError, match="is missing"):
        Opinion.load(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="is not a second opinion"):
        Opinion.load(path)
    np.savez(path, mean=np.zeros(3))
    with pytest.raises(ModelError, match="is not a second opinion"):
        Opinion.load(path)
    np.savez(path, mean=np.array([{}], dtype=object))
    with pytest.raises(ModelError, match="is not a second opinion"):
        Opinion.load(path)
    sizes = {"mean": (3,), "weights": (4, 10), "bias": (10,), "strength": (), "temperature": ()}
    np.savez(path, **{name: np.zeros(shape) for name, shape in sizes.items()})
    with pytest.raises(ModelError, match="other shapes"):
        Opinion.load(path)
