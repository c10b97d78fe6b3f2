"""What may be said of two versions: "better" and "worse" only where the interval of the paired
difference leaves 0 out, near-duplicates counted together, and only on images that both were judged
on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labeler.versions.evaluation import compare
from tests.support.collection import add_version, make_collection


def judge(new: np.ndarray, old: np.ndarray, truth: np.ndarray) -> dict[str, compare.Change]:
    changes = compare.differences(truth, new, old, threshold=0.5)
    return {change.measure: change for change in changes}


def test_the_same_predictions_are_neither_better_nor_worse() -> None:
    truth = np.linspace(0, 1, 60)
    said = np.clip(truth + np.random.default_rng(1).normal(0, 0.2, 60), 0, 1)
    for change in judge(said, said, truth).values():
        assert change.verdict is None
        assert change.low == change.high == 0


def test_a_clear_gain_is_said_for_every_measure_in_its_own_direction() -> None:
    truth = np.linspace(0, 1, 200)
    noise = np.random.default_rng(2)
    rough = np.clip(truth + noise.normal(0, 0.4, 200), 0, 1)
    fine = np.clip(truth + noise.normal(0, 0.02, 200), 0, 1)
    gained, lost = judge(fine, rough, truth), judge(rough, fine, truth)
    assert set(gained) == set(compare.HIGHER_IS_BETTER)
    assert {change.verdict for change in gained.values()} == {"better"}
    assert {change.verdict for change in lost.values()} == {"worse"}
    assert gained["mae"].new < gained["mae"].old
    assert gained["mae"].high < 0 < gained["rank_correlation"].low


def test_a_small_difference_on_few_images_is_not_a_verdict() -> None:
    truth = np.linspace(0, 1, 20)
    noise = np.random.default_rng(4)
    old, new = (truth + noise.normal(0, 0.1, 20) for _ in range(2))
    change = judge(new, old, truth)["mae"]
    assert change.new != change.old
    assert change.low < 0 < change.high
    assert change.verdict is None


def test_no_passing_image_leaves_precision_unsaid() -> None:
    truth = np.linspace(0, 1, 30)
    never = np.full(30, 0.1)
    assert "precision" not in judge(never, never, truth)
    assert judge(never, never, truth)["recall"].new == 0


def test_copies_of_an_image_are_not_more_evidence() -> None:
    truth = np.linspace(0, 1, 12)
    noise = np.random.default_rng(6)
    old, new = truth + noise.normal(0, 0.2, 12), truth + noise.normal(0, 0.12, 12)
    once = compare.differences(truth, new, old, threshold=0.5)[0]
    copies = [np.repeat(each, 30) for each in (truth, new, old)]
    alone = compare.differences(*copies, threshold=0.5)[0]
    together = compare.differences(*copies, threshold=0.5, groups=np.repeat(np.arange(12), 30))[0]
    assert (together.low, together.high) == pytest.approx((once.low, once.high))
    assert alone.high - alone.low < (together.high - together.low) / 3


def test_the_curve_counts_what_each_threshold_lets_through(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=22, scored=22)
    version = add_version(project, noise=0.0)
    curve = compare.curve(project, version)
    assert curve is not None
    at = {round(cut * 100): k for k, cut in enumerate(curve.thresholds)}
    assert curve.precision[at[50]] == curve.recall[at[50]] == 1
    assert curve.precision[at[15]] == pytest.approx(6 / 9)  # 5 to 10 of 2 to 10
    assert curve.recall[at[75]] == pytest.approx(3 / 6)  # 8 to 10 of 5 to 10


def test_versions_of_a_project_are_compared_on_what_both_were_judged_on(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=40, scored=30)
    first = add_version(project, noise=0.3)
    second = add_version(project, noise=0.001)
    told = compare.compare(project, second, first)
    assert told.shared == 30
    assert {change.measure: change.verdict for change in told.changes}["mae"] == "better"


def test_what_moved_most_comes_first_with_both_predictions(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=20, scored=20)
    first, second = add_version(project, noise=0.2), add_version(project, noise=0.2, seed=5)
    moved = compare.moved_most(project, second, first, limit=5)
    steps = [abs(each.after - each.before) for each in moved]
    assert len(moved) == 5
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 0


@pytest.mark.parametrize("shared", [0, 9])
def test_too_few_shared_images_say_nothing(tmp_path: Path, shared: int) -> None:
    project = make_collection(tmp_path, images=12, scored=shared)
    first, second = add_version(project, noise=0.2), add_version(project, noise=0.1)
    assert compare.compare(project, second, first) == compare.Comparison(shared, [])
