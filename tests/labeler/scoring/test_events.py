"""Events of scoring: what a confirmation records, why a score was given, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import db.images.counts
import db.images.lookup
import db.records
import db.scores.hand_scores
from labeler.core.project import Project
from labeler.core.scale import BRACKETS
from labeler.scoring.events import confirmed_bounds, confirmed_score, record_events
from tests.support.collection import add_version, make_collection

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_collection(tmp_path, images=24, scored=12)


def take(project: Project, **event: Any) -> str | None:
    """Take one event now; the problem, None if it was accepted."""
    whole = {"event": f"e{event}", "kind": "score", "image": 20} | event
    (receipt,) = record_events(project, [whole], "ann", NOW)
    assert receipt.accepted == (receipt.problem is None)
    return receipt.problem


def last(project: Project, image_id: int = 20) -> db.records.HandScore:
    return db.scores.hand_scores.history(project.store, image_id)[-1]


@given(st.floats(0, 1), st.floats(0.01, 0.99))
def test_confirming_never_changes_the_side(prediction: float, threshold: float) -> None:
    score = confirmed_score(prediction, threshold)
    assert 0 <= score <= 10
    # Where no whole score fails (threshold under 0.1) or passes, the nearest end stands in.
    if 0.1 <= threshold <= 0.9:
        assert (score / 10 >= threshold - 1e-9) == (prediction >= threshold)


@pytest.mark.parametrize(
    ("prediction", "threshold", "score"),
    [
        (0.62, 0.5, 6),
        (0.65, 0.5, 7),
        (0.48, 0.5, 4),
        (0.5, 0.5, 5),
        (0.56, 0.55, 6),
        (0.54, 0.55, 5),
        (0.68, 0.7, 6),
        (0.7, 0.7, 7),
        (1.0, 0.5, 10),
        (0.0, 0.5, 0),
    ],
)
def test_the_score_that_a_confirmation_stands_for(
    prediction: float, threshold: float, score: int
) -> None:
    assert confirmed_score(prediction, threshold) == score


def test_every_score_has_the_meaning_of_one_bracket() -> None:
    covered = [k for bracket in BRACKETS for k in range(bracket.low, bracket.high + 1)]
    assert covered == list(range(11))


@pytest.mark.parametrize(
    ("queue", "value", "why"),
    [
        ("score", 7, "first"),
        ("false-positive", 4, "correction-false-positive"),
        ("false-positive", 5, "confirmation"),
        ("false-negative", 5, "correction-false-negative"),
        ("false-negative", 4, "confirmation"),
    ],
)
def test_a_score_says_why_it_was_given(project: Project, queue: str, value: int, why: str) -> None:
    assert take(project, queue=queue, score=value) is None
    assert (last(project).why, last(project).value, last(project).scorer) == (why, value, "ann")


def test_the_threshold_on_the_screen_decides_what_was_corrected(project: Project) -> None:
    project.set_threshold(0.3)
    assert take(project, queue="false-positive", score=4, threshold=0.5) is None
    assert last(project).why == "correction-false-positive"


def test_the_same_hand_score_again_is_a_confirmation(project: Project) -> None:
    score = db.images.lookup.get(project.store, 3).hand_score
    assert take(project, image=3, queue="hand-score", score=score) is None
    assert last(project, 3).why == "confirmation"
    assert take(project, image=3, queue="hand-score", score=9) is None
    assert last(project, 3).why == "correction-hand-score"


def test_what_was_shown_is_kept_with_the_score(project: Project) -> None:
    version = add_version(project, 0.1)
    assert take(project, kind="confirm", score=6, prediction=0.625, version=version.name) is None
    row = last(project)
    assert (row.why, row.shown_prediction, row.shown_version) == ("confirmation", 0.625, "v1.0")


def test_a_score_from_the_future_is_from_now(project: Project) -> None:
    ahead = (NOW + timedelta(days=400)).isoformat()
    before = (NOW - timedelta(minutes=5)).isoformat()
    assert take(project, score=1, at=ahead) is None
    assert last(project).at == NOW
    assert take(project, score=2, at=before) is None
    assert last(project).at == NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    "event",
    [
        {"score": -1},
        {"score": float("nan")},
        {"score": 10.5},
        {"score": [5]},
        {},
        {"score": 5, "image": None},
        {"score": 5, "image": float("inf")},
        {"score": 5, "image": 10**30},
        {"score": 5, "event": ""},
        {"score": 5, "event": "x" * 1000},
        {"score": 5, "queue": "elsewhere"},
        {"score": 5, "at": "yesterday"},
        {"score": 5, "prediction": 7},
        {"kind": "undo"},
        {"score": 5, "image": 10**30},
    ],
)
def test_malformed_events_are_refused(project: Project, event: dict[str, Any]) -> None:
    assert take(project, **event)
    assert db.images.lookup.get(project.store, 20).hand_score is None


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"score": 11}, "A score of '11' is not between 0 and 10."),
        ({"score": "7"}, "A score of '7' is not between 0 and 10."),
        ({"score": True}, "A score of 'True' is not between 0 and 10."),
        ({"kind": "confirm", "score": None}, "A score of 'None' is not between 0 and 10."),
        ({"score": 5, "image": 999}, "there is no image 999"),
        ({"score": 5, "image": 0}, "There is no image 0."),
        ({"score": 5, "image": 10**30}, "There is no image 10000000000000000000."),
        ({"score": 5, "image": "cat.png"}, "The event is malformed."),
        ({}, "The event is malformed."),
        (
            {"score": 5, "event": 7},
            "An event needs an id of its own, of 1 to 200 plain characters.",
        ),
        (
            {"kind": "undo", "undoes": ""},
            "An event needs an id of its own, of 1 to 200 plain characters.",
        ),
        ({"kind": "undo", "undoes": "x"}, "there is nothing called x to undo"),
        ({"score": 5, "queue": ""}, "There is no event 'score' in a queue ''."),
        ({"kind": "praise", "queue": "score"}, "There is no event 'praise' in a queue 'score'."),
        ({"score": 5, "prediction": 1.5}, "A prediction of 1.5 is not between 0 and 1."),
        ({"score": 5, "at": "yesterday"}, "The event is malformed."),
        ({"score": 5, "threshold": "half"}, "The event is malformed."),
        ({"score": 5, "version": 3}, "The event is malformed."),
        (
            {"score": 5, "hash": "f" * 64},
            "That picture is another one now; reload the page",
        ),
    ],
)
def test_what_a_refused_event_is_told(
    project: Project, event: dict[str, Any], sentence: str
) -> None:
    assert take(project, **event) == sentence


def test_a_name_that_is_none_costs_no_score(project: Project) -> None:
    """Who scored is then whom the app knows, as for an event that names nobody."""
    assert take(project, score=5, scorer=["ann"]) is None
    assert last(project).scorer == "ann"


def test_the_reason_follows_from_what_counts_when_the_event_comes(project: Project) -> None:
    events = [
        {"event": f"e{k}", "kind": "score", "image": 3, "score": score, "queue": "hand-score"}
        for k, score in enumerate((9, 9, 4))
    ]
    assert all(receipt.accepted for receipt in record_events(project, events, "ann", NOW))
    reasons = [row.why for row in db.scores.hand_scores.history(project.store, 3)][-3:]
    assert reasons == ["correction-hand-score", "confirmation", "correction-hand-score"]


@given(st.floats(0, 1), st.floats(0.1, 0.9), st.booleans())
def test_what_is_recorded_lies_within_what_is_said(
    prediction: float, threshold: float, in_bracket: bool
) -> None:
    score = confirmed_score(prediction, threshold)
    at_least, below = confirmed_bounds(score, threshold, in_bracket=in_bracket)
    assert (at_least or 0) - 1e-9 <= score < (11 if below is None else below)
    side = (threshold * 10, None) if prediction >= threshold else (None, threshold * 10)
    if not in_bracket:
        assert (at_least, below) == pytest.approx(side)


@pytest.mark.parametrize(
    ("score", "said"), [(0, (0, 1)), (3, (2, 4)), (4, (4, 5)), (5, (5, None)), (9, (5, None))]
)
def test_a_bracket_is_said_where_the_side_is_not_in_question(score: int, said: object) -> None:
    assert confirmed_bounds(score, 0.5, in_bracket=True) == said


def test_a_confirmation_is_no_number(project: Project) -> None:
    told = {"queue": "false-positive", "threshold": 0.7, "prediction": 0.84}
    assert take(project, kind="confirm", score=8, **told) is None
    row = last(project)
    assert (row.value, row.at_least, row.below) == (8, 7, None)
    # A near-duplicate on the other side of the threshold is corrected, and by no number either.
    near = {"queue": "false-negative", "threshold": 0.7, "at_least": 7.0, "below": None}
    assert take(project, image=21, score=8, **near) is None
    row = last(project, 21)
    assert (row.why, row.at_least) == ("correction-false-negative", 7)
    assert take(project, image=22, score=8, queue="false-positive", threshold=0.7) is None
    assert not last(project, 22).is_interval
    assert take(project, kind="confirm", image=3, score=3, queue="hand-score") is None
    assert not last(project, 3).is_interval  # one's own score, kept
    wrong = take(project, image=23, score=8, queue="false-positive", at_least="many")
    assert wrong == "A score between many and None is not within 0 and 10."
