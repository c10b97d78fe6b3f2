"""What may be said of two versions: "better" and "worse" of the mean error alone, seldom of equal
versions, and only by images drawn at random that neither had seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import db.images.locations
import db.versions.predictions
from db.records import Predictions, Version
from labeler.core.project import Project
from labeler.versions.evaluation import compare, measures
from labeler.versions.evaluation.compare import Comparison, PairedDraws
from model.evaluation.random_draws import RandomDraws
from tests.support.collection import add_version, make_collection
from tests.support.store_rows import score

POPULATION = 5000


def judge(
    new: np.ndarray, old: np.ndarray, truth: np.ndarray, drawn: np.ndarray | None = None
) -> Comparison:
    drawn = np.ones(len(truth), dtype=bool) if drawn is None else drawn
    return compare.compared(PairedDraws(RandomDraws(new, truth, drawn, POPULATION, 0.5), old))


def changes(comparison: Comparison) -> dict[str, compare.Change]:
    return {change.measure: change for change in comparison.changes}


def predictions(generator: np.random.Generator, truth: np.ndarray, noise: float) -> np.ndarray:
    return np.clip(truth + generator.normal(0, noise, len(truth)), 0, 1)


def test_the_same_predictions_are_neither_better_nor_worse() -> None:
    truth = np.linspace(0, 1, 60)
    said = predictions(np.random.default_rng(1), truth, 0.2)
    found = judge(said, said, truth)
    assert found.verdict is None
    assert all(change.low == change.high == 0 for change in found.changes)


def test_a_clear_gain_is_told_by_the_error_alone() -> None:
    generator = np.random.default_rng(2)
    truth = generator.permutation(np.linspace(0, 1, 100))
    rough, fine = (predictions(generator, truth, noise) for noise in (0.4, 0.02))
    gained, lost = judge(fine, rough, truth), judge(rough, fine, truth)
    assert (gained.verdict, lost.verdict) == ("better", "worse")
    assert set(changes(gained)) == set(compare.HIGHER_IS_BETTER)
    assert {change.verdict for key, change in changes(gained).items() if key != "mae"} == {None}
    assert changes(gained)["mae"].high < 0 < changes(gained)["rank_correlation"].low


def test_equal_versions_are_seldom_told_apart_however_often_one_looks() -> None:
    told = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        truth = generator.uniform(0, 1, 200)
        new, old = (predictions(generator, truth, 0.2) for _ in range(2))
        told += judge(new, old, truth).verdict is not None  # at 25, 50, 100 and 200 draws
    assert told <= 0.05 * 300 + 8


def test_a_verdict_once_told_stays_when_more_is_drawn() -> None:
    generator = np.random.default_rng(5)
    truth = generator.permutation(np.linspace(0, 1, 25))
    fine, rough = predictions(generator, truth, 0.02), predictions(generator, truth, 0.5)
    assert judge(fine, rough, truth).verdict == "better"
    more = np.concatenate([truth, np.zeros(5)])
    both = [np.concatenate([each, np.full(5, 0.1)]) for each in (fine, rough)]
    found = judge(*both, more)
    assert (found.verdict, found.told_at, found.draws) == ("better", 25, 30)
    assert "told at 25 draws. Now, on 30 images" in measures.verdict(found, "v1.1", "v1.0")
    opposite = [
        np.concatenate([each, np.full(40, value)]) for each, value in ((fine, 1), (rough, 0))
    ]
    assert judge(*opposite, np.concatenate([truth, np.zeros(40)])).verdict is None


def test_between_two_looks_nothing_is_decided() -> None:
    generator = np.random.default_rng(6)
    truth = generator.permutation(np.linspace(0, 1, 49))
    new = np.where(np.arange(49) < 25, truth + 0.1, truth)
    old = np.where(np.arange(49) < 25, truth - 0.1, 1 - truth)
    found = judge(new, old, truth)
    assert found.verdict is None
    assert (found.draws, found.next_look) == (49, 50)


def test_a_small_difference_on_few_images_is_not_a_verdict() -> None:
    truth = np.linspace(0, 1, 25)
    noise = np.random.default_rng(4)
    old, new = (truth + noise.normal(0, 0.1, 25) for _ in range(2))
    found = judge(new, old, truth)
    change = changes(found)["mae"]
    assert change.low < 0 < change.high
    assert found.verdict is None
    assert found.needed is None
    assert "can't be told yet" in measures.verdict(found, "v1.1", "v1.0")


def test_the_look_that_would_probably_tell_is_named() -> None:
    """1.6 standard errors at 30 draws are 4.2 at 200: enough for 2.7, and .84 to spare."""
    truth = np.linspace(0.3, 0.7, 30)
    found = judge(truth + 0.17 + np.tile([0.1, -0.1], 15), truth + 0.2, truth)
    assert (found.verdict, found.needed) == (None, 200)
    assert "170 more draws would probably tell" in measures.verdict(found, "v1.1", "v1.0")


def test_no_passing_image_leaves_precision_unsaid() -> None:
    truth = np.linspace(0, 1, 30)
    never = np.full(30, 0.1)
    assert "precision" not in changes(judge(never, never, truth))
    assert changes(judge(never, never, truth))["recall"].new == 0


def test_images_that_were_chosen_weigh_as_one() -> None:
    """Two hundred chosen ones on which the new version is worse don't outvote the draws."""
    generator = np.random.default_rng(7)
    truth = generator.uniform(0, 1, 300)
    drawn = np.arange(300) >= 200
    new = np.where(drawn, truth, 1 - truth)
    old = np.where(drawn, truth + 0.2, truth)
    assert judge(new, old, truth, drawn).verdict == "better"


def test_the_curve_counts_what_each_threshold_lets_through(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=22, scored=22)
    version = add_version(project, noise=0.0)
    curve = compare.curve(project, version)
    assert curve is not None
    at = {round(cut * 100): k for k, cut in enumerate(curve.thresholds)}
    assert curve.precision[at[50]] == pytest.approx(1)
    assert curve.recall[at[50]] == pytest.approx(1)
    assert curve.precision[at[15]] == pytest.approx(6 / 9)  # 5 to 10 of 2 to 10
    assert curve.recall[at[75]] == pytest.approx(3 / 6)  # 8 to 10 of 5 to 10


def predict(project: Project, version: Version, value_of: dict[int, float]) -> None:
    ids = np.array(sorted(value_of))
    values = np.array([value_of[i] for i in ids.tolist()], dtype=np.float32)
    db.versions.predictions.put_predictions(project.store, version.id, Predictions(ids, values))


def test_versions_of_a_project_are_compared_by_what_neither_was_trained_on(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=90, scored=20)
    first = add_version(project, noise=0.3)
    second = add_version(project, noise=0.001)
    assert compare.compare(project, second, first).changes == []
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    for number, image_id in enumerate(ids[20:50]):
        score(project.store, image_id, number % 11, draw=True)
    values = {i: (n % 11) / 10 for n, i in enumerate(ids[20:50])}
    predict(project, first, {i: min(1.0, value + 0.3) for i, value in values.items()})
    predict(project, second, values)
    found = compare.compare(project, second, first)
    assert (found.draws, found.verdict) == (30, "better")


def test_what_moved_most_comes_first_with_both_predictions(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=20, scored=20)
    first, second = add_version(project, noise=0.2), add_version(project, noise=0.2, seed=5)
    moved = compare.moved_most(project, second, first, limit=5)
    steps = [abs(each.after - each.before) for each in moved]
    assert len(moved) == 5
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 0


def test_scores_that_taught_the_versions_say_nothing(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=60, scored=50)
    first, second = add_version(project, noise=0.2), add_version(project, noise=0.1)
    found = compare.compare(project, second, first)
    assert (found.draws, found.changes, found.verdict) == (0, [], None)
    assert "score 20 more images in the order Random" in measures.verdict(found, "v1.1", "v1.0")
