"""Tell which runs are alive: each keeps a file locked while it works, until its process ends.

So a run that was killed is known to be dead at once, and one whose process takes long to start is
not. Where locks tell nothing (another system, no such file yet) the heartbeat in the run's row
does, some seconds later.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import db.jobs
from db.records import Run
from db.store.regular_files import check_folder, opened_or_created
from labeler.core.files.atomic import make_parent
from labeler.core.files.locks import is_held, lock
from labeler.core.project import Project

_ALIVE_SUFFIX, _NEW_SUFFIX = ".alive", ".alive-new"


@contextmanager
def hold_alive(project: Project, run_id: int) -> Iterator[None]:
    """Mark the run's process as alive until the end of the block."""
    path = _alive_path(project, run_id)
    handle = _create_locked(path)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)


def create_alive_lock(project: Project, run_id: int) -> int | None:
    """Return the handle of the run's lock file: the run lives while any process has it open.

    For a process that is being started: on a busy machine that takes longer than a heartbeat may be
    missing. None where nothing can be locked.
    """
    return _create_locked(_alive_path(project, run_id))


def is_dead(project: Project, run: Run) -> bool:
    """Return whether the active run's process is dead; without locks, by its heartbeat.

    The lock doesn't depend on the clock: setting it while a run works ends no run.
    """
    alive = is_held(_alive_path(project, run.id)) if run.state == "active" else True
    return db.jobs.is_silent(run, datetime.now(UTC)) if alive is None else not alive


def living_run_ids(project: Project) -> set[int]:
    """Return the ids of the runs whose process is known to be alive."""
    return {int(path.stem) for path in _alive_paths(project, _ALIVE_SUFFIX) if is_held(path)}


def mark_dead(project: Project) -> None:
    """Mark the runs failed whose process has ended without writing how."""
    for path in _alive_paths(project, _ALIVE_SUFFIX):
        if is_held(path) is False:
            db.jobs.mark_died(project.store, int(path.stem))
            path.unlink(missing_ok=True)
    for new in _alive_paths(project, _NEW_SUFFIX):
        if is_held(new) is False:  # killed at the very beginning
            new.unlink(missing_ok=True)
    db.jobs.mark_stale(project.store, datetime.now(UTC), alive=living_run_ids(project))


def _alive_paths(project: Project, suffix: str) -> list[Path]:
    """Return the files in the folder of runs that are named by a run's number and `suffix`."""
    pattern = re.compile(rf"[0-9]{{1,18}}{re.escape(suffix)}")
    with suppress(OSError):
        if check_folder(project.runs_folder):
            return [path for path in project.runs_folder.iterdir() if pattern.fullmatch(path.name)]
    return []


def _alive_path(project: Project, run_id: int) -> Path:
    return project.runs_folder / f"{run_id}{_ALIVE_SUFFIX}"


def _create_locked(path: Path) -> int | None:
    """Create a locked file, which gets its name when it is locked; return its handle, or None."""
    new = path.with_suffix(_NEW_SUFFIX)
    try:
        handle = opened_or_created(new, make_parent(new))
    except OSError:  # A full disk, say: the heartbeat has to do.
        return None
    try:
        if lock(handle):
            new.replace(path)
            return handle
    except OSError:
        pass
    with suppress(OSError):
        new.unlink()
    os.close(handle)
    return None
