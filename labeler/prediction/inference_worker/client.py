"""Trying pictures out: a page asks, a process of its own looks at them and stays warm for a while.

Nothing here waits and nothing imports torch. Pictures are sent through a pipe and never written to
a disk.
"""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from labeler.core.files.atomic import opened_log
from labeler.core.jobs.child_process import command, start
from labeler.core.project import Project
from labeler.prediction.inference_worker.protocol import receive, send

MOST_BYTES = 50 << 20  # of one picture, as the page's drop zone has it
MOST_AT_ONCE = 12  # pictures
LOG = "try.log"
_TOO_LARGE = "It takes {:,} bytes, more than the limit of {:,}; make a smaller copy of it."
_ENDED = "The process that looks at pictures ended unexpectedly; try it again."


class WorkerProcess(Protocol):
    """A process that answers: a pipe to it, and one from it."""

    @property
    def stdin(self) -> BinaryIO: ...
    @property
    def stdout(self) -> BinaryIO: ...
    def wait(self) -> Any: ...


@dataclass(eq=False)
class PredictionRequest:
    """One picture that was asked about; `found` or `problem` comes when it is answered.

    `found` has the fields of `labeler.prediction.inference_worker.predict_one.OnePrediction`. Its
    data is kept only until then.
    """

    name: str
    data: bytes = field(repr=False)
    version: str
    found: dict[str, Any] | None = None
    problem: str | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def answered(self) -> bool:
        return self.done.is_set()

    def settle(self, found: dict[str, Any] | None = None, problem: str | None = None) -> None:
        self.found, self.problem, self.data = found, problem, b""
        self.done.set()


class InferenceClient:
    """Hands pictures to the helper process, which is started when there is something to ask."""

    def __init__(self, start: Callable[[], WorkerProcess]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._pending: dict[int, PredictionRequest] = {}
        self._line: queue.Queue[tuple[int, PredictionRequest] | None] | None = None
        self._state = "off"
        self._settled = 0

    @property
    def settled(self) -> int:
        """How many pictures were answered so far, with what was found or with a problem."""
        return self._settled

    @property
    def state(self) -> str:
        """off, starting, loading (the encoder) or looking."""
        return self._state

    def ask(self, name: str, data: bytes, version: str) -> PredictionRequest:
        """Have a picture looked at; returns at once."""
        if len(data) > MOST_BYTES:
            trial = PredictionRequest(name, b"", version)
            trial.settle(problem=_TOO_LARGE.format(len(data), MOST_BYTES))
            return trial
        trial = PredictionRequest(name, data, version)
        with self._lock:
            number = next(self._numbers)
            self._pending[number] = trial
            self._pass_on(number, trial)
        return trial

    def _pass_on(self, number: int, trial: PredictionRequest) -> None:
        """To the helper, a new one if there is none; holds the lock."""
        if self._line is None:
            self._state = "starting"
            try:
                helper = self._start()
            except OSError as error:
                self._state = "off"
                why = f"can't be started: {error.strerror}; try again."
                problem = f"What looks at pictures {why}"
                self._settle(self._pending.pop(number), problem=problem)
                return
            self._line = queue.Queue()
            for work in (self._send, self._hear):
                threading.Thread(target=work, args=(helper, self._line), daemon=True).start()
        self._line.put((number, trial))

    def _send(
        self, helper: WorkerProcess, line: queue.Queue[tuple[int, PredictionRequest] | None]
    ) -> None:
        """One picture after the other, each as soon as the helper takes it."""
        with suppress(OSError, ValueError):  # gone: who hears it says so
            while (waiting := line.get()) is not None:
                number, trial = waiting
                asked = {"id": number, "name": trial.name, "version": trial.version}
                send(helper.stdin, asked, trial.data)
        with suppress(OSError):
            helper.stdin.close()

    def _hear(
        self, helper: WorkerProcess, line: queue.Queue[tuple[int, PredictionRequest] | None]
    ) -> None:
        leaving = False
        with suppress(OSError, ValueError):
            while (heard := receive(helper.stdout)) is not None:
                message, _ = heard
                leaving = message["kind"] == "leaving"
                if leaving:
                    break
                self._take(message)
        with self._lock:
            self._line, self._state = None, "off"
            line.put(None)
            left, self._pending = self._pending, {}
            for number, trial in left.items():
                if leaving:  # It had gone before this one came.
                    self._pending[number] = trial
                    self._pass_on(number, trial)
                else:
                    self._settle(trial, problem=_ENDED)
        helper.stdout.close()
        helper.wait()

    def _take(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message["kind"] == "state":
                self._state = message["state"]
                return
            trial = self._pending.pop(message["id"])
        self._settle(trial, message.get("found"), message.get("problem"))

    def _settle(
        self,
        trial: PredictionRequest,
        found: dict[str, Any] | None = None,
        problem: str | None = None,
    ) -> None:
        trial.settle(found, problem)
        self._settled += 1


def inference_client(project: Project) -> InferenceClient:
    """The one of this project, in this process."""
    return project.cache.get(
        "inference client", None, None, lambda: InferenceClient(lambda: _spawn(project))
    )


def _spawn(project: Project) -> WorkerProcess:
    """In a session of its own: Ctrl-C in the app's terminal reaches it as the end of its input."""
    with os.fdopen(opened_log(project.runs_folder / LOG, anew=True), "wb") as log:
        process = start(
            command(project, "_try"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    return process  # type: ignore[return-value]
