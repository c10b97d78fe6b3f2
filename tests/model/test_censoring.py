"""Protects learning and judging by confirmations: only what was said is learnt and counted."""

from __future__ import annotations

import numpy as np
import pytest

from model.estimators import kernel_ordinal, ordinal
from model.estimators.ordinal import known_levels
from model.evaluation import metrics
from model.evaluation.censoring import measure_known, side_is_known
from model.heads.head import predict
from model.training.cross_fitting import cross_fit
from model.training.original import Original
from model.training.quick import Quick
from model.training.recipe import Recipe, TrainingData, mean_distance

TINY = Quick(steps=6, features=8, hidden=64, folds=3)
SMALL = Original(steps=20, batch=16, rate=3e-4, hidden=32, folds=2)
ONE_BY_ONE = Original(steps=64, rate=3e-4, hidden=32, folds=2, name="one by one")
RECIPES = [TINY, SMALL, ONE_BY_ONE]
INF = np.inf


def taught(count: int = 60) -> TrainingData:
    draw = np.random.default_rng(4)
    embeddings = draw.normal(size=(count, 12)).astype(np.float32)
    scores = np.clip(np.round(5 + 2 * embeddings[:, 0] + draw.normal(size=count)), 0, 10)
    return TrainingData(embeddings, scores, np.arange(count))


def told(data: TrainingData, scores: np.ndarray, low: np.ndarray, high: np.ndarray) -> TrainingData:
    return TrainingData(data.embeddings, scores, data.groups, data.threshold, low, high)


def test_only_the_levels_at_the_ends_of_an_interval_are_known() -> None:
    scores = np.array([7.0, 3.0, 4.0, 6.0, 8.0])
    low, high = np.array([5, 0, 4, 6, 6.5]), np.array([INF, 5, 5, 6, INF])
    known = known_levels(scores, low, high)
    levels = [(np.flatnonzero(each) + 1).tolist() for each in known]
    assert levels == [[5], [5], [4, 5], list(range(1, 11)), [7]]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda each: each.name)
def test_without_confirmations_nothing_is_otherwise(recipe: Recipe) -> None:
    data = taught()
    assert data.known is None
    same = told(data, data.scores, data.scores.copy(), data.scores.copy())
    first, second = cross_fit(recipe, data), cross_fit(recipe, same)
    for name, weights in first.head.state_dict().items():
        assert (weights == second.head.state_dict()[name]).all()
    assert (first.out_of_fold == second.out_of_fold).all()
    assert (first.exceed == second.exceed).all()


def test_the_number_of_a_confirmation_teaches_nothing() -> None:
    data = taught()
    passing, some = data.scores >= 5, np.arange(len(data.scores)) % 3 == 0
    low = np.where(some, np.where(passing, 5, 0), data.scores).astype(float)
    high = np.where(some, np.where(passing, INF, 5), data.scores)
    numbers = [np.where(some, np.where(passing, a, b), data.scores) for a, b in ((5, 4), (10, 0))]
    heads = [TINY.train(told(data, each, low, high)).head for each in numbers]
    said = [predict(head, data.embeddings) for head in heads]
    assert (said[0] == said[1]).all()
    opinions = [
        kernel_ordinal.fit(data.embeddings, each, known=known_levels(each, low, high))
        for each in numbers
    ]
    assert (opinions[0].weights == opinions[1].weights).all()


def test_a_confirmation_moves_its_own_level_alone() -> None:
    data = taught()
    some = np.arange(len(data.scores)) % 2 == 0
    passing = data.scores >= 5
    low = np.where(some, np.where(passing, 5, 0), data.scores).astype(float)
    high = np.where(some, np.where(passing, INF, 5), data.scores)
    inputs = ordinal.Inputs(data.embeddings)
    known = known_levels(data.scores, low, high)
    found = ordinal.fit(inputs.values, data.scores, 10.0, known=known)
    typed = ordinal.fit(inputs.values[~some], data.scores[~some], 10.0)
    every = ordinal.fit(inputs.values, data.scores, 10.0)
    assert found[:, 4] == pytest.approx(every[:, 4], abs=0.02)
    others = [k for k in range(10) if k != 4]
    assert found[:, others] == pytest.approx(typed[:, others], abs=0.02)


def test_original_learns_no_number_within_the_interval() -> None:
    data = taught(40)
    low, high = np.full(40, 0.0), np.full(40, INF)
    first = SMALL.train(told(data, np.full(40, 2.0), low, high))
    second = SMALL.train(told(data, np.full(40, 9.0), low, high))
    assert (predict(first.head, data.embeddings) == predict(second.head, data.embeddings)).all()
    assert first.curve[-1]["train"] == 0


def test_the_error_is_that_of_typed_scores() -> None:
    predictions = np.array([0.5, 0.9, 0.2])
    low, high = np.array([6.0, 5, 0]), np.array([6, INF, 5])
    assert mean_distance(predictions, low, high) == pytest.approx(0.1)
    assert mean_distance(predictions[1:], low[1:], high[1:]) == 0


def test_figures_are_taken_of_what_is_known() -> None:
    predictions = np.array([0.9, 0.8, 0.2, 0.6, 0.4])
    scores = np.array([0.9, 0.7, 0.3, 0.2, 0.6])
    low, high = scores.copy(), scores.copy()
    low[1], high[1] = 0.5, INF  # passes
    low[4], high[4] = 0.3, 0.7  # on both sides of 0.5
    found = measure_known(
        lambda on: metrics.measure(predictions[on], scores[on], 0.5), low, high, 0.5
    )
    assert side_is_known(low, high, 0.5).tolist() == [True, True, True, True, False]
    assert found["mae"]["value"] == pytest.approx((0 + 0.1 + 0.4) / 3)
    assert found["precision"]["value"] == pytest.approx(2 / 3)
    assert found["recall"]["value"] == 1
    assert side_is_known(low, high, 0.8).tolist() == [True, False, True, True, True]
    typed = metrics.measure(predictions, scores, 0.5)
    same = measure_known(
        lambda on: metrics.measure(predictions[on], scores[on], 0.5), scores, scores, 0.5
    )
    assert same == typed
