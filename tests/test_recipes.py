"""Protects the recipes: what they learn, that they stop when asked or when done, and that nothing a
fold is judged on was seen in training.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from model import opinion
from model.crossing import Scored, cross_train
from model.errors import ModelError
from model.head import Head, predict
from model.original import Original
from model.quick import Quick
from model.recipes import Attempt, HeldOut, Lesson, Point, Watch, recipe_named, unwatched

WIDTH = 16
SMALL = Quick(steps=40, every=10, hidden=48, fold_hidden=32, scored=32, blended=32, rate=3e-3)


def collection(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings (n, 16) far from zero, and hand scores that follow their direction."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(count, WIDTH))
    scores = np.clip(np.round(4 + 3 * hidden[:, 0] + 0.5 * draw.normal(size=count)), 0, 10)
    return (hidden * 2 + 5).astype(np.float32), scores


def lesson(count: int, *, threshold: float = 0.5) -> Lesson:
    embeddings, scores = collection(count)
    taught = opinion.fit(embeddings, scores)
    return Lesson(embeddings, scores, taught, embeddings[:0], threshold)


def scored(count: int, groups: np.ndarray | None = None) -> Scored:
    embeddings, scores = collection(count)
    groups = np.arange(count) if groups is None else groups
    return Scored(embeddings, scores, groups, embeddings[:0])


def test_quick_learns_and_reads_raw_embeddings() -> None:
    new, truth = collection(200, seed=1)
    said = predict(SMALL.train(lesson(200)).head, new)
    assert spearmanr(said, truth).statistic > 0.85
    assert (
        np.abs(said - truth / 10).mean() < 0.5 * np.abs(truth / 10 - np.median(truth) / 10).mean()
    )


def test_quick_is_at_least_as_good_as_its_teacher_at_the_points() -> None:
    taught = lesson(300)
    new, truth = collection(400, seed=2)
    head = predict(SMALL.train(taught).head, new)
    teacher = opinion.as_scores(taught.opinion.logits(new), 0.5)
    errors = [np.abs(said - truth / 10).mean() for said in (head, teacher)]
    assert errors[0] < 1.15 * errors[1]


def test_scores_are_never_stretched_over_what_is_present() -> None:
    embeddings, scores = collection(200)
    scores = np.clip(scores, 4, 6)
    few = Lesson(embeddings, scores, opinion.fit(embeddings, scores), embeddings[:0])
    said = predict(SMALL.train(few).head, embeddings)
    assert 0.35 < np.quantile(said, 0.02) < np.quantile(said, 0.98) < 0.67


def test_the_same_seed_gives_the_same_head_and_leaves_other_randomness_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    x = collection(20, seed=3)[0]
    said = [predict(SMALL.train(lesson(60), seed=seed).head, x) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(said[0], said[1])
    assert np.abs(said[0] - said[2]).max() > 1e-4


def test_quick_stops_when_the_held_out_error_no_longer_falls() -> None:
    new, truth = collection(40, seed=4)
    impatient = Quick(steps=400, every=5, patience=2, fold_hidden=32, rate=3e-3)
    # Held-out scores that have nothing to do with the images: no training can help for long.
    nonsense = HeldOut(new, np.random.default_rng(0).permutation(10 - truth))
    attempt = impatient.train(lesson(60), nonsense)
    assert attempt.curve[-1]["step"] < 400
    assert set(attempt.said) == {point["step"] for point in attempt.curve}
    without = SMALL.train(lesson(60))
    assert without.curve[-1]["step"] == SMALL.steps
    assert without.said == {}
    assert all(point["held_out"] is None for point in without.curve)


def test_odd_collections_train() -> None:
    same = np.full((30, WIDTH), 3, dtype=np.float32)
    scores = np.arange(30) % 11.0
    for embeddings in (same, np.zeros_like(same)):
        odd = Lesson(embeddings, scores, opinion.fit(embeddings, scores), embeddings[:0])
        assert np.isfinite(predict(SMALL.train(odd, steps=5).head, embeddings)).all()


def test_original_is_one_image_at_a_time_with_a_tiny_falling_rate() -> None:
    recipe = Original(steps=200, hidden=32)
    assert (Original().steps, Original().rate, Original().hidden) == (100_000, 7e-6, 1024)
    seen: list[int] = []
    attempt = recipe.train(lesson(50), watch=lambda step, steps, curve: seen.append(step))
    assert seen == list(range(1, 201))
    start = recipe.train(lesson(50), steps=1).head
    moved = max(
        float((after - before).abs().max())
        for after, before in zip(attempt.head.parameters(), start.parameters(), strict=True)
    )
    # AdamW moves a weight by at most about its rate: half of 200 × 7e-6, since the rate falls to 0.
    assert 1e-4 < moved < 1.1e-3


def test_original_learns_when_it_is_given_the_steps() -> None:
    new, truth = collection(200, seed=1)
    fast = Original(steps=400, rate=1e-3, hidden=24)
    attempt = fast.train(lesson(200), HeldOut(new, truth))
    assert spearmanr(predict(attempt.head, new), truth).statistic > 0.5
    assert attempt.curve[-1]["held_out"] < 0.8 * attempt.curve[0]["held_out"]


class EnoughError(Exception):
    pass


@pytest.mark.parametrize("recipe", [SMALL, Original(steps=200, hidden=32)])
def test_a_watcher_can_stop_a_training(recipe: Quick | Original) -> None:
    steps: list[int] = []

    def watch(step: int, total: int, curve: list[Point]) -> None:
        steps.append(step)
        if step == 7:
            raise EnoughError

    with pytest.raises(EnoughError):
        recipe.train(lesson(40), watch=watch)
    assert steps == list(range(1, 8))


class Recorder:
    """A recipe that learns nothing: its predictions are an image's first value, / 100."""

    name: ClassVar[str] = "recorder"
    stops_early: ClassVar[bool] = True
    folds, steps = 4, 3

    def __init__(self) -> None:
        self.lessons: list[tuple[Lesson, HeldOut | None, int | None]] = []

    def train(
        self,
        lesson: Lesson,
        held_out: HeldOut | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        watch: Watch = unwatched,
    ) -> Attempt:
        self.lessons.append((lesson, held_out, steps))
        attempt = Attempt(Head(2, 4))
        for step, error in ((1, 0.5), (2, 0.1), (3, 0.3)):
            attempt.curve.append({"step": step, "train": 0.0, "held_out": error})
            if held_out is not None:
                attempt.said[step] = held_out.embeddings[:, 0] / 100 + 1000 * (step != 2)
        return attempt

    def settings(self) -> dict[str, Any]:
        return {}


def test_every_image_is_predicted_without_having_been_seen() -> None:
    rows = np.arange(40)
    embeddings = np.stack([rows, rows % 7], axis=1).astype(np.float32)
    groups, recipe = rows // 2, Recorder()
    found = cross_train(recipe, Scored(embeddings, rows % 11.0, groups, embeddings[:0]))
    *folds, (everything, nothing, steps) = recipe.lessons
    for lesson, held_out, _ in folds:
        assert held_out is not None
        learnt, judged = lesson.embeddings[:, 0].astype(int), held_out.embeddings[:, 0].astype(int)
        assert sorted([*learnt, *judged]) == rows.tolist()
        assert not set(groups[learnt]) & set(groups[judged])
        # The teacher of a fold has not seen it either.
        alone = opinion.fit(lesson.embeddings, lesson.scores, lesson.opinion.strength)
        np.testing.assert_array_equal(lesson.opinion.weights, alone.weights)
    # Each prediction is at its image's row, from the step that was best on the whole.
    np.testing.assert_allclose(found.out_of_fold, rows / 100)
    assert (steps, found.steps, nothing) == (2, 2, None)
    assert len(everything.scores) == 40
    assert found.exceed.shape == (40, 10)


def test_curve_shows_both_errors_and_progress_never_goes_back() -> None:
    seen: list[tuple[str, int, int]] = []
    found = cross_train(SMALL, scored(60), watch=lambda *now: seen.append(now[:3]))
    assert found.curve[-1]["step"] == found.steps
    assert all(point["held_out"] is not None for point in found.curve)
    assert found.curve[-1]["train"] < found.curve[0]["train"]
    for phase in ("folds", "head"):
        done = [step for name, step, _ in seen if name == phase]
        totals = {total for name, _, total in seen if name == phase}
        assert done == sorted(done)
        assert len(totals) == 1
        assert done[-1] <= totals.pop()
    assert [name for name, *_ in seen] == sorted(name for name, *_ in seen)


def test_fewer_groups_than_folds_and_one_group() -> None:
    found = cross_train(SMALL, scored(30, np.arange(30) % 3))
    assert set(found.folds.tolist()) == {0, 1, 2}
    with pytest.raises(ModelError, match="score a few different ones"):
        cross_train(SMALL, scored(30, np.zeros(30, dtype=np.int64)))


def test_recipes_by_name() -> None:
    assert recipe_named("quick") == Quick()
    assert recipe_named("original") == Original()
    with pytest.raises(ModelError, match="quick, original"):
        recipe_named("slow")
