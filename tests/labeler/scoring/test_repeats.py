"""Repeats in the queue: how many, for whom, where none come, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.scores.events
import db.scores.hand_scores
from db.scores.repeats import BETWEEN
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.scoring.agreement import choose_rule, scorers_report, self_agreement
from labeler.scoring.events import record_events
from labeler.scoring.queue import next_images
from labeler.scoring.random_checks import is_followed
from labeler.scoring.repeats import with_repeats
from tests.support.store_rows import add_images, event

SCORED, WAITING = BETWEEN + 30, 200


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Images 1 to 80 scored by ann, and 200 waiting."""
    made = Project.create(tmp_path / "taste", "lite")
    ids = add_images(made.store, SCORED + WAITING)
    given = {"scorer": "ann", "queue": "score"}
    db.scores.events.record(
        made.store, [event(f"e{i}", "score", i, value=i % 11, **given) for i in ids[:SCORED]]
    )
    yield made
    made.close()


@pytest.mark.parametrize("every", [5, 30])
def test_one_in_so_many_images_is_a_repeat(every: int) -> None:
    behind = sum(is_followed("repeat", image_id, every) for image_id in range(9000))
    assert behind / (9000 + behind) == pytest.approx(1 / every, rel=0.12)


@pytest.mark.parametrize("order", ["random", "newest", "source-1", "others"])
def test_every_order_of_new_images_has_repeats_and_they_stay(project: Project, order: str) -> None:
    assert project.repeat_every == 30
    project.set_repeat_every(5)
    theirs = [
        event(f"bob{i}", "score", i, value=3, scorer="bob", queue="score")
        for i in range(SCORED + 1, SCORED + WAITING)
    ]
    if order == "others":
        db.scores.events.record(project.store, theirs)
    offer = next_images(project, order, limit=100, exclude=(), scorer="ann")
    ids = [image.id for image in offer.images]
    assert len(ids) == len(set(ids)) == 100
    assert 8 < len(offer.repeats) < 33
    assert offer.repeats == {i for i in ids if i <= SCORED}
    assert max(offer.repeats) <= SCORED - BETWEEN
    assert not offer.repeats & offer.draws
    again = next_images(project, order, limit=100, exclude=(), scorer="ann")
    assert [image.id for image in again.images] == ids
    left_out = next_images(project, order, limit=100, exclude=offer.repeats, scorer="ann")
    assert not left_out.repeats & offer.repeats


def test_nobody_repeats_what_others_scored_and_nothing_in_the_scored_order(
    project: Project,
) -> None:
    project.set_repeat_every(5)
    for scorer in ("bob", None):
        assert not next_images(project, "random", limit=100, exclude=(), scorer=scorer).repeats
    assert not next_images(project, "revise", limit=80, exclude=(), scorer="ann").repeats
    project.set_repeat_every(0)
    assert not next_images(project, "random", limit=100, exclude=(), scorer="ann").repeats


def test_at_the_end_of_an_order_nothing_is_repeated(project: Project) -> None:
    assert with_repeats(project, [], 40, "ann") == ([], frozenset())


@pytest.mark.parametrize("number", [-1, 1, 4, 1001])
def test_a_share_that_is_none_is_refused(project: Project, number: int) -> None:
    with pytest.raises(BadInput, match="repeat"):
        project.set_repeat_every(number)


def repeat(project: Project, apart: int, images: range) -> None:
    """Ann scores these images again, `apart` points higher or lower."""
    scores = db.scores.hand_scores.effective_of(project.store, list(images))
    raw = [
        {
            "event": f"again{i}",
            "kind": "score",
            "image": i,
            "score": before + (apart if before < 5 else -apart),
            "repeat": True,
        }
        for i, before in scores.items()
    ]
    assert all(receipt.accepted for receipt in record_events(project, raw, "ann"))


def test_what_is_told_of_a_person(project: Project) -> None:
    assert self_agreement(project).sentence() == (
        "How far you agree with yourself is not known yet: 10 more repeats. One in 30 images that "
        "are shown for scoring is one."
    )
    repeat(project, 1, range(1, 10))
    project.set_repeat_every(0)
    assert self_agreement(project).sentence() == (
        "How far you agree with yourself is not known yet: 1 more repeat, and they are switched "
        "off."
    )
    repeat(project, 2, range(10, 21))
    found = self_agreement(project).found
    assert found is not None and found.repeats == 20
    assert found.error.value == pytest.approx((9 * 1 + 11 * 2) / 20 / np.sqrt(2))
    assert found.deviation.value == pytest.approx(np.sqrt((9 * 1 + 11 * 4) / 20 / 2))
    told = self_agreement(project).sentence()
    assert told.startswith("You agree with yourself to within 1.10 points (")
    assert "20 repeats" in told and "standard deviation of 1.15" in told
    report = scorers_report(project)
    assert report.repeats["ann"].found == found


def test_only_whose_scores_count_is_told(project: Project) -> None:
    repeat(project, 1, range(1, 21))
    given = {"scorer": "bob", "queue": "score"}
    db.scores.events.record(project.store, [event("bob", "score", 1, value=3, **given)])
    choose_rule(project, "person:bob")
    assert self_agreement(project).repeats == 0
    choose_rule(project, "person:ann")
    assert self_agreement(project).repeats == 20
