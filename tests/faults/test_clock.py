"""A clock that is set back or forward: what came last stays last, the living live, the dead don't.

Scores count in the order in which they were kept, whatever the clock said; a run's life is told by
its lock, and by its heartbeat only where nothing can be locked.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

import db.scores.events
import db.scores.hand_scores
import db.scores.queue_queries
import db.scores.undo_history
from db import jobs as run_rows
from db.store.schema import RunRow
from db.store.store import Store
from labeler.core.jobs import liveness, runner
from labeler.core.jobs.heartbeat import Heartbeat
from labeler.core.project import Project
from labeler.core.status import read_status
from labeler.scoring.events import record_events
from tests.support.store_rows import add_images, event, later, new_store

HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


@pytest.fixture
def project(store: Store) -> Project:
    return Project(store.path.parent, store)


def test_the_score_that_came_last_counts_although_its_time_is_earlier(store: Store) -> None:
    first, _ = add_images(store, 2)
    db.scores.events.record(store, [event("a", "score", first, value=2, at=later(60))])
    db.scores.events.record(store, [event("b", "score", first, value=8, at=later(0))])
    assert db.scores.hand_scores.effective_of(store, [first]) == {first: 8.0}
    assert [row.value for row in db.scores.hand_scores.history(store, first)] == [2.0, 8.0]
    assert [image.id for image in db.scores.queue_queries.last_scored(store, limit=5)] == [first]
    db.scores.events.record(store, [event("c", "undo", first, undoes="b", at=later(0))])
    assert db.scores.hand_scores.effective_of(store, [first]) == {first: 2.0}


def test_undo_takes_back_what_was_done_last(store: Store) -> None:
    ids = add_images(store, 5)
    given = [
        event("a", "score", ids[0], value=1, queue="score", at=later(60)),
        event("b", "skip", ids[1], queue="score", at=later(61)),
        event("c", "score", ids[2], value=3, queue="score", at=later(2)),  # set back by an hour
        event("d", "skip", ids[3], queue="score", at=later(3)),
        event("e", "score", ids[4], value=5, queue="score", at=later(4)),
    ]
    for one in given:
        db.scores.events.record(store, [one])
    acts = db.scores.undo_history.recent_events(store, ["score"], 10)
    assert [act.event_id for act in acts if act.value is not None] == ["a", "c", "e"]
    assert [act.event_id for act in acts if act.value is None] == ["b", "d"]
    last = db.scores.undo_history.recent_events(store, ["score"], 1)
    assert [act.event_id for act in last] in (["d"], ["e"])


def test_a_browser_whose_clock_runs_ahead_is_not_believed_and_loses_nothing(
    project: Project,
) -> None:
    [image_id] = add_images(project.store, 1)
    now = datetime(2025, 3, 1, 12, tzinfo=UTC)
    raw = {"kind": "score", "image": image_id}
    sent = [
        raw | {"event": "ahead", "score": 3, "at": (now + 24 * HOUR).isoformat()},
        raw | {"event": "back", "score": 4, "at": (now - 24 * HOUR).isoformat()},
    ]
    assert all(receipt.accepted for receipt in record_events(project, sent, now=now))
    ahead, back = db.scores.hand_scores.history(project.store, image_id)
    assert (ahead.at, back.at) == (now, now - 24 * HOUR)
    assert db.scores.hand_scores.effective_of(project.store, [image_id]) == {image_id: 4.0}


def beaten_at(project: Project, when: datetime) -> None:
    with project.store.transaction() as session:
        session.execute(update(RunRow).values(heartbeat_at=when))


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR], ids=["back", "forward"])
def test_a_run_that_works_outlives_a_clock_that_jumps(project: Project, jump: timedelta) -> None:
    run, _ = runner.begin(project, "train", {})
    with Heartbeat(project, run.id):
        if liveness.living_run_ids(project) != {run.id}:
            pytest.skip("no file can be locked here")
        beaten_at(project, datetime.now(UTC) - jump)
        assert read_status(project).running == ["train"]
        liveness.mark_dead(project)
        joined, started = runner.begin(project, "train", {})
        assert (joined.id, started) == (run.id, False)
    found = run_rows.get(project.store, run.id)
    assert found is not None
    assert found.state == "active"


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR], ids=["back", "forward"])
def test_a_dead_run_is_not_kept_alive_by_a_clock_that_jumped(
    project: Project, jump: timedelta
) -> None:
    run, _ = runner.begin(project, "train", {})
    beaten_at(project, datetime.now(UTC) - jump)
    assert read_status(project).running == []
    again, started = runner.begin(project, "train", {})
    assert started
    assert again.id != run.id


def test_looking_for_dead_runs_writes_nothing_where_there_are_none(project: Project) -> None:
    runner.begin(project, "train", {})
    with project.store.transaction():  # whoever wrote now would wait
        hasty = Store(project.store.path, patience=0.05)
        assert run_rows.mark_stale(hasty, datetime.now(UTC)) == []
        hasty.close()
