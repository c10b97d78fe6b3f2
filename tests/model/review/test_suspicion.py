"""Protects the order in which images are shown for review, on arrays checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.review import suspicion as ranking
from model.review.suspicion import StackingWeights


def sure(*scores: float) -> np.ndarray:
    """Second opinions (n, 10) that are nearly certain of these scores."""
    levels = np.arange(1, 11)[None, :] <= np.array(scores)[:, None]
    return np.where(levels, 0.98, 0.02)


def test_chance_by_head_is_normal_around_the_prediction() -> None:
    found = ranking.chance_by_head(np.array([0.5, 0.6, 0.4]), 0.5, 0.1)
    np.testing.assert_allclose(found, [0.5, 0.8413, 0.1587], atol=1e-4)


def test_chance_by_opinion_reads_the_lowest_score_that_passes() -> None:
    exceed = np.linspace(0.95, 0.05, 10)[None, :]
    assert ranking.chance_by_second_opinion(exceed, 0.5)[0] == exceed[0, 4]
    assert ranking.chance_by_second_opinion(exceed, 0.55)[0] == exceed[0, 5]
    assert (
        ranking.chance_by_second_opinion(exceed, 0.3)[0] == exceed[0, 2]
    )  # 0.3 * 10 is 3, not above


def test_both_together_are_surer_than_either_and_cancel_out() -> None:
    exceed = np.array([[0.0] * 10, [0.0] * 10])
    exceed[:, 4] = [0.8413447, 0.1586553]
    found = ranking.chance_of_passing(np.array([0.6, 0.6]), exceed, 0.5, 0.1)
    np.testing.assert_allclose(found, [0.8413, 0.5], atol=1e-4)
    surer = ranking.chance_of_passing(
        np.array([0.6, 0.6]), exceed, 0.5, 0.1, StackingWeights(0.0, 1.0, 1.0)
    )
    assert surer[0] > 0.96


def test_without_a_second_opinion_the_head_decides() -> None:
    nothing = np.full((2, 10), np.nan)
    found = ranking.chance_of_passing(
        np.array([0.6, 0.4]), nothing, 0.5, 0.1, StackingWeights(1.0, 0.2, 2.0)
    )
    np.testing.assert_allclose(found, [0.8413, 0.1587], atol=1e-4)


def test_chance_wrong_is_of_the_other_side() -> None:
    found = ranking.chance_wrong(np.array([0.7, 0.3, 0.5]), np.array([0.9, 0.9, 0.2]), 0.5)
    np.testing.assert_allclose(found, [0.1, 0.9, 0.8])


def test_weighing_trusts_whoever_was_right() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 400) * 0.6 + 0.2
    clueless = draw.uniform(0, 1, 400)
    weights = ranking.fit_stacking_weights(clueless, sure(*(truth * 10)), truth, 0.5, 0.2)
    assert (weights.second_opinion, weights.head) == (
        pytest.approx(1.5, abs=0.5),
        pytest.approx(0.15, abs=0.15),
    )
    other = ranking.fit_stacking_weights(truth, sure(*(clueless * 10)), truth, 0.5, 0.2)
    assert (other.head, other.second_opinion) == (
        pytest.approx(1.5, abs=0.5),
        pytest.approx(0.15, abs=0.15),
    )


def test_weighing_without_evidence_is_the_usual() -> None:
    none = ranking.fit_stacking_weights(np.zeros(0), np.zeros((0, 10)), np.zeros(0), 0.5, 0.2)
    assert none == StackingWeights(0.0, 0.4, 1.0)


def test_chances_of_being_wrong_come_true() -> None:
    draw = np.random.default_rng(1)
    truth = draw.uniform(0, 1, 6000)
    said = truth + draw.normal(0, 0.15, 6000)
    second = (truth + draw.normal(0, 0.15, 6000))[:, None]
    exceed = 1 / (1 + np.exp(-(second - np.arange(1, 11) / 10) / 0.15))
    known, new = slice(0, 1000), slice(1000, None)
    spread = ranking.residual_spread(said[known], truth[known])
    weights = ranking.fit_stacking_weights(said[known], exceed[known], truth[known], 0.5, spread)
    passing = ranking.chance_of_passing(said[new], exceed[new], 0.5, spread, weights)
    wrong = ranking.chance_wrong(said[new], passing, 0.5)
    really = (said[new] >= 0.5) != (truth[new] >= 0.5)
    for low in (0.0, 0.1, 0.3, 0.5, 0.7):
        among = (wrong >= low) & (wrong < low + 0.2)
        assert really[among].mean() == pytest.approx(wrong[among].mean(), abs=0.1)


def test_spread_is_robust_and_never_zero() -> None:
    truth = np.zeros(11)
    assert ranking.residual_spread(truth, truth) == pytest.approx(0.02)
    assert ranking.residual_spread(np.zeros(0), np.zeros(0)) == 0.2
    usual = np.array([0.1] * 10 + [0.9])
    assert ranking.residual_spread(usual, truth) == pytest.approx(0.14826)


def test_the_farthest_hand_score_is_the_most_suspicious() -> None:
    said, given = np.full(5, 0.7), np.array([0.7, 0.6, 0.9, 0.4, 0.0])
    found = ranking.hand_score_suspicion(said, given, np.repeat(sure(7), 5, axis=0))
    assert np.argsort(found).tolist() == [0, 1, 2, 3, 4]
    # Seven levels of ten are missed, and all of the opinion's distribution is above 1 but .02.
    assert found[4] == pytest.approx(0.98 * (7 * 0.98**2 + 3 * 0.02**2) / 10)
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_a_point_up_or_down_is_no_matter_where_two_are() -> None:
    certain = np.where(np.arange(1, 11) <= 5, 1.0, 0.0)[None, :].repeat(5, axis=0)
    given = np.array([0.4, 0.5, 0.6, 0.3, 0.7])
    found = ranking.hand_score_suspicion(np.full(5, 0.5), given, certain)
    np.testing.assert_allclose(found, [0, 0, 0, 0.2, 0.2], atol=1e-9)


def test_an_opinion_in_doubt_accuses_less() -> None:
    doubtful = np.linspace(0.95, 0.05, 10)[None, :]
    exceed = np.concatenate([sure(5), doubtful])
    found = ranking.hand_score_suspicion(np.array([0.5, 0.5]), np.array([0.1, 0.1]), exceed)
    assert found[0] > 2 * found[1]


def test_without_a_second_opinion_the_prediction_accuses() -> None:
    said = np.array([0.5, 0.52, 0.3, 0.9, 0.7])
    given = np.array([0.5, 0.5, 0.4, 0.1, 0.6])
    found = ranking.hand_score_suspicion(said, given, np.full((5, 10), np.nan))
    assert np.argmax(found) == 3
    only_last = np.concatenate([np.full((4, 10), np.nan), sure(0)])
    assert ranking.hand_score_suspicion(said, given, only_last)[:4].tolist() == found[:4].tolist()
    assert len(ranking.hand_score_suspicion(np.zeros(0), np.zeros(0), np.zeros((0, 10)))) == 0


def test_expected_score_sums_the_levels() -> None:
    found = ranking.expected_score(np.array([[1.0] * 4 + [0.5] + [0.0] * 5]))
    assert found[0] == pytest.approx(0.45)


def test_band_violation_is_the_distance_outside() -> None:
    found = ranking.band_violation(
        np.array([0.6, 0.05, 0.6, 0.9]),
        np.array([0.0, 0.0, np.nan, 0.95]),
        np.array([0.1, 0.1, np.nan, 1.0]),
    )
    np.testing.assert_allclose(found, [0.5, 0.0, 0.0, 0.05])


def test_nearest_scored_are_by_angle_in_order() -> None:
    scored = np.array([[1, 0], [1, 1], [0, 5], [-1, 0]], dtype=np.float32)
    rows, cosines = ranking.nearest_scored(np.array([[9, 1]], dtype=np.float32), scored, 3)
    assert rows.tolist() == [[0, 1, 2]]
    assert cosines[0, 0] == pytest.approx(9 / np.sqrt(82))
    assert (np.diff(cosines) <= 0).all()


def test_nearest_of_few_or_none() -> None:
    some = np.eye(3, dtype=np.float32)
    rows, cosines = ranking.nearest_scored(some, some[:2], 5)
    assert rows.shape == cosines.shape == (3, 2)
    assert ranking.nearest_scored(some, some[:0], 5)[0].shape == (3, 0)
    assert ranking.nearest_scored(some[:0], some, 2)[0].shape == (0, 2)


def test_nearest_over_many_parts() -> None:
    draw = np.random.default_rng(0)
    many = draw.normal(size=(4200, 8)).astype(np.float32)
    rows, _ = ranking.nearest_scored(many, many[-50:], 1)
    assert (rows[-50:, 0] == np.arange(50)).all()
    assert ranking.nearest_scored(many[:7], many[-50:], 1)[0].tolist() == rows[:7].tolist()


def test_a_page_is_not_filled_with_one_cluster() -> None:
    draw = np.random.default_rng(0)
    cluster = np.array([1.0] + [0.0] * 7) + 0.1 * draw.normal(size=(30, 8))
    others = draw.normal(size=(30, 8))
    suspicion = np.concatenate([np.linspace(1, 0.9, 30), np.linspace(0.5, 0.1, 30)])
    embeddings = np.concatenate([cluster, others]).astype(np.float32)
    chosen = ranking.diverse(suspicion, embeddings, 12, alike=0.9999)
    assert len(chosen) == 12
    assert (chosen < 30).sum() <= 4
    assert (np.diff(suspicion[chosen]) <= 0).all()


def test_near_duplicates_are_shown_once_even_if_the_page_stays_short() -> None:
    embeddings = np.array([[1, 0], [2, 0], [1, 0.01], [0, 1]], dtype=np.float32)
    chosen = ranking.diverse(np.array([0.9, 0.8, 0.7, 0.1]), embeddings, 4)
    assert chosen.tolist() == [0, 3]


def test_where_there_is_only_one_cluster_it_fills_the_page() -> None:
    angles = np.linspace(0, 0.5, 2) * 1.0
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    chosen = ranking.diverse(np.array([0.2, 0.8]), embeddings, 2, share=0.1)
    assert chosen.tolist() == [1, 0]
