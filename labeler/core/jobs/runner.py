"""Run long work in background jobs: rows that pages and commands can watch, each with a process.

The row comes first, and the store allows one active run of a kind: a second start joins the first.
The process writes a heartbeat while it works; a run without one is marked failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import db.jobs
from db.errors import StoreError
from db.records import Run
from labeler.core.error_messages import message_for
from labeler.core.errors import BadInput, LabelerError, Stopped
from labeler.core.files.atomic import opened_log
from labeler.core.jobs.child_process import command, start
from labeler.core.jobs.heartbeat import Heartbeat
from labeler.core.jobs.liveness import create_alive_lock, living_run_ids, mark_dead
from labeler.core.progress import Progress, silent
from labeler.core.project import Project

# What there is to run; what each kind does is handed to `work`.
KINDS = ("import", "embed", "train", "export", "adopt", "predict", "backup", "doctor")
FOLLOW_SECONDS = 0.3
RETRY_SECONDS, RETRY_LIMIT_SECONDS = 2.0, 600.0  # seconds, to write down how a run has ended
JOINED = ("train", "embed")
# (the sentence for the run's row, the id of the version that it made)
Outcome = tuple[str, int | None]
Job = Callable[[Project, dict[str, Any], Heartbeat, Any], Outcome]
RUN_NAMES = {"predict": "filtering", "adopt": "adding of a head"}


def start_run(project: Project, kind: str, params: dict[str, Any]) -> Run:
    """Start a run of `kind` (one of KINDS) in the background, or join the active one.

    Trainings and embeddings are joined whatever they were started with: they are about all images.
    `params` for import: paths (absolute), source, expect ([low, high]), follow_links, embed
    (default true); for train: recipe, note; for adopt: path (absolute) and what
    `labeler.versions.adopt.adopt` takes. Raises `BadInput` if an import, export, … of something
    else is going on, and `LabelerError` if no process can be started.
    """
    if kind not in KINDS:
        raise BadInput(f"There are no runs of the kind {kind}; it is one of {', '.join(KINDS)}.")
    mark_dead(project)
    run, started = db.jobs.start(project.store, kind, params, alive=living_run_ids(project))
    if not started:
        if kind not in JOINED and not _is_same(params, run.params):
            run_name = RUN_NAMES.get(kind, kind)
            raise BadInput(f"Another {run_name} is running; start this one when it is through.")
        return run
    alive_lock = create_alive_lock(project, run.id)
    try:
        process = _spawn(project, run.id, alive_lock)
    except OSError as error:
        message = f"The {kind} run could not be started: {error.strerror}; try again."
        db.jobs.finish(project.store, run.id, "failed", message)
        raise LabelerError(message) from error
    finally:
        if alive_lock is not None:
            os.close(alive_lock)
    db.jobs.set_pid(project.store, run.id, process.pid)
    threading.Thread(target=_reap, args=(project, run.id, process), daemon=True).start()
    return db.jobs.get(project.store, run.id) or run


def _is_same(params: dict[str, Any], kept: dict[str, Any]) -> bool:
    """Compared as they are kept: as JSON, where a tuple becomes a list."""
    return bool(json.loads(json.dumps(params)) == kept)


def begin(project: Project, kind: str, params: dict[str, Any]) -> tuple[Run, bool]:
    """Make a run for this process to `work` on; False: one is active, `follow` it instead."""
    mark_dead(project)
    return db.jobs.start(project.store, kind, params, os.getpid(), alive=living_run_ids(project))


def follow(
    project: Project,
    run_id: int,
    progress: Progress = silent,
    pause: Callable[[], None] = lambda: time.sleep(FOLLOW_SECONDS),
) -> Run:
    """Watch another process's run until it ends, also by dying; returns its row as it ended."""
    while True:
        mark_dead(project)
        run = _existing(project, run_id)
        if run.state != "active":
            return run
        progress(run.done, run.total, run.what)
        pause()


def has_died(run: Run) -> bool:
    """Return whether its process ended without writing so: killed, or by a power cut."""
    return run.state == "failed" and run.message == db.jobs.DIED


def log_file(project: Project, run_id: int) -> Path:
    """Return the path of the run's log."""
    return project.runs_folder / f"{run_id}.log"


def _spawn(project: Project, run_id: int, sign: int | None) -> subprocess.Popen[bytes]:
    """Start the run's process in a session of its own: it outlives the page and the terminal.

    Linux desktops divide the processor among sessions first. As one of them, at the usual priority,
    the run takes nothing from the app's part and gets as much as any other busy program.
    The process has the run's `sign` of life from its first moment on.
    """
    with os.fdopen(opened_log(log_file(project, run_id)), "ab") as log:
        return start(
            command(project, "_run", str(run_id)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=() if sign is None else (sign,),
        )


def _reap(project: Project, run_id: int, process: subprocess.Popen[bytes]) -> None:
    """Wait for the process, so that it leaves no zombie, and say so if it died at its work."""
    code = process.wait()
    try:
        run = db.jobs.get(project.store, run_id)
        if run is not None and run.state == "active":
            message = f"The {run.kind} run ended unexpectedly (exit code {code}); start it again."
            db.jobs.finish(project.store, run_id, "failed", message)
    except StoreError:
        return  # The project is closed or gone; the stale heartbeat tells the next one who looks.


def work(
    project: Project,
    run_id: int,
    jobs: Mapping[str, Job],
    *,
    progress: Progress = silent,
    encoder: Any = None,
    on_start: Callable[[Heartbeat], None] | None = None,
    again: Callable[[], bool] = lambda: False,
) -> Run:
    """Do the run's work here and now, and return its row as it ended: done, failed or stopped.

    `jobs` has the function of each kind.
    `encoder` is for tests and callers that have one loaded; `on_start` gets the heartbeat, to tie a
    signal to its `stop`; `again` is asked whether to try once more where how it ended can't be
    written, as on a full disk. Raises `BadInput` if there is no such active run, and lets
    KeyboardInterrupt pass once the row says stopped.
    """
    run = db.jobs.get(project.store, run_id)
    if run is None or run.state != "active":
        raise BadInput(f"There is no active run {run_id}; start one with: labeler train")
    finish = partial(db.jobs.finish, project.store, run_id)
    with Heartbeat(project, run_id, progress) as heartbeat:
        if on_start is not None:
            on_start(heartbeat)
        try:
            message, version_id = jobs[run.kind](project, run.params, heartbeat, encoder)
            state = "done"
        except (Stopped, KeyboardInterrupt) as stop:
            _write(partial(finish, "stopped", str(stop) or "Stopped."), again)
            if isinstance(stop, KeyboardInterrupt):
                raise
            return _existing(project, run_id)
        except Exception as error:
            state, version_id, message = "failed", None, _failure(project, run_id, error)
        # While the heartbeat runs: else the run looks dead to others.
        heartbeat.tell()
        _write(partial(finish, state, message, version_id), again)
    return _existing(project, run_id)


def _write(what: Callable[[], None], again: Callable[[], bool]) -> None:
    while True:
        try:
            return what()
        except StoreError:
            if not again():
                raise


def retry_until_written() -> Callable[[], bool]:
    """Return the `again` of `work`: it waits before each try, for at most `RETRY_LIMIT_SECONDS`."""
    started = time.monotonic()

    def again() -> bool:
        time.sleep(RETRY_SECONDS)
        return time.monotonic() - started < RETRY_LIMIT_SECONDS

    return again


def _existing(project: Project, run_id: int) -> Run:
    run = db.jobs.get(project.store, run_id)
    if run is None:
        raise BadInput(f"Run {run_id} is gone from {project.folder}; start it again.")
    return run


def _failure(project: Project, run_id: int, error: Exception) -> str:
    """Return the sentence for the row; the traceback goes to the run's log."""
    log = log_file(project, run_id)
    with suppress(OSError):  # The same full disk must not take the sentence, too.
        opened = opened_log(log)
        with os.fdopen(opened, "a", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exception(error, file=file)
    return message_for(error) or f"{type(error).__name__}: {error}; the details are in {log}."
