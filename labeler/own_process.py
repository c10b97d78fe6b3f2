"""This program as another process: for work that would hold up the pages, or fill their memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import labeler
from labeler.errors import LabelerError
from labeler.project import Project


def command(project: Project, *words: str) -> list[str]:
    """The command line of `labeler WORDS` in this project."""
    # -P: a folder called db or model where the app was started is not taken for ours.
    own = [sys.executable, "-P", "-m", "labeler", "--project", str(project.folder)]
    return [*own, *words]


def environment() -> dict[str, str]:
    """The environment in which that process finds this program."""
    code = str(Path(labeler.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def run_command(project: Project, *words: str) -> None:
    """Do `labeler WORDS` to its end; raises `LabelerError` with what it said if it fails."""
    done = subprocess.run(
        command(project, *words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment(),
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise LabelerError(lines[-1] if lines else f"labeler {words[0]} ended unexpectedly.")
