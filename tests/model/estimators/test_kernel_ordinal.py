"""Protects the second opinion: it is the kernel regression it claims to be, unsure far from all
that was scored, moved by answers as by scores, and read from nothing but its own files.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import spearmanr

from model.errors import ModelError
from model.estimators import kernel_ordinal, ordinal
from model.estimators.kernel_ordinal import LANDMARKS, KernelOrdinal
from model.estimators.kernels import normalize
from tests.support.kernel_regression import LEVEL, KernelRegression, unit

WIDTH = 6


def collection(count: int, seed: int = 0, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings (n, 6) of very different lengths, whose direction decides the score, but not
    by a straight line.
    """
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(count, WIDTH))
    hidden[:, 0] += 0.5
    scores = 5 + 2.5 * hidden[:, 0] * np.sign(hidden[:, 1]) + noise * draw.normal(size=count)
    raw = hidden * draw.uniform(1, 4, (count, 1))
    return raw.astype(np.float32), np.clip(np.round(scores), 0, 10)


def after(fitted: KernelOrdinal, new: np.ndarray, answered: np.ndarray, passed: list) -> np.ndarray:
    return fitted.condition_on(
        fitted.transform(new), fitted.transform(answered), np.array(passed, dtype=np.bool_), LEVEL
    )


@pytest.mark.parametrize(("count", "strength"), [(60, 3.0), (200, 30.0), (120, 300.0)])
def test_it_is_the_kernel_regression_exactly(count: int, strength: float) -> None:
    known, scores = collection(count, seed=1)
    new, _ = collection(100, seed=2)
    new[:20] *= -1
    found = kernel_ordinal.fit(known, scores, strength).logits(new)
    expected = KernelRegression(known, scores, strength).logits(new)
    np.testing.assert_allclose(expit(found), expit(expected), atol=0.015)


def test_with_more_images_than_landmarks_it_is_still_about_that() -> None:
    known, scores = collection(1100, seed=3)
    new, truth = collection(400, seed=4)
    assert len(known) > LANDMARKS
    fitted = kernel_ordinal.fit(known, scores)
    assert fitted.landmarks.shape == (LANDMARKS, WIDTH)
    few = kernel_ordinal.fit(known[:300], scores[:300])
    errors = [np.abs(each.exceed(new).sum(axis=1) - truth).mean() for each in (fitted, few)]
    assert errors[0] < errors[1] < 0.6 * np.abs(truth - np.median(scores)).mean()
    # All images are learnt from, not the landmarks alone.
    marks = {row.tobytes() for row in fitted.landmarks}
    units = normalize(known.astype(np.float64)).astype(np.float32)
    rest = np.array([row.tobytes() not in marks for row in units])
    assert rest.sum() == 1100 - LANDMARKS
    other = kernel_ordinal.fit(known, np.where(rest, 10 - scores, scores))
    assert np.abs(other.exceed(known[rest]) - fitted.exceed(known[rest])).mean() > 0.05


def test_chances_follow_the_direction_not_the_length() -> None:
    embeddings, scores = collection(300)
    fitted = kernel_ordinal.fit(embeddings, scores)
    new, truth = collection(300, seed=1)
    exceed = fitted.exceed(new)
    assert (exceed.shape, exceed.dtype) == ((300, 10), np.float32)
    assert (np.diff(exceed, axis=1) <= 0).all()
    np.testing.assert_allclose(fitted.exceed(new * 7), exceed, atol=1e-4)
    assert np.abs(exceed.sum(axis=1) - truth).mean() < 0.6 * np.abs(truth - truth.mean()).mean()


def test_far_from_all_that_was_scored_it_is_unsure() -> None:
    """Two clear clusters; images move away from the good one into a direction nobody has seen."""
    draw = np.random.default_rng(2)
    good, bad = np.eye(4)[0], np.eye(4)[1]
    known = np.repeat([good, bad], 30, axis=0) + 0.1 * draw.normal(size=(60, 4)) * [1, 1, 1, 0]
    fitted = kernel_ordinal.fit(known, np.repeat([8.0, 2.0], 30), 30.0)
    angles = np.radians([0, 20, 40, 60, 90])
    away = np.cos(angles)[:, None] * good + np.sin(angles)[:, None] * np.eye(4)[3]
    odds = fitted.logits(away)[:, LEVEL - 1]
    assert (np.diff(odds) < 0).all()
    assert expit(odds[0]) > 0.95
    assert expit(odds[-1]) == pytest.approx(0.5, abs=0.05)


def test_levels_that_never_occur_keep_half_an_image_of_doubt_near_what_was_scored() -> None:
    embeddings, scores = collection(99)
    exceed = kernel_ordinal.fit(embeddings, np.clip(scores, 2, 7), 3.0).exceed(embeddings)
    assert ((exceed[:, 9] > 0.5 / 100 - 1e-3) & (exceed[:, 9] < 0.05)).all()
    assert ((exceed[:, 0] < 99.5 / 100 + 1e-3) & (exceed[:, 0] > 0.95)).all()


def test_one_score_for_all_is_still_an_opinion() -> None:
    embeddings, _ = collection(30)
    exceed = kernel_ordinal.fit(embeddings, np.full(30, 4.0), 3.0).exceed(embeddings)
    assert (exceed[:, 3] > 0.85).all()
    assert (exceed[:, 4] < 0.15).all()


@pytest.mark.parametrize("odd", ["equal", "zero", "one"])
def test_odd_collections(odd: str) -> None:
    embeddings, scores = collection(1 if odd == "one" else 24)
    embeddings = {"equal": np.ones_like(embeddings), "zero": embeddings * 0}.get(odd, embeddings)
    fitted = kernel_ordinal.fit(embeddings, scores)
    new = np.concatenate([embeddings, np.zeros((1, WIDTH)), collection(5)[0]])
    assert np.isfinite(fitted.logits(new)).all()
    shares = ordinal.reached_levels(scores).mean(axis=0)
    np.testing.assert_allclose(fitted.exceed(embeddings)[0], shares, atol=0.3)


def test_calibrated_chances_come_true() -> None:
    embeddings, scores = collection(500)
    folds, logits = np.arange(500) % 5, np.zeros((500, 10))
    for fold in range(5):
        out = folds == fold
        logits[out] = kernel_ordinal.fit(embeddings[~out], scores[~out]).logits(embeddings[out])
    honest = ordinal.best_temperature(logits, scores)
    fitted = kernel_ordinal.fit(embeddings, scores, temperature=honest)
    new, truth = collection(2000, seed=9)
    said, came = fitted.exceed(new).ravel(), ordinal.reached_levels(truth).ravel()
    for low in (0.1, 0.3, 0.5, 0.7):
        among = (said >= low) & (said < low + 0.2)
        assert came[among].mean() == pytest.approx(said[among].mean(), abs=0.06)


def test_temperature_divides_the_log_odds() -> None:
    embeddings, scores = collection(40)
    fitted = kernel_ordinal.fit(embeddings, scores)
    cooler = kernel_ordinal.fit(embeddings, scores, temperature=2.0)
    np.testing.assert_allclose(cooler.logits(embeddings) * 2, fitted.logits(embeddings))
    nothing, some = embeddings[:0], embeddings[:9]
    np.testing.assert_allclose(
        after(cooler, some, nothing, []) * 2, after(fitted, some, nothing, [])
    )


def test_noise_asks_for_a_stronger_prior_than_a_clear_case() -> None:
    groups = np.arange(240)
    clear, noisy = collection(240, noise=0.1), collection(240, noise=6.0)
    strengths = [kernel_ordinal.choose_strength(*each, groups) for each in (clear, noisy)]
    assert strengths[0] > strengths[1]


def test_without_answers_nothing_moves() -> None:
    embeddings, scores = collection(80)
    fitted = kernel_ordinal.fit(embeddings, scores, temperature=1.7)
    new, _ = collection(50, seed=1)
    unmoved = after(fitted, new, new[:0], [])
    np.testing.assert_allclose(unmoved, fitted.logits(new)[:, LEVEL - 1], atol=1e-6)


def test_answers_move_it_as_laplace_has_it() -> None:
    known, scores = collection(80, seed=1)
    new, _ = collection(60, seed=2)
    answered, truth = collection(12, seed=5)
    passed = truth >= LEVEL
    found = after(kernel_ordinal.fit(known, scores, 30.0), new, answered, passed)
    expected = KernelRegression(known, scores, 30.0).after(new, answered, passed.astype(np.float64))
    np.testing.assert_allclose(expit(found), expit(expected), atol=0.015)


def test_answers_move_it_where_a_new_fit_would() -> None:
    known, scores = collection(80, seed=1)
    new, _ = collection(150, seed=2)
    answered, truth = collection(12, seed=5)
    passed, fitted = truth >= LEVEL, kernel_ordinal.fit(known, scores)
    before = fitted.logits(new)[:, LEVEL - 1]
    told = np.concatenate([scores, np.where(passed, 8.0, 2.0)])
    again = (
        kernel_ordinal.fit(np.concatenate([known, answered]), told).logits(new)[:, LEVEL - 1]
        - before
    )
    moved = after(fitted, new, answered, passed) - before
    assert spearmanr(moved, again).statistic > 0.9
    far = np.abs(moved) > 0.3
    assert far.sum() > 15
    assert (np.sign(moved[far]) == np.sign(again[far])).all()


@pytest.mark.parametrize("passes", [True, False])
def test_one_answer_moves_near_neighbours_most(passes: bool) -> None:
    known, scores = collection(80, seed=1)
    new, _ = collection(200, seed=2)
    fitted = kernel_ordinal.fit(known, scores)
    moved = after(fitted, new, new[:1], [passes]) - after(fitted, new, new[:0], [])
    nearest = np.argsort(-(unit(new) @ unit(new[:1])[0]))
    towards = moved if passes else -moved
    assert towards[0] == towards.max() > 0.5
    assert (towards[nearest[:8]] > 0.1).all()
    assert towards[nearest[:8]].mean() > 10 * np.abs(towards[nearest[-50:]]).mean()


def test_the_order_of_answers_does_not_matter() -> None:
    known, scores = collection(80, seed=1)
    new, _ = collection(40, seed=2)
    answered, truth = collection(15, seed=6)
    fitted, order = kernel_ordinal.fit(known, scores), np.random.default_rng(0).permutation(15)
    one = after(fitted, new, answered, truth >= LEVEL)
    other = after(fitted, new, answered[order], (truth >= LEVEL)[order])
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_same_answer_again_says_ever_less() -> None:
    known, scores = collection(80, seed=1)
    new, _ = collection(3, seed=2)
    fitted = kernel_ordinal.fit(known, scores)
    counts = (0, 1, 2, 3, 4, 5)
    odds = [after(fitted, new, new[[0] * count], [True] * count)[0] for count in counts]
    gains = np.diff(odds)
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()
    many = after(fitted, new, new[[0] * 200], [True] * 200)
    assert np.isfinite(many).all()
    # Log odds grow with the logarithm of the number; 200 answers are not 200 times one.
    assert many[0] - odds[0] < 8 * gains[0]


def test_contradicting_answers_leave_it_in_between() -> None:
    known, scores = collection(80, seed=1)
    new, _ = collection(1, seed=2)
    fitted = kernel_ordinal.fit(known, scores)
    odds = after(fitted, new, new[[0] * 20], [True, False] * 10)[0]
    assert abs(expit(odds) - 0.5) < 0.05


def test_what_it_sees_can_be_taken_apart() -> None:
    known, scores = collection(50)
    fitted = kernel_ordinal.fit(known, scores)
    whole, rows = fitted.transform(known), np.array([7, 3])
    part = fitted.transform(known[rows])
    assert (len(whole), len(whole.take(rows))) == (50, 2)
    for name in ("units", "features", "residual_variance"):
        np.testing.assert_allclose(
            getattr(whole.take(rows), name), getattr(part, name), rtol=1e-3, atol=1e-4
        )


def test_saved_opinion_comes_back(tmp_path: Path) -> None:
    embeddings, scores = collection(50)
    fitted = kernel_ordinal.fit(embeddings, scores, 3.0, 1.4)
    fitted.save(tmp_path / "v1.0.opinion.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["v1.0.opinion.npz"]
    loaded = KernelOrdinal.load(tmp_path / "v1.0.opinion.npz")
    assert (loaded.strength, loaded.temperature) == (3.0, 1.4)
    with np.load(tmp_path / "v1.0.opinion.npz") as saved:  # names that every release reads
        assert set(saved.files) == {
            *("landmarks", "width", "size", "projection", "offset", "spread", "weights", "bias"),
            *("doubt", "strength", "temperature"),
        }
    np.testing.assert_array_equal(loaded.exceed(embeddings), fitted.exceed(embeddings))
    passed = [True, False, True]
    np.testing.assert_array_equal(
        after(loaded, embeddings, embeddings[:3], passed),
        after(fitted, embeddings, embeddings[:3], passed),
    )


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def test_files_that_are_not_opinions_are_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "v1.0.opinion.npz", tmp_path / "trace"
    with pytest.raises(ModelError, match="is missing"):
        KernelOrdinal.load(path)
    fitted = kernel_ordinal.fit(*collection(20))
    fitted.save(path)
    good = path.read_bytes()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}

    def refused() -> None:
        with pytest.raises(ModelError, match=r"v1\.0\.opinion\.npz is not a second opinion"):
            KernelOrdinal.load(path)

    middle = len(good) // 2
    for damaged in (b"nothing of the kind", b"", good[:middle], b"PK" + good[:100]):
        path.write_bytes(damaged)
        refused()
    flipped = bytearray(good)
    flipped[middle] ^= 0xFF
    path.write_bytes(bytes(flipped))
    refused()
    path.write_bytes(pickle.dumps(Trap(trace)))
    refused()
    with path.open("wb") as plain:
        np.save(plain, np.zeros(3))
    refused()
    trap = np.empty((), dtype=object)
    trap[()] = Trap(trace)
    foreign: list[dict] = [
        {"mean": np.zeros(3)},
        arrays | {"temperature": trap},
        arrays | {"weights": arrays["weights"][:-1]},
        arrays | {"landmarks": arrays["landmarks"][0]},
        arrays | {"bias": arrays["bias"].astype(np.int64)},
        {name: array for name, array in arrays.items() if name != "doubt"},
    ]
    for each in foreign:
        np.savez(path, **each)
        refused()
    assert not trace.exists()


def test_a_file_that_cannot_be_written_leaves_nothing_half_made(tmp_path: Path) -> None:
    (tmp_path / "v1.0.opinion.npz").mkdir()
    with pytest.raises(OSError, match="opinion"):
        kernel_ordinal.fit(*collection(20)).save(tmp_path / "v1.0.opinion.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["v1.0.opinion.npz"]
