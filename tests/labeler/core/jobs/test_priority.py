"""Long work takes what nobody else wants of the processor, and only in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from labeler.cli.main import labeler
from labeler.core.jobs.priority import NICENESS
from labeler.core.project import Project

CODE = Path(__file__).parents[4]
TOLD_AT_THE_END = """
import atexit, os
atexit.register(lambda: print("niceness", os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH))
from labeler.cli.main import main
main()
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's scheduler")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    Project.create(tmp_path / "project", encoder="lite").close()
    return tmp_path / "project"


def niceness_after(project: Path, *command: str) -> str:
    told = subprocess.run(
        [sys.executable, "-c", TOLD_AT_THE_END, "--project", str(project), *command],
        env=os.environ | {"PYTHONPATH": str(CODE)},
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", ["embed", "train", "_run"])
def test_long_work_gives_way(project: Path, command: str) -> None:
    words = [command, "1"] if command == "_run" else [command]
    assert niceness_after(project, *words) == f"niceness {NICENESS} True"


def test_what_a_person_waits_for_does_not(project: Path) -> None:
    assert niceness_after(project, "status") == f"niceness {os.nice(0)} False"


def test_a_command_called_by_another_program_leaves_that_as_it_is(project: Path) -> None:
    before = os.nice(0)
    assert CliRunner().invoke(labeler, ["--project", str(project), "embed"]).exit_code == 0
    assert os.nice(0) == before
