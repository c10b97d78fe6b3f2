"""A run whose process was killed is known to be dead at once, and the next one starts.

A living one is left alone however long it is silent to whoever looks, and one that nothing is known
of waits for its heartbeat to go stale.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from db import jobs as rows
from db.store.schema import RunRow
from labeler.app.widgets.job_status import latest
from labeler.core.jobs import runner
from labeler.core.jobs.child_process import environment
from labeler.core.jobs.heartbeat import Heartbeat
from labeler.core.jobs.liveness import mark_dead
from labeler.core.project import Project

KILLED = """
import os, signal, sys
from pathlib import Path
from labeler.core.jobs import runner
from labeler.core.jobs.heartbeat import Heartbeat
from labeler.core.project import Project
project = Project.open(Path(sys.argv[1]))
run, _ = runner.begin(project, "train", {})
with Heartbeat(project, run.id):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "project"
    Project.create(folder, encoder="lite").close()
    command = [sys.executable, "-c", KILLED, str(folder)]
    done = subprocess.run(command, env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    """A project whose training has just been killed."""
    shutil.copytree(made, tmp_path / "project")
    project = Project.open(tmp_path / "project")
    assert rows.active(project.store, "train") is not None
    yield project
    project.close()


def test_a_killed_run_makes_way_at_once(project: Project) -> None:
    new, ours = runner.begin(project, "train", {})
    assert ours
    killed = rows.get(project.store, new.id - 1)
    assert killed is not None
    assert runner.has_died(killed)
    assert not list(project.runs_folder.glob("*.alive")), "no sign of life is left behind"


def test_a_page_shows_a_killed_run_as_failed(project: Project) -> None:
    run = latest(project, "train")
    assert run is not None
    assert run.state == "failed"


def test_whoever_follows_a_killed_run_hears_of_it(project: Project) -> None:
    run = rows.latest(project.store, "train")
    assert run is not None
    assert runner.has_died(runner.follow(project, run.id, pause=lambda: pytest.fail("it waits")))


def test_a_living_run_is_left_alone(project: Project) -> None:
    run, _ = runner.begin(project, "train", {})
    with Heartbeat(project, run.id):
        mark_dead(project)
        assert runner.begin(project, "train", {}) == (rows.get(project.store, run.id), False)
    assert not list(project.runs_folder.glob("*.alive"))


def test_a_run_without_a_sign_waits_for_its_heartbeat(project: Project) -> None:
    run, _ = runner.begin(project, "train", {})
    mark_dead(project)
    again = rows.get(project.store, run.id)
    assert again is not None
    assert again.state == "active"


def test_a_run_whose_process_is_slow_to_start_is_alive(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [sys.executable, "-c", "import signal; signal.pause()"]
    monkeypatch.setattr(runner, "command", lambda *_: waiting)
    run = runner.start_run(project, "import", {"paths": []})
    assert run.pid is not None
    try:
        with project.store.transaction() as session:
            long_ago = {"heartbeat_at": datetime.now(UTC) - timedelta(minutes=2)}
            session.execute(update(RunRow).where(RunRow.id == run.id).values(long_ago))
        mark_dead(project)
        shown = latest(project, "import")
        assert shown is not None
        assert (shown.id, shown.state) == (run.id, "active")
    finally:
        os.kill(run.pid, signal.SIGKILL)
    ended = runner.follow(project, run.id, pause=lambda: None)
    assert ended.state == "failed"
