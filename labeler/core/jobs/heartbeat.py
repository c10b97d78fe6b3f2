"""The heartbeat of a run: it writes progress to the run's row and reads requests to stop."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

import db.jobs
from db.errors import StoreError
from labeler.core.errors import Stopped
from labeler.core.jobs.liveness import hold_alive
from labeler.core.progress import Progress, silent
from labeler.core.project import Project

HEARTBEAT_SECONDS = 2.0
WRITE_SECONDS = 0.3


class Heartbeat:
    """Writer of a run's heartbeat and progress; it also reads requests to stop.

    A context manager; `progress` is passed to the work and raises `Stopped` when asked to.
    """

    def __init__(self, project: Project, run_id: int, watcher: Progress = silent) -> None:
        self._project = project
        self._run_id = run_id
        self._watcher = watcher
        self._latest: tuple[int, int, str] = (0, 0, "starting")
        self._curve: list[Any] | None = None
        self._written_at = float("-inf")
        self._stop = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)
        self._sign = ExitStack()

    def progress(self, done: int, total: int, what: str) -> None:
        """Record `done` of `total` steps of the phase `what`; raise `Stopped` when asked to."""
        new_phase = what != self._latest[2]
        self._latest = (done, total, what)
        if new_phase or time.monotonic() - self._written_at >= WRITE_SECONDS:
            with suppress(StoreError):  # Work that writes elsewhere goes on; the next beat tells.
                self._beat()
        self._watcher(done, total, what)
        if self._stop.is_set():
            raise Stopped(f"Stopped while {what}; what was finished is kept.")

    def show_curve(self, curve: list[Any]) -> None:
        """Set the loss curve so far; it is written with the next progress."""
        self._curve = curve

    def tell(self) -> None:
        """Write the last progress, which may be newer than the last heartbeat."""
        with suppress(StoreError):
            self._beat()

    def stop(self) -> None:
        """Ask the work to stop at its next progress; safe in a signal handler."""
        self._stop.set()

    def _beat(self) -> None:
        self._written_at = time.monotonic()
        curve = self._curve
        if db.jobs.heartbeat(self._project.store, self._run_id, *self._latest, curve=curve):
            self._stop.set()
        if self._curve is curve:
            self._curve = None

    def _keep_beating(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            try:
                self._beat()
            except StoreError:  # Busy for long; the next beat comes soon.
                continue

    def __enter__(self) -> Heartbeat:
        self._beat()
        self._thread.start()
        self._sign.enter_context(hold_alive(self._project, self._run_id))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with self._sign:
            self.tell()
