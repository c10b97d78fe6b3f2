"""Protects background runs: one of a kind at a time, honest about how they ended, never left over.

A run survives the page that started it, hears a request to stop, says in one sentence why it
failed, and a killed one does not look alive.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

import db.images.counts
import db.images.sources
from db import jobs as run_rows
from db.store.schema import RunRow
from labeler.cli.job_kinds import JOBS
from labeler.core.errors import BadInput
from labeler.core.jobs import runner
from labeler.core.jobs.heartbeat import Heartbeat
from labeler.core.project import Project
from labeler.core.status import read_status
from tests.support.collection import copied, draw_pictures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight pictures and an empty project; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    draw_pictures(folder / "pictures", 8)
    Project.create(folder / "project", encoder="lite").close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


@pytest.fixture
def importing(made: Path) -> dict[str, object]:
    """Params of an import that doesn't go on to embed."""
    return {"paths": [str(made / "pictures")], "source": "drawn", "embed": False}


def test_a_run_in_the_background_does_its_work(
    project: Project, importing: dict[str, object]
) -> None:
    started = runner.start_run(project, "import", importing | {"expect": [0, 3]})
    ended = runner.follow(project, started.id)
    assert (started.state, ended.state) == ("active", "done")
    assert ended.message == "Found 8 image files, 8 of them new."
    assert db.images.counts.by_state(project.store)["fine"] == 8
    [source] = db.images.sources.sources(project.store)
    assert (source.name, source.expect_low, source.expect_high) == ("drawn", 0.0, 3.0)


def test_a_second_start_joins_the_first(project: Project, importing: dict[str, object]) -> None:
    first, ours = runner.begin(project, "import", importing)
    second = runner.start_run(project, "import", importing)
    assert ours
    assert second.id == first.id
    assert not list(project.runs_folder.iterdir()), "no second process was started"


def test_following_a_run_shows_its_progress_until_it_ends(
    project: Project, importing: dict[str, object]
) -> None:
    run, _ = runner.begin(project, "train", {})
    seen: list[tuple[int, int, str]] = []

    def other_process() -> None:
        if len(seen) < 2:
            run_rows.heartbeat(project.store, run.id, 5, 10, "training")
        else:
            run_rows.finish(project.store, run.id, "done", "Trained.")

    ended = runner.follow(project, run.id, lambda *at: seen.append(at), other_process)
    assert seen == [(0, 0, ""), (5, 10, "training")]
    assert (ended.state, ended.message) == ("done", "Trained.")


def test_a_killed_run_is_failed_and_can_be_started_again(
    project: Project, importing: dict[str, object]
) -> None:
    run = runner.start_run(project, "import", importing)
    assert run.pid is not None
    os.kill(run.pid, signal.SIGKILL)
    ended = runner.follow(project, run.id)
    assert ended.state == "failed"
    assert ended.message is not None
    assert "start it again" in ended.message
    again = runner.start_run(project, "import", importing)
    assert again.id != run.id
    assert runner.follow(project, again.id).state == "done"


def test_the_status_shows_no_dead_run_as_running(
    project: Project, importing: dict[str, object]
) -> None:
    run, _ = runner.begin(project, "import", importing)
    assert read_status(project).running == ["import"]
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    with project.store.transaction() as session:
        session.execute(update(RunRow).values(heartbeat_at=long_ago))
    assert read_status(project).running == []
    ended = run_rows.get(project.store, run.id)
    assert ended is not None
    assert ended.state == "failed"


def test_a_request_to_stop_ends_the_work_at_its_next_progress(
    project: Project, importing: dict[str, object]
) -> None:
    run, _ = runner.begin(project, "import", importing)
    run_rows.request_stop(project.store, run.id)
    ended = runner.work(project, run.id, JOBS)
    assert ended.state == "stopped"
    assert db.images.counts.by_state(project.store).get("fine", 0) < 8


def test_a_signal_to_end_stops_the_run_politely(
    project: Project, importing: dict[str, object]
) -> None:
    run, _ = runner.begin(project, "import", importing)
    assert runner.work(project, run.id, JOBS, on_start=Heartbeat.stop).state == "stopped"


def test_ctrl_c_is_noted_and_passed_on(project: Project, importing: dict[str, object]) -> None:
    run, _ = runner.begin(project, "import", importing)

    def interrupted(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.work(project, run.id, JOBS, progress=interrupted)
    assert run_rows.get(project.store, run.id).state == "stopped"  # type: ignore[union-attr]


def test_a_failure_is_one_sentence_and_its_traceback_is_in_the_log(
    project: Project, tmp_path: Path
) -> None:
    run, _ = runner.begin(project, "import", {"paths": [str(tmp_path / "nowhere")]})
    ended = runner.work(project, run.id, JOBS)
    assert ended.state == "failed"
    assert ended.message is not None
    assert "nowhere is not there" in ended.message
    assert "Traceback" in runner.log_file(project, run.id).read_text()


def test_a_bug_names_the_log_instead_of_the_traceback(project: Project) -> None:
    run, _ = runner.begin(project, "import", {})  # without paths: nobody may call it so
    ended = runner.work(project, run.id, JOBS)
    assert ended.state == "failed"
    assert str(runner.log_file(project, run.id)) in str(ended.message)


def test_progress_reaches_the_row_and_the_watcher(
    project: Project, importing: dict[str, object]
) -> None:
    run, _ = runner.begin(project, "import", importing)
    with Heartbeat(project, run.id, lambda done, total, what: None) as heart:
        heart.progress(3, 8, "importing")
        row = run_rows.get(project.store, run.id)
    assert row is not None
    assert (row.done, row.total, row.what) == (3, 8, "importing")


def test_a_run_that_ended_is_not_worked_on_again(
    project: Project, importing: dict[str, object]
) -> None:
    run, _ = runner.begin(project, "import", importing)
    runner.work(project, run.id, JOBS)
    with pytest.raises(BadInput, match="no active run"):
        runner.work(project, run.id, JOBS)


def test_only_known_kinds_of_work_are_started(project: Project) -> None:
    with pytest.raises(BadInput, match="import, embed, train"):
        runner.start_run(project, "rm -rf", {})


def test_the_last_training_of_a_recipe_is_the_one_that_came_to_its_end(project: Project) -> None:
    store = project.store
    assert run_rows.last_training(store, "quick") is None
    for recipe, state in (("quick", "done"), ("original", "done"), ("quick", "failed")):
        run, new = run_rows.start(store, "train", {"recipe": recipe, "note": ""})
        assert new
        run_rows.finish(store, run.id, state)
    last = run_rows.last_training(store, "quick")
    assert last is not None and (last.params["recipe"], last.state) == ("quick", "done")
