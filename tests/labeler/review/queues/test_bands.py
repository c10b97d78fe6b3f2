"""What a source rules out is a mistake by the person's own word, on either side of the bar."""

from __future__ import annotations

from pathlib import Path

import pytest

import db.images.sources
from labeler.core.project import Project
from labeler.review.pages import review_cards
from tests.support.collection import make_collection
from tests.support.reviewing import add, ids, scatter, spread_out


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_collection(tmp_path, images=60, scored=22)
    scatter(project)
    return project


def expect(project: Project, low: float, high: float) -> None:
    source = db.images.sources.sources(project.store)[0]
    db.images.sources.update_source(project.store, source.id, (low, high))


def test_what_the_source_rules_out_goes_first(project: Project) -> None:
    spread_out(project, [30, 40, 50])
    add(project, {30: 0.99, 40: 0.5, 50: 0.45})
    assert ids(review_cards(project, "false-positive")) == [40, 30]
    expect(project, 0, 1)
    cards = review_cards(project, "false-positive")
    assert ids(cards) == [30, 40, 50]
    assert [card.reasons[0].words for card in cards] == [
        "its source expects 0–1, yet it passes",
        "its source expects 0–1, yet it passes",
        "predicted too high: its source expects 0–1",
    ]
    assert all(card.reasons[0].strong and card.suspicion == 1 for card in cards)
    assert review_cards(project, "false-negative") == []


def test_too_low_for_its_source_is_a_likely_false_negative(project: Project) -> None:
    spread_out(project, [30, 40, 50])
    add(project, {30: 0.1, 40: 0.6, 50: 0.9})
    expect(project, 8, 10)
    cards = review_cards(project, "false-negative")
    assert ids(cards) == [30, 40]
    assert cards[0].reasons[0].words == "its source expects 8–10, yet it fails"
    assert cards[1].reasons[0].words == "predicted too low: its source expects 8–10"
    assert ids(review_cards(project, "false-positive")) == [50]


def test_what_rounds_into_the_band_is_no_mistake(project: Project) -> None:
    spread_out(project, [30, 40])
    add(project, {30: 0.14, 40: 0.17})
    expect(project, 0, 1)
    assert ids(review_cards(project, "false-positive")) == [40]
    assert ids(review_cards(project, "false-negative")) == [30]


def test_harmless_ones_leave_room_for_the_others(project: Project) -> None:
    spread_out(project, [30, 31, 32, 33, 34, 35])
    add(project, {30: 0.45, 31: 0.44, 32: 0.43, 33: 0.4, 34: 0.55, 35: 0.9})
    expect(project, 0, 1)
    # A quarter of a page of four are images that fail as they should, at the head or not.
    assert ids(review_cards(project, "false-positive", limit=4)) == [35, 34, 30, 31]
    assert ids(review_cards(project, "false-positive", limit=3)) == [35, 34, 30]


def test_each_reason_has_its_own_sentence(project: Project) -> None:
    spread_out(project, [30])
    add(project, {30: 0.62}, opinion={30: 2})
    words = [reason.words for reason in review_cards(project, "false-positive")[0].reasons]
    assert words[0].endswith("% likely wrong")
    assert words[1].startswith("its 4 nearest scored ")
    assert words[2].startswith("second opinion contradicts: 2.")
    add(project, {30: 0.62}, opinion={30: 7})
    words = [reason.words for reason in review_cards(project, "false-positive")[0].reasons]
    assert words[2].endswith("passes")
    assert "contradicts" not in words[2]
