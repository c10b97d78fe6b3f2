"""Start child processes of this program, and lower the priority of background work.

The work would block the pages or fill their memory otherwise. The processes get the environment of
this program's own start, and they import nothing from the current folder, which may be somebody
else's: Python looks there first, otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labeler.core.environment import STARTED_WITH
from labeler.core.errors import LabelerError
from labeler.core.project import Project

# What this process alone needs to know; another one would only pass it on.
WITHHELD_VARIABLES = ("LABELER_TOKEN",)


def command(project: Project, *words: str) -> list[str]:
    """Return the command line of `labeler WORDS` in this project."""
    return python("-m", "labeler.cli", "--project", str(project.folder), *words)


def python(*words: str) -> list[str]:
    """Return the command line of Python with WORDS, without the current folder on its path."""
    return [sys.executable, "-P", *words]


def environment() -> dict[str, str]:
    """Return the environment in which a child process imports this program and nothing else.

    Of the PYTHONPATH that this program was started with the absolute folders stay: what is
    installed there was found by this process, too. A relative one means another folder in each
    current folder.
    """
    variables = {
        name: value for name, value in STARTED_WITH.items() if name not in WITHHELD_VARIABLES
    }
    code = str(Path(__file__).resolve().parents[3])
    folders = variables.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(dict.fromkeys([code, *filter(os.path.isabs, folders)]))
    # The second for processes that these start in turn.
    return variables | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def start(words: list[str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start a command line; `streams` and more as for `subprocess.Popen`."""
    return subprocess.Popen(words, env=environment(), **streams)


def run(words: list[str], **streams: Any) -> subprocess.CompletedProcess[Any]:
    """Run a command line to its end; `streams` and more as for `subprocess.run`."""
    return subprocess.run(words, env=environment(), check=False, **streams)


def run_command(project: Project, *words: str) -> None:
    """Run `labeler WORDS` to its end; raises `LabelerError` with its output if it fails."""
    done = run(
        command(project, *words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise LabelerError(lines[-1] if lines else f"labeler {words[0]} ended unexpectedly.")


@contextmanager
def process_pool(
    workers: int, prepare: Callable[..., None], arguments: tuple[Any, ...]
) -> Iterator[ProcessPoolExecutor]:
    """Yield worker processes, each initialised by `prepare(*given)`; they end with the context.

    The process's own environment is replaced meanwhile, so nothing else may run in it.
    """
    before = dict(os.environ)
    executor = None
    _set_environment(environment())
    try:
        spawning = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(workers, spawning, prepare, arguments)
        yield executor
    finally:
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)
        _set_environment(before)


def _set_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


# The work has a third of the share of a program that wants the same core. At 10 it would have a
# tenth, and on a machine that eight other programs keep busy an import would show nothing for
# minutes. Where Linux divides the processor among sessions (autogroup) the niceness counts only
# inside a session, and that of the session itself stays as it is, for the same reason.
NICENESS = 5


def lower_priority() -> None:
    """Lower the priority of this process for good; call it before there are any threads."""
    if sys.platform == "win32":
        return
    os.nice(NICENESS)
    # Refused in some containers; the niceness is most of it.
    with suppress(OSError):
        if hasattr(os, "sched_setscheduler"):
            # Waking up with a batch of work to do is no reason to interrupt anybody.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
