"""The queue of the Score page: which images come next, and that each order can be filled."""

from __future__ import annotations

from pathlib import Path

import pytest

import db.images.counts
import db.images.sources
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.scoring.events import record_events
from labeler.scoring.queue import band_of, least_scored_first, next_images, predictions_of
from tests.support.collection import add_version, make_collection


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_collection(tmp_path, images=24, scored=12)


def test_unscored_images_come_in_the_order_asked_for(project: Project) -> None:
    project.set_audit_every(0)
    newest = next_images(project, "newest", limit=3, exclude=()).images
    assert [image.id for image in newest] == [24, 23, 22]
    shuffled = next_images(project, "random", limit=50, exclude={13, 14}).images
    assert {image.id for image in shuffled} == set(range(15, 25))
    source = db.images.sources.sources(project.store)[0].id
    assert len(next_images(project, f"source-{source}", limit=50, exclude=()).images) == 12
    assert next_images(project, "source-99", limit=50, exclude=()).images == []
    with pytest.raises(BadInput, match="order"):
        next_images(project, "backwards", limit=1, exclude=())


def test_revising_shows_what_was_scored_last(project: Project) -> None:
    event = {"event": "e", "kind": "score", "image": 5, "score": 9}
    assert record_events(project, [event], "ann")[0].accepted
    assert next_images(project, "revise", limit=2, exclude=()).images[0].id == 5


def test_thin_brackets_need_a_version(project: Project) -> None:
    offer = next_images(project, "thin", limit=5, exclude=())
    assert offer.images == []
    assert "train" in (offer.explanation or "")


def test_thin_brackets_are_filled_with_what_is_predicted_there(project: Project) -> None:
    version = add_version(project, 0.1)
    waiting = next_images(project, "random", limit=50, exclude=()).images
    predicted = predictions_of(project, version, [image.id for image in waiting])
    counts = db.images.counts.by_hand_score(project.store).distribution
    reachable = [
        k
        for k in least_scored_first(counts)
        if any(band_of(k)[0] <= p <= band_of(k)[1] for p in predicted.values())
    ]
    first = next_images(project, "thin", limit=4, exclude=()).images[0]
    low, high = band_of(reachable[0])
    assert low <= predicted[first.id] <= high
    everything = next_images(project, "thin", limit=50, exclude=()).images
    assert len({image.id for image in everything}) == len(everything) > 4


def test_the_thinnest_bracket_comes_first_and_the_ends_before_the_middle() -> None:
    assert least_scored_first([5, 0, 5, 5, 5, 0, 5, 5, 5, 5, 0])[:3] == [10, 1, 5]
