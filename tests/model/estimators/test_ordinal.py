"""Protects the ordinal regression: known answers by hand, honest chances, scores that keep their
side of the threshold, and a strength that is chosen without looking at a group's own images.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import spearmanr

from model.estimators import ordinal
from model.estimators.ordinal import Inputs, Ordinal

THRESHOLDS = [0.05, 0.1, 0.3, 0.5, 0.55, 0.9, 0.95, 1.0]


def certain(score: int) -> np.ndarray:
    """Log odds (1, 10) of somebody who is sure of `score`."""
    return np.where(np.arange(1, 11) <= score, 40.0, -40.0)[None, :]


def fit_many(
    embeddings: np.ndarray, scores: np.ndarray, known: np.ndarray, others: np.ndarray
) -> np.ndarray:
    inputs = Inputs(embeddings)
    fits = [
        ordinal.fit(inputs.values, scores, strength, known=known) for strength in ordinal.STRENGTHS
    ]
    return np.stack([inputs.ordinal(found).logits(others) for found in fits])


def test_fractions_reach_the_whole_scores_below_them() -> None:
    reached = ordinal.reached_levels(np.array([6.5, 0.0, 10.0, 0.99]))
    assert reached.sum(axis=1).tolist() == [6, 0, 10, 0]


def test_the_level_of_a_threshold_is_the_lowest_whole_score_that_reaches_it() -> None:
    found = [ordinal.threshold_level(t) for t in (0.0, 0.05, 0.3, 0.5, 0.51, 0.7, 1.0)]
    assert found == [1, 1, 3, 5, 6, 7, 10]


def test_two_opposite_images_by_hand() -> None:
    # The least of 2 log(1 + exp(-w)) + w² / (2 strength) is at w = 2 strength σ(-w), here w = 1.
    strength = 1 / (2 * expit(-1.0))
    found = ordinal.fit(np.array([[1.0], [-1.0]]), np.array([10.0, 0.0]), strength)
    np.testing.assert_allclose(found[0], 1.0, atol=0.01)
    np.testing.assert_allclose(found[1], 0.0, atol=1e-6)


def test_separable_levels_are_told_apart() -> None:
    places = np.repeat(np.arange(11.0), 3)[:, None]
    inputs = Inputs(places)
    fitted = inputs.ordinal(ordinal.fit(inputs.values, places[:, 0], 300.0))
    # Level k flips between k - 1 and k.
    crossings = -fitted.bias / fitted.weights[0]
    np.testing.assert_allclose(crossings, np.arange(1, 11) - 0.5, atol=0.3)
    assert (fitted.weights > 0).all()


def test_a_weaker_prior_dares_more() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(80, 3))
    scores = np.clip(np.round(5 + 3 * values[:, 0] + draw.normal(size=80)), 0, 10)
    sizes = [np.abs(ordinal.fit(values, scores, s)[:-1]).sum() for s in (0.1, 1.0, 10.0)]
    assert sizes[0] < 0.7 * sizes[1] < sizes[2]


def test_levels_that_all_or_none_reach_keep_half_an_image_of_doubt() -> None:
    scores = np.array([3.0, 3.0, 4.0, 5.0])
    found = ordinal.fit(np.random.default_rng(1).normal(size=(4, 2)), scores, 30.0)
    np.testing.assert_array_equal(found[:-1, [0, 1, 2, 5, 9]], 0)
    np.testing.assert_allclose(found[-1, :3], logit(4.5 / 5))
    np.testing.assert_allclose(found[-1, 5:], logit(0.5 / 5))
    assert np.abs(found[:-1, 3:5]).min() > 0.01


def test_every_step_is_told_and_can_be_the_last() -> None:
    draw = np.random.default_rng(2)
    values, scores = draw.normal(size=(50, 4)), draw.integers(0, 11, 50).astype(float)
    steps: list[int] = []

    def seen(step: int, unknown: np.ndarray) -> None:
        steps.append(step)
        assert unknown.shape == (5, 10)

    ordinal.fit(values, scores, 30.0, steps=6, callback=seen)
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("count", [7, 200])
def test_inputs_say_the_same_of_raw_embeddings(count: int) -> None:
    draw = np.random.default_rng(3)
    raw = (draw.normal(size=(count, 20)) * 4 + 9).astype(np.float32)
    inputs = Inputs(raw)
    assert inputs.values.shape[1] == (6 if count == 7 else 20)  # centred, so one less is spanned
    assert (inputs.values**2).sum(axis=1).mean() == pytest.approx(1)
    unknown = draw.normal(size=(inputs.values.shape[1] + 1, 10))
    said = inputs.ordinal(unknown).logits(raw)
    np.testing.assert_allclose(said, inputs.values @ unknown[:-1] + unknown[-1], atol=1e-6)


def test_fewer_images_than_values_fit_as_if_there_was_no_other_basis() -> None:
    draw = np.random.default_rng(4)
    raw, new = draw.normal(size=(30, 50)), draw.normal(size=(5, 50))
    scores = draw.integers(0, 11, 30).astype(float)
    inputs, centred = Inputs(raw), raw - raw.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=1).mean())
    plain = ordinal.fit(centred / size, scores, 30.0)
    expected = (new - raw.mean(axis=0)) / size @ plain[:-1] + plain[-1]
    said = inputs.ordinal(ordinal.fit(inputs.values, scores, 30.0)).logits(new)
    np.testing.assert_allclose(expit(said), expit(expected), atol=0.01)


def test_equal_embeddings_are_no_reason_to_fail() -> None:
    raw, scores = np.full((30, 8), 3.0), np.arange(30) % 11.0
    inputs = Inputs(raw)
    said = inputs.ordinal(ordinal.fit(inputs.values, scores, 30.0)).logits(raw)
    shares = ordinal.reached_levels(scores).mean(axis=0)
    np.testing.assert_allclose(expit(said[0]), shares, atol=0.04)


def test_log_odds_by_hand() -> None:
    regression = Ordinal(np.ones((2, 10)) * [[1.0], [-2.0]], np.arange(10.0))
    np.testing.assert_allclose(regression.logits(np.array([[3.0, 1.0]]))[0], 1 + np.arange(10))


def test_chances_never_rise_with_the_level() -> None:
    crossing = np.array([[3.0, -2.0, 1.0, 0.5, 0.5, -1.0, -0.5, -4.0, -3.0, -9.0]])
    found = ordinal.probabilities(crossing)
    assert (np.diff(found, axis=1) <= 0).all()
    assert found[0, 0] == pytest.approx(expit(3))
    # The second and third disagree: both become the mean of what each claims.
    middle = (expit(-2) + expit(1)) / 2
    assert found[0, 1:3] == pytest.approx([middle, middle])
    assert ordinal.probabilities(crossing, 3.0)[0, 0] == pytest.approx(expit(1))


def test_log_loss_by_hand() -> None:
    logits, reached = np.array([[logit(0.8), logit(0.4)]]), np.array([[True, False]])
    assert ordinal.log_loss(logits, reached) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)


def test_temperature_undoes_overconfidence() -> None:
    draw = np.random.default_rng(5)
    honest = draw.normal(0, 1.5, (500, 1))
    scores = np.where(draw.uniform(size=500) < expit(honest[:, 0]), 10.0, 0.0)
    found = ordinal.best_temperature(np.repeat(3 * honest, 10, axis=1), scores)
    assert found == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_certain_score_is_that_score_and_on_its_side(threshold: float) -> None:
    found = np.array([ordinal.to_scores(certain(k), threshold)[0] for k in range(11)])
    expected = np.arange(11) / 10
    # Only the score that just passes is lifted off the threshold.
    level = ordinal.threshold_level(threshold)
    expected[level] = min(1.0, max(level / 10, threshold + 0.02))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert ((found >= threshold) == (np.arange(11) / 10 >= threshold - 1e-9)).all()


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_even_odds_are_exactly_the_threshold(threshold: float) -> None:
    level = ordinal.threshold_level(threshold)
    logits = certain(level)
    logits[0, level - 1] = 0.0
    assert ordinal.to_scores(logits, threshold)[0] == pytest.approx(threshold, abs=2e-4)
    logits[0, level - 1] = -0.1
    assert ordinal.to_scores(logits, threshold)[0] < threshold
    logits[0, level - 1] = 0.1
    assert ordinal.to_scores(logits, threshold)[0] >= threshold


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.55, 0.95])
def test_no_level_that_is_likelier_lowers_a_score(threshold: float) -> None:
    logits = np.random.default_rng(6).normal(0, 2, (200, 10))
    before = ordinal.to_scores(logits, threshold)
    assert (before > 0).all() and (before < 1).all()
    for level in range(10):
        raised = logits.copy()
        raised[:, level] += 0.3
        assert (ordinal.to_scores(raised, threshold) > before).all()


@pytest.mark.parametrize("spread", [3.0, 8.0, 15.0])
def test_clear_cases_are_not_heaped_on_whole_tenths(spread: float) -> None:
    """Within a few 1e-6 of a tenth the smallest rounding changes the percent that is printed."""
    draw = np.random.default_rng(9)
    scores = draw.integers(0, 11, 4000)
    sides = np.where(np.arange(1, 11) <= scores[:, None], 1.0, -1.0)
    found = ordinal.to_scores(sides * (spread + np.abs(draw.normal(0, spread, (4000, 10)))), 0.5)
    assert (np.abs(found - np.round(found, 1)) < 1e-5).mean() < 0.02
    assert len(np.unique(found.round(6))) > 1500
    # The clearer is further up, and all are where their score is.
    assert np.abs(found - scores / 10).max() < 0.04
    assert spearmanr(found, scores).statistic > 0.99


def test_around_the_threshold_the_chance_to_pass_decides() -> None:
    # The first has the higher mean score, the second the higher chance of 5 or more.
    logits = np.concatenate([certain(4), certain(4)])
    logits[0, 4:7], logits[1, 4:7] = [-0.3, 0.0, 0.0], [0.3, -3.0, -3.0]
    found = ordinal.to_scores(logits, 0.5)
    assert expit(logits[0]).sum() > expit(logits[1]).sum()
    assert found[0] < 0.5 < found[1]


def test_a_clear_case_is_believed_more_than_noise() -> None:
    draw = np.random.default_rng(7)
    embeddings, groups = draw.normal(size=(240, 12)).astype(np.float32), np.arange(240)
    clear = np.clip(np.round(5 + 3 * embeddings[:, 0]), 0, 10).astype(np.float64)
    noise = draw.permutation(clear)
    found = [ordinal.choose_strength(embeddings, s, groups, fit_many) for s in (clear, noise)]
    assert found[1] == ordinal.STRENGTHS[0] < found[0]


def test_strength_is_chosen_without_an_images_own_group() -> None:
    """Scores are noise, but each picture is there four times: only by its copies is it known."""
    draw = np.random.default_rng(8)
    embeddings = np.repeat(draw.normal(size=(60, 40)), 4, axis=0).astype(np.float32)
    scores, groups = np.repeat(draw.integers(0, 11, 60).astype(float), 4), np.repeat(range(60), 4)
    together = ordinal.choose_strength(embeddings, scores, groups, fit_many)
    apart = ordinal.choose_strength(embeddings, scores, np.arange(240), fit_many)
    assert together == ordinal.STRENGTHS[0]
    assert apart >= 300


def test_folds_are_of_whole_groups_and_only_some_images_are_asked() -> None:
    rows, asked = np.arange(900), []
    embeddings, groups = rows[:, None].astype(np.float32), rows // 3

    def record(
        trained: np.ndarray, scores: np.ndarray, known: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        assert known.all()
        learnt, judged = trained[:, 0].astype(int), others[:, 0].astype(int)
        assert not set(groups[learnt]) & set(groups[judged])
        np.testing.assert_array_equal(scores, learnt % 11)
        asked.extend(judged)
        return np.zeros((len(ordinal.STRENGTHS), len(others), 10))

    ordinal.choose_strength(embeddings, rows % 11.0, groups, record)
    assert len(asked) == len(set(asked)) == ordinal.STRENGTH_SAMPLE


def test_fewer_than_three_groups_choose_nothing() -> None:
    embeddings, scores = np.eye(10, dtype=np.float32), np.arange(10.0)
    found = ordinal.choose_strength(embeddings, scores, np.arange(10) % 2, fit_many)
    assert found == ordinal.DEFAULT_STRENGTH
