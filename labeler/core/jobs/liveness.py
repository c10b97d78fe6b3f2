"""Which runs are alive: each keeps a file locked while it works, until its process ends.

So a run that was killed is known to be dead at once, and one whose process takes long to start is
not. Where locks tell nothing (another system, no such file yet) the silent heartbeat in the run's
row does, some seconds later.
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

_ENDING, _UNSIGNED = ".alive", ".alive-new"


@contextmanager
def alive(project: Project, run_id: int) -> Iterator[None]:
    """Until the end of the block everybody can see that the run's process lives."""
    sign = _sign(project, run_id)
    handle = _locked(sign)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                sign.unlink()
            os.close(handle)


def locked_sign(project: Project, run_id: int) -> int | None:
    """The handle of the run's sign of life: the run lives while any process has it open.

    For a process that is only being started: on a busy machine that takes longer than silence is
    borne. None where nothing can be locked.
    """
    return _locked(_sign(project, run_id))


def is_dead(project: Project, run: Run) -> bool:
    """Whether the active run's process is dead; where nothing tells for sure, by its heartbeat.

    The lock knows no clock: one that is set back or forward while a run works kills nobody.
    """
    held = is_held(_sign(project, run.id)) if run.state == "active" else True
    return db.jobs.is_silent(run, datetime.now(UTC)) if held is None else not held


def alive_now(project: Project) -> set[int]:
    """The ids of the runs whose process is known to live."""
    return {int(sign.stem) for sign in _signs(project, _ENDING) if is_held(sign)}


def mark_dead(project: Project) -> None:
    """Mark the runs failed whose process has ended without a word."""
    for sign in _signs(project, _ENDING):
        if is_held(sign) is False:
            db.jobs.mark_died(project.store, int(sign.stem))
            sign.unlink(missing_ok=True)
    for new in _signs(project, _UNSIGNED):
        if is_held(new) is False:  # killed at the very beginning
            new.unlink(missing_ok=True)
    db.jobs.mark_stale(project.store, datetime.now(UTC), alive=alive_now(project))


def _signs(project: Project, ending: str) -> list[Path]:
    """The files in the folder of runs that are named by a run's number and `ending`."""
    named = re.compile(rf"[0-9]{{1,18}}{re.escape(ending)}")
    with suppress(OSError):
        if check_folder(project.runs_folder):
            return [sign for sign in project.runs_folder.iterdir() if named.fullmatch(sign.name)]
    return []


def _sign(project: Project, run_id: int) -> Path:
    return project.runs_folder / f"{run_id}{_ENDING}"


def _locked(sign: Path) -> int | None:
    """The handle of the locked file, which has its name only when it is locked; None without."""
    new = sign.with_suffix(_UNSIGNED)
    try:
        handle = opened_or_created(new, make_parent(new))
    except OSError:  # A full disk, say: the heartbeat has to do.
        return None
    try:
        if lock(handle):
            new.replace(sign)
            return handle
    except OSError:
        pass
    with suppress(OSError):
        new.unlink()
    os.close(handle)
    return None
