"""Which runs are alive: each keeps a file locked while it works, until its process ends.

So a run that was killed is known to be dead at once. Where locks tell nothing (another system, no
such file yet) the silent heartbeat in the run's row does, some seconds later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from db import runs
from db.records import Run
from labeler.file_locks import is_held, lock
from labeler.project import Project

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


def is_dead(project: Project, run: Run) -> bool:
    """Whether the active run's process is dead; where nothing tells for sure, by its heartbeat.

    The lock knows no clock: one that is set back or forward while a run works kills nobody.
    """
    held = is_held(_sign(project, run.id)) if run.state == "active" else True
    return runs.is_silent(run, datetime.now(UTC)) if held is None else not held


def alive_now(project: Project) -> set[int]:
    """The ids of the runs whose process is known to live."""
    signs = [sign for sign in project.runs_folder.glob(f"*{_ENDING}") if sign.stem.isdecimal()]
    return {int(sign.stem) for sign in signs if is_held(sign)}


def mark_dead(project: Project) -> None:
    """Mark the runs failed whose process has ended without a word."""
    for sign in project.runs_folder.glob(f"*{_ENDING}"):
        if sign.stem.isdecimal() and is_held(sign) is False:
            runs.mark_died(project.store, int(sign.stem))
            sign.unlink(missing_ok=True)
    for new in project.runs_folder.glob(f"*{_UNSIGNED}"):
        if is_held(new) is False:  # killed at the very beginning
            new.unlink(missing_ok=True)
    runs.mark_stale(project.store, datetime.now(UTC), alive=alive_now(project))


def _sign(project: Project, run_id: int) -> Path:
    return project.runs_folder / f"{run_id}{_ENDING}"


def _locked(sign: Path) -> int | None:
    """The handle of the locked file, which has its name only when it is locked; None without."""
    new = sign.with_suffix(_UNSIGNED)
    try:
        sign.parent.mkdir(exist_ok=True)
        handle = os.open(new, os.O_RDWR | os.O_CREAT, 0o666)
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
