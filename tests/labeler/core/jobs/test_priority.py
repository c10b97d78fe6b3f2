"""Protects the priority of long work: below the app's, and not so low that a busy machine stops it.

Only a process of its own lowers its priority.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from labeler.cli.main import labeler
from labeler.core.jobs.child_process import NICENESS
from labeler.core.project import Project

CODE = Path(__file__).parents[4]
AUTOGROUP = Path("/proc/self/autogroup")
TOLD_AT_THE_END = """
import atexit, os
from pathlib import Path
atexit.register(lambda: print({show}))
from labeler.cli.main import main
main()
"""
PROCESS = '"niceness", os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH'
SESSION = f'Path("{AUTOGROUP}").read_text().split()[-1]'  # as in `/autogroup-17 nice 0`
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's scheduler")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    Project.create(tmp_path / "project", encoder="lite").close()
    return tmp_path / "project"


def told_at_the_end(project: Path, *command: str, show: str, **more: Any) -> str:
    """What the expression `show` is when a process that does `command` ends."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            TOLD_AT_THE_END.format(show=show),
            "--project",
            str(project),
            *command,
        ],
        env=os.environ | {"PYTHONPATH": str(CODE)},
        capture_output=True,
        text=True,
        check=False,
        **more,
    )
    return told.stdout.splitlines()[-1]


def niceness_after(project: Path, *command: str) -> str:
    return told_at_the_end(project, *command, show=PROCESS)


@pytest.mark.parametrize("command", ["embed", "train", "_run"])
def test_long_work_gives_way(project: Path, command: str) -> None:
    words = [command, "1"] if command == "_run" else [command]
    assert niceness_after(project, *words) == f"niceness {NICENESS} True"


def test_long_work_gets_a_part_of_a_busy_machine() -> None:
    """Linux weighs a niceness of 5 with a third, of 10 with a tenth of what 0 has."""
    assert NICENESS <= 5


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system doesn't divide it by sessions")
def test_a_run_has_the_part_of_the_processor_that_any_session_has(project: Path) -> None:
    usual = told_at_the_end(project, "status", show=SESSION, start_new_session=True)
    assert told_at_the_end(project, "_run", "1", show=SESSION, start_new_session=True) == usual


def test_what_a_person_waits_for_does_not(project: Path) -> None:
    assert niceness_after(project, "status") == f"niceness {os.nice(0)} False"


def test_a_command_called_by_another_program_leaves_that_as_it_is(project: Path) -> None:
    before = os.nice(0)
    assert CliRunner().invoke(labeler, ["--project", str(project), "embed"]).exit_code == 0
    assert os.nice(0) == before
