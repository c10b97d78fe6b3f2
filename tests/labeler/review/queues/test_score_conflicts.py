"""Near-duplicates among scored images are known at once, though only new scores are looked up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import db.versions.registry
from labeler.core.project import Project
from labeler.review.cards.reasons import sample_evenly
from labeler.review.queues.score_conflicts import conflict_gaps, scored_pairs
from labeler.scoring.events import record_events
from labeler.versions.snapshot import review_snapshot
from model.estimators.near_duplicates import near_hashes
from tests.support.collection import make_collection
from tests.support.reviewing import add, look_alike, scatter


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_collection(tmp_path, images=60, scored=22)
    scatter(project)
    for first in (3, 13, 31, 41):
        look_alike(project, [first, first + 1, first + 2])
    add(project, {30: 0.9, 31: 0.8})
    return project


def pairs(project: Project) -> set[tuple[int, int]]:
    version = db.versions.registry.active(project.store)
    assert version is not None
    now = review_snapshot(project, version, 0.5)
    first, second = scored_pairs(now)
    assert (first != second).all()
    found = {(int(a), int(b)) for a, b in zip(*np.sort([first, second], axis=0), strict=True)}
    assert len(found) == len(first)
    return {(int(now.collection.ids[a]), int(now.collection.ids[b])) for a, b in found}


def trio(first: int) -> set[tuple[int, int]]:
    return {(first, first + 1), (first, first + 2), (first + 1, first + 2)}


def give(project: Project, *image_ids: int) -> None:
    events = [{"event": f"e{i}", "kind": "score", "image": i, "score": 4} for i in image_ids]
    assert all(receipt.accepted for receipt in record_events(project, events))


def test_pairs_follow_the_scores(project: Project) -> None:
    assert pairs(project) == trio(3) | trio(13)
    give(project, 31)
    assert pairs(project) == trio(3) | trio(13)
    give(project, 33, 41)
    assert pairs(project) == trio(3) | trio(13) | {(31, 33)}
    give(project, 42, 32, 43)
    assert pairs(project) == trio(3) | trio(13) | trio(31) | trio(41)
    undone = {"event": "u", "kind": "undo", "image": 32, "undoes": "e32"}
    assert record_events(project, [undone])[0].accepted
    assert pairs(project) == trio(3) | trio(13) | {(31, 33)} | trio(41)


def test_only_the_new_ones_are_looked_up(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    compare = near_hashes
    monkeypatch.setattr(
        "labeler.review.queues.score_conflicts.near_hashes",
        lambda *both: asked.append(len(both[0])) or compare(*both),
    )
    pairs(project)
    give(project, 28)
    pairs(project)
    pairs(project)
    assert asked == [22, 1, 0]


def test_a_sample_hardly_changes_with_one_more() -> None:
    ids = np.sort(np.random.default_rng(2).choice(100_000, 5000, replace=False))
    before, after = sample_evenly(ids[ids != ids[77]], 900), sample_evenly(ids, 900)
    assert len(before) == len(after) == 900
    assert (np.diff(after) > 0).all()
    assert len(np.setdiff1d(after, before)) <= 1
    # Drawn evenly: no part of the collection is left out.
    assert np.histogram(after, bins=10, range=(0, 100_000))[0].min() > 60
    assert sample_evenly(ids, 5000) is ids


def test_scores_conflict_two_points_apart_or_across_the_threshold() -> None:
    given = np.array([2.0, 7.0, 3.0, 4.0, 5.0, np.nan])
    pairs = (np.array([0, 0, 2, 3, 0]), np.array([1, 2, 3, 4, 5]))
    kept = np.zeros(6, dtype=bool)
    assert conflict_gaps(pairs, (given, given), 0.5, kept).tolist() == [5, 5, 0, 1, 1, 0]
    # 4 and 5 are on one side of it; 2 and 3 are one point apart.
    assert conflict_gaps(pairs, (given, given), 0.8, kept).tolist() == [5, 5, 0, 0, 0, 0]


def test_a_conflict_ends_when_both_scores_were_kept() -> None:
    given, pair = np.array([2.0, 7.0]), (np.array([0]), np.array([1]))
    assert conflict_gaps(pair, (given, given), 0.5, np.array([True, False])).tolist() == [5, 5]
    assert conflict_gaps(pair, (given, given), 0.5, np.array([True, True])).tolist() == [0, 0]


def test_a_confirmation_contradicts_only_what_it_excludes() -> None:
    # passes, typed 9, typed 4, fails, typed 5, not scored
    low = np.array([5.0, 9, 4, 0, 5, np.nan])
    high = np.array([np.inf, 9, 4, 5, 5, np.nan])
    pairs = (np.array([0, 0, 0, 3, 3, 0]), np.array([1, 2, 3, 2, 4, 5]))
    gaps = conflict_gaps(pairs, (low, high), 0.5, np.zeros(6, dtype=bool))
    assert (gaps > 0).tolist() == [True, False, True, True, True, False]
    assert gaps[2] == 1
    # At another threshold "passes" says nothing of the side.
    gaps = conflict_gaps((pairs[0][:2], pairs[1][:2]), (low, high), 0.8, np.zeros(6, dtype=bool))
    assert gaps.tolist() == [0, 0, 0, 0, 0, 0]
