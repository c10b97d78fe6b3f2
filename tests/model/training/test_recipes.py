"""Protects the recipes: what they learn, that the same seed gives the same head, that they stop
when asked, and that nothing a fold is judged on was seen in training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from model.errors import ModelError
from model.estimators import kernel_ordinal, ordinal
from model.heads.head import Head, predict
from model.training.cross_fitting import cross_fit
from model.training.hidden_features import learn_features
from model.training.ordinal_to_head import ordinal_to_head
from model.training.original import Original, plain_recipe
from model.training.quick import Quick
from model.training.rank1_adamw import STEPS_AT_ONCE
from model.training.recipe import (
    Callback,
    Point,
    TrainingData,
    TrainResult,
    ValidationData,
    no_callback,
    train_result,
)
from model.training.recipes import recipe_named

WIDTH = 16
SMALL = Quick(steps=12, features=16, hidden=256)
DROPPING = replace(plain_recipe(), steps=12, hidden=24)


def collection(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings (n, 16) far from zero, and hand scores that follow their direction."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(count, WIDTH))
    scores = np.clip(np.round(4 + 3 * hidden[:, 0] + 0.5 * draw.normal(size=count)), 0, 10)
    return (hidden * 2 + 5).astype(np.float32), scores


def training_data(
    count: int, threshold: float = 0.5, groups: np.ndarray | None = None
) -> TrainingData:
    groups = np.arange(count) if groups is None else groups
    return TrainingData(*collection(count), groups, threshold)


def median_error(truth: np.ndarray) -> float:
    return float(np.abs(truth / 10 - np.median(truth) / 10).mean())


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
def test_quick_learns_and_reads_raw_embeddings(threshold: float) -> None:
    new, truth = collection(300, seed=1)
    said = predict(SMALL.train(training_data(200, threshold)).head, new)
    assert spearmanr(said, truth).statistic > 0.9
    assert np.abs(said - truth / 10).mean() < 0.4 * median_error(truth)
    assert ((said >= threshold) == (truth / 10 >= threshold)).mean() > 0.88


def test_quick_writes_the_regression_and_its_features_into_the_head() -> None:
    taught, (new, _) = training_data(300), collection(100, seed=2)
    inputs = ordinal.Inputs(taught.embeddings)
    found = ordinal.fit(inputs.values, taught.scores, Quick().strength)
    fitted = learn_features(
        inputs.ordinal(found),
        taught.embeddings,
        taught.scores,
        count=Quick().features,
        epochs=20,
        seed=0,
        callback=lambda epoch, so_far: None,
    )
    said = predict(Quick().train(taught).head, new)
    np.testing.assert_allclose(said, predict(ordinal_to_head(fitted, 0.5), new), atol=1e-5)
    np.testing.assert_allclose(said, ordinal.to_scores(fitted.logits(new), 0.5), atol=0.012)


def test_features_learn_what_interacts_and_a_regression_is_blind_to() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2500, WIDTH))
    scores = np.clip(np.round(5 + 3 * x[:, 0] * x[:, 1]), 0, 10)
    taught = TrainingData(x[:2000].astype(np.float32), scores[:2000], np.arange(2000))
    said = predict(Quick().train(taught).head, x[2000:].astype(np.float32))
    blind = predict(replace(Quick(), steps=1).train(taught).head, x[2000:].astype(np.float32))
    assert spearmanr(said, scores[2000:]).statistic > 0.6
    assert abs(spearmanr(blind, scores[2000:]).statistic) < 0.2


def test_scores_are_never_stretched_over_what_is_present() -> None:
    embeddings, scores = collection(200)
    few = TrainingData(embeddings, np.clip(scores, 4, 6), np.arange(200))
    said = predict(SMALL.train(few).head, embeddings)
    assert 0.35 < np.quantile(said, 0.02) < 0.45
    assert 0.55 < np.quantile(said, 0.98) < 0.67


@pytest.mark.parametrize("recipe", [SMALL, Original(steps=30, hidden=24, rate=1e-3)])
def test_the_same_seed_gives_the_same_head_and_leaves_other_randomness_alone(
    recipe: Quick | Original,
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    x = collection(20, seed=3)[0]
    said = [predict(recipe.train(training_data(60), seed=1).head, x) for _ in range(2)]
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(said[0], said[1])


@pytest.mark.parametrize("recipe", [SMALL, Original(steps=30, hidden=24, rate=1e-3)])
def test_held_out_images_are_judged_and_change_nothing(recipe: Quick | Original) -> None:
    new, truth = collection(40, seed=4)
    with_them = recipe.train(training_data(60), ValidationData(new, truth))
    without = recipe.train(training_data(60))
    np.testing.assert_array_equal(with_them.predictions, predict(without.head, new))
    assert without.predictions.shape == (0,)
    steps = [point["step"] for point in with_them.curve]
    assert steps == [point["step"] for point in without.curve] == sorted(set(steps))
    assert steps[-1] == recipe.steps
    assert all(point["held_out"] is None for point in without.curve)
    error = np.abs(with_them.predictions - truth / 10).mean()
    assert with_them.curve[-1]["held_out"] == pytest.approx(error, abs=0.01)


def test_a_quick_training_draws_a_point_for_each_epoch_and_falls() -> None:
    curve = SMALL.train(training_data(120)).curve
    assert [point["step"] for point in curve] == list(range(5, 13))
    assert curve[-1]["train"] < 0.8 * median_error(training_data(120).scores)


@pytest.mark.parametrize(
    ("embeddings", "scores"),
    [
        (np.full((30, WIDTH), 3.0), np.arange(30) % 11.0),
        (np.zeros((30, WIDTH)), np.arange(30) % 11.0),
        (collection(5)[0], np.array([0, 10, 3.5, 4, 9.75])),
        (collection(30)[0], np.full(30, 7.0)),
        (collection(1)[0], np.array([2.0])),
    ],
    ids=["all equal", "all zero", "five images", "one score", "one image"],
)
def test_odd_collections_train(embeddings: np.ndarray, scores: np.ndarray) -> None:
    x = embeddings.astype(np.float32)
    made = SMALL.train(TrainingData(x, scores, np.arange(len(x))))
    said = predict(made.head, x)
    assert ((said >= 0) & (said <= 1)).all()
    assert made.curve[-1]["step"] == SMALL.steps
    # One score, or nothing to tell images apart by: what is said is what was given, in the middle.
    if len(x) == 30:
        np.testing.assert_allclose(said, np.median(scores) / 10, atol=0.12)


def test_original_is_one_image_at_a_time_with_a_tiny_falling_rate() -> None:
    assert (Original().steps, Original().batch, Original().rate) == (100_000, 1, 7e-6)
    assert Original().hidden == 1024
    seen: list[int] = []
    trained = Original(steps=200, hidden=32).train(
        training_data(50), callback=lambda step, steps, curve: seen.append(step)
    )
    assert seen == [*range(STEPS_AT_ONCE, 200, STEPS_AT_ONCE), 200]
    start = Original(steps=1, hidden=32).train(training_data(50)).head
    moved = max(
        float((after - before).abs().max())
        for after, before in zip(trained.head.parameters(), start.parameters(), strict=True)
    )
    # AdamW moves a weight by at most about its rate: half of 200 × 7e-6, since the rate falls to 0.
    assert 1e-4 < moved < 1.1e-3


def test_original_learns_when_it_is_given_the_steps() -> None:
    new, truth = collection(200, seed=1)
    fast = Original(steps=400, rate=1e-3, hidden=24)
    made = fast.train(training_data(200), ValidationData(new, truth))
    assert spearmanr(made.predictions, truth).statistic > 0.5
    assert made.curve[-1]["held_out"] < 0.8 * made.curve[0]["held_out"]


def test_plain_is_the_original_in_batches() -> None:
    assert (plain_recipe().name, plain_recipe().batch) == ("plain", 128)
    new, truth = collection(300, seed=1)
    said = predict(replace(plain_recipe(), hidden=128).train(training_data(200)).head, new)
    assert spearmanr(said, truth).statistic > 0.8
    assert np.abs(said - truth / 10).mean() < 0.6 * median_error(truth)


class EnoughError(Exception):
    pass


@pytest.mark.parametrize("recipe", [SMALL, Original(steps=200, hidden=32)])
def test_a_watcher_can_stop_a_training(recipe: Quick | Original) -> None:
    steps: list[int] = []

    def watch(step: int, total: int, curve: list[Point]) -> None:
        steps.append(step)
        assert total == recipe.steps
        if step >= 7:
            raise EnoughError

    with pytest.raises(EnoughError):
        recipe.train(training_data(40), callback=watch)
    assert steps == sorted(steps)
    assert len(steps) == 1 or steps[-2] < 7 <= steps[-1]


class Recorder:
    """A recipe that learns nothing: its predictions are an image's first value, / 100."""

    name: ClassVar[str] = "recorder"
    folds, steps = 4, 3

    def __init__(self) -> None:
        self.trained_on: list[tuple[TrainingData, ValidationData | None]] = []

    def train(
        self,
        data: TrainingData,
        validation: ValidationData | None = None,
        *,
        seed: int = 0,
        callback: Callback = no_callback,
    ) -> TrainResult:
        self.trained_on.append((data, validation))
        made = train_result(Head(2, 4), [], validation)
        for step, error in ((1, 0.5), (2, 0.1), (3, 0.3)):
            seen = error + seed if validation is not None else None
            made.curve.append({"step": step, "train": 0.0, "held_out": seen})
        said = made.predictions if validation is None else validation.embeddings[:, 0] / 100
        return TrainResult(made.head, made.curve, said)

    def settings(self) -> dict[str, Any]:
        return {}


def test_every_image_is_predicted_without_having_been_seen() -> None:
    rows = np.arange(40)
    embeddings = np.stack([rows, rows % 7], axis=1).astype(np.float32)
    groups, recipe = rows // 2, Recorder()
    found = cross_fit(recipe, TrainingData(embeddings, rows % 11.0, groups, 0.7))
    *folds, (everything, nothing) = recipe.trained_on
    assert len(folds) == 4
    for known, held_out in folds:
        assert held_out is not None
        learnt, judged = known.embeddings[:, 0].astype(int), held_out.embeddings[:, 0].astype(int)
        assert sorted([*learnt, *judged]) == rows.tolist()
        assert not set(groups[learnt]) & set(groups[judged])
        np.testing.assert_array_equal(known.groups, groups[learnt])
        np.testing.assert_array_equal(known.scores, learnt % 11)
        assert known.threshold == 0.7
    np.testing.assert_allclose(found.out_of_fold, rows / 100)
    assert (len(everything.scores), nothing) == (40, None)
    # The curve's held-out errors are the folds' mean: their seeds are 1, 2, 3, 4.
    assert [point["held_out"] for point in found.curve] == pytest.approx([3.0, 2.6, 2.8])


def test_the_second_opinion_of_a_scored_image_has_not_seen_it_either() -> None:
    embeddings, _ = collection(100)
    noise = np.random.default_rng(3).integers(0, 11, 100).astype(float)
    found = cross_fit(SMALL, TrainingData(embeddings, noise, np.arange(100)))
    unseen, seen = found.exceed.sum(axis=1), found.second_opinion.exceed(embeddings).sum(axis=1)
    assert (found.exceed.shape, found.exceed.dtype) == ((100, 10), np.float32)
    assert abs(spearmanr(unseen, noise).statistic) < 0.3
    assert abs(spearmanr(found.out_of_fold, noise).statistic) < 0.3
    assert spearmanr(seen, noise).statistic > 0.4


def test_the_outcome_follows_the_seed_and_is_the_recipes() -> None:
    x, truth = collection(50, seed=7)
    one, same = (cross_fit(SMALL, training_data(60), seed=2) for _ in range(2))
    np.testing.assert_array_equal(one.out_of_fold, same.out_of_fold)
    np.testing.assert_array_equal(one.second_opinion.logits(x), same.second_opinion.logits(x))
    alone = SMALL.train(training_data(60), seed=2)
    np.testing.assert_array_equal(predict(one.head, x), predict(alone.head, x))
    strength = kernel_ordinal.choose_strength(*collection(60), np.arange(60), seed=2)
    assert one.second_opinion.strength == strength
    assert spearmanr(one.second_opinion.exceed(x).sum(axis=1), truth).statistic > 0.7


@pytest.mark.parametrize("recipe", [Original(steps=48, hidden=24, rate=1e-3), DROPPING])
def test_what_others_draw_meanwhile_changes_nothing(recipe: Original) -> None:
    def draw(_done: int, _total: int, _curve: list[Point]) -> None:
        torch.manual_seed(int(torch.rand(1) * 1000))  # as another training side by side would

    x = collection(20, seed=3)[0]
    alone, beside = (
        recipe.train(training_data(60), seed=1, callback=each) for each in (no_callback, draw)
    )
    np.testing.assert_array_equal(predict(alone.head, x), predict(beside.head, x))


def test_curve_shows_both_errors_and_progress_never_goes_back() -> None:
    seen: list[tuple[int, int]] = []
    found = cross_fit(SMALL, training_data(60), callback=lambda *now: seen.append(now[:2]))
    assert found.curve[-1]["step"] == SMALL.steps
    assert all(point["held_out"] is not None for point in found.curve)
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert {done[-1]} == set(totals)


def test_fewer_groups_than_folds_and_one_group() -> None:
    found = cross_fit(SMALL, training_data(30, groups=np.arange(30) % 3))
    assert set(found.folds.tolist()) == {0, 1, 2}
    with pytest.raises(ModelError, match="score a few different ones"):
        cross_fit(SMALL, training_data(30, groups=np.zeros(30, dtype=np.int64)))


def test_recipes_by_name() -> None:
    for recipe in (Quick(), Original(), plain_recipe()):
        assert recipe_named(recipe.name) == recipe
    assert recipe_named("plain").settings()["rate"] == 3e-4
    with pytest.raises(ModelError, match="quick, original, plain"):
        recipe_named("slow")
