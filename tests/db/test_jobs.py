"""Background runs: one of a kind at a time, told apart alive from dead.

Protects: a second click joins the run that goes on, also when many click at once; a silent run is
marked failed and makes room; a stop is heard; what came of a run stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

import db.jobs
from db.errors import StoreError
from db.records import Run
from db.store.store import Store
from tests.support.store_rows import add_encoder, add_version, new_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


def begin(store: Store, kind: str = "train") -> Run:
    run, started = db.jobs.start(store, kind, {"recipe": "quick"})
    assert started
    return run


def read(store: Store, run: Run) -> Run:
    found = db.jobs.get(store, run.id)
    assert found is not None
    return found


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_run_is_active_from_its_start(store: Store) -> None:
    assert db.jobs.active(store, "train") is None
    run = begin(store)
    assert run == db.jobs.active(store, "train") == db.jobs.latest(store, "train")
    assert (run.state, run.params, run.done, run.total) == ("active", {"recipe": "quick"}, 0, 0)
    assert (run.finished_at, run.message, run.version, run.curve) == (None, None, None, [])
    db.jobs.set_pid(store, run.id, 4711)
    assert read(store, run).pid == 4711


def test_a_second_start_joins_the_first_and_another_kind_does_not(store: Store) -> None:
    run = begin(store)
    joined, started = db.jobs.start(store, "train", {"recipe": "original"})
    assert (joined.id, joined.params, started) == (run.id, {"recipe": "quick"}, False)
    assert begin(store, "embed").id != run.id


def test_many_clicks_at_once_make_one_run(store: Store) -> None:
    together, results = Barrier(6), []

    def click() -> None:
        together.wait()
        results.append(db.jobs.start(store, "train", {}))

    threads = [Thread(target=click) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.id for run, _ in results} == {1}
    assert sum(started for _, started in results) == 1


def test_a_beat_tells_how_far_it_is(store: Store) -> None:
    run = begin(store)
    assert not db.jobs.heartbeat(store, run.id, 3, 10, "training", curve=[[0, 1.5]])
    assert not db.jobs.heartbeat(store, run.id, 4, 10, "predicting")
    found = read(store, run)
    assert (found.done, found.total, found.what, found.curve) == (4, 10, "predicting", [[0, 1.5]])
    assert found.heartbeat_at > run.heartbeat_at


def test_a_stop_is_heard_at_the_next_beat(store: Store) -> None:
    run = begin(store)
    db.jobs.request_stop(store, run.id)
    assert db.jobs.heartbeat(store, run.id, 1, 10, "training")
    db.jobs.finish(store, run.id, "stopped", "Stopped by you.")
    found = read(store, run)
    assert (found.state, found.message, found.stop_requested) == (
        "stopped",
        "Stopped by you.",
        True,
    )
    assert begin(store).id != run.id


def test_a_finished_run_names_its_version_and_makes_room(store: Store) -> None:
    run = begin(store)
    add_encoder(store)
    db.jobs.finish(store, run.id, "done", version_id=add_version(store).id)
    found = read(store, run)
    assert (found.state, found.version) == ("done", "v1.0")
    assert found.finished_at is not None
    assert db.jobs.active(store, "train") is None
    assert db.jobs.latest(store, "train") == found


def test_a_silent_run_is_marked_failed(store: Store) -> None:
    run = begin(store)
    assert db.jobs.mark_stale(store, soon(15)) == []
    (dead,) = db.jobs.mark_stale(store, soon(25))
    assert (dead.id, dead.state) == (run.id, "failed")
    assert "ended without a word" in (dead.message or "")
    assert db.jobs.mark_stale(store, soon(60)) == []
    assert begin(store).id != run.id


def test_starting_makes_room_by_itself(store: Store) -> None:
    run = begin(store)
    with store.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE runs SET heartbeat_at = '2020-01-01T00:00:00.000000+00:00'"
        )
    assert begin(store).id != run.id
    assert read(store, run).state == "failed"


def test_a_run_thought_dead_goes_on_when_it_beats_again(store: Store) -> None:
    run = begin(store)
    db.jobs.mark_stale(store, soon(60))
    assert not db.jobs.heartbeat(store, run.id, 5, 10, "training")
    found = read(store, run)
    assert (found.state, found.message, found.finished_at) == ("active", None, None)


def test_a_run_thought_dead_gives_way_to_the_one_after_it(store: Store) -> None:
    run = begin(store)
    db.jobs.mark_stale(store, soon(60))
    begin(store)
    assert db.jobs.heartbeat(store, run.id, 5, 10, "training")
    assert read(store, run).state == "failed"


def test_a_run_that_failed_for_a_reason_stays_failed(store: Store) -> None:
    run = begin(store)
    db.jobs.finish(store, run.id, "failed", "No room on the disk.")
    assert db.jobs.heartbeat(store, run.id, 5, 10, "training")
    assert read(store, run).message == "No room on the disk."


def test_a_run_that_never_was(store: Store) -> None:
    assert db.jobs.get(store, 7) is None
    assert db.jobs.latest(store, "train") is None
    with pytest.raises(StoreError, match="no run 7"):
        db.jobs.heartbeat(store, 7, 0, 0, "")
