"""Send pictures from a page to the worker process that predicts them, and collect its answers.

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

MAX_BYTES = 50 << 20  # of one picture, as the page's drop zone has it
MAX_IMAGES = 12  # pictures
LOG_NAME = "try.log"
_TOO_LARGE = "It takes {:,} bytes, more than the limit of {:,}; make a smaller copy of it."
_ENDED = "The process that looks at pictures ended unexpectedly; try it again."


class WorkerProcess(Protocol):
    """A running worker: a pipe to it, and one from it."""

    @property
    def stdin(self) -> BinaryIO: ...
    @property
    def stdout(self) -> BinaryIO: ...
    def wait(self) -> Any: ...


@dataclass(eq=False)
class PredictionRequest:
    """One picture to predict; `result` or `problem` is set when it is answered.

    `result` has the fields of `labeler.prediction.inference_worker.predict_one.OnePrediction`.
    `data` is kept only until then.
    """

    name: str
    data: bytes = field(repr=False)
    version: str
    result: dict[str, Any] | None = None
    problem: str | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def answered(self) -> bool:
        """Return whether there is a result or a problem."""
        return self.done.is_set()

    def set_result(self, result: dict[str, Any] | None = None, problem: str | None = None) -> None:
        """Store the answer, and forget the picture's data."""
        self.result, self.problem, self.data = result, problem, b""
        self.done.set()


class InferenceClient:
    """Send pictures to the worker process, which is started with the first one."""

    def __init__(self, start: Callable[[], WorkerProcess]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._pending: dict[int, PredictionRequest] = {}
        self._queue: queue.Queue[tuple[int, PredictionRequest] | None] | None = None
        self._state = "off"
        self._answered_count = 0

    @property
    def answered_count(self) -> int:
        """Return how many requests were answered so far, with a result or a problem."""
        return self._answered_count

    @property
    def state(self) -> str:
        """Return the worker's state: off, starting, loading (the encoder) or looking."""
        return self._state

    def submit(self, name: str, data: bytes, version: str) -> PredictionRequest:
        """Queue a picture for prediction by the version `version`; returns at once."""
        if len(data) > MAX_BYTES:
            request = PredictionRequest(name, b"", version)
            request.set_result(problem=_TOO_LARGE.format(len(data), MAX_BYTES))
            return request
        request = PredictionRequest(name, data, version)
        with self._lock:
            number = next(self._numbers)
            self._pending[number] = request
            self._enqueue(number, request)
        return request

    def _enqueue(self, number: int, request: PredictionRequest) -> None:
        """Queue a request for the worker, starting it if there is none; the lock must be held."""
        if self._queue is None:
            self._state = "starting"
            try:
                worker = self._start()
            except OSError as error:
                self._state = "off"
                why = f"can't be started: {error.strerror}; try again."
                problem = f"What looks at pictures {why}"
                self._answer(self._pending.pop(number), problem=problem)
                return
            self._queue = queue.Queue()
            for work in (self._send, self._read_answers):
                threading.Thread(target=work, args=(worker, self._queue), daemon=True).start()
        self._queue.put((number, request))

    def _send(
        self, worker: WorkerProcess, requests: queue.Queue[tuple[int, PredictionRequest] | None]
    ) -> None:
        """Write one request after the other, each as soon as the worker reads it."""
        with suppress(OSError, ValueError):  # gone: who hears it says so
            while (waiting := requests.get()) is not None:
                number, request = waiting
                message = {"id": number, "name": request.name, "version": request.version}
                send(worker.stdin, message, request.data)
        with suppress(OSError):
            worker.stdin.close()

    def _read_answers(
        self, worker: WorkerProcess, requests: queue.Queue[tuple[int, PredictionRequest] | None]
    ) -> None:
        leaving = False
        with suppress(OSError, ValueError):
            while (answer := receive(worker.stdout)) is not None:
                message, _ = answer
                leaving = message["kind"] == "leaving"
                if leaving:
                    break
                self._handle(message)
        with self._lock:
            self._queue, self._state = None, "off"
            requests.put(None)
            unanswered, self._pending = self._pending, {}
            for number, request in unanswered.items():
                if leaving:  # It had gone before this one came.
                    self._pending[number] = request
                    self._enqueue(number, request)
                else:
                    self._answer(request, problem=_ENDED)
        worker.stdout.close()
        worker.wait()

    def _handle(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message["kind"] == "state":
                self._state = message["state"]
                return
            request = self._pending.pop(message["id"])
        self._answer(request, message.get("found"), message.get("problem"))

    def _answer(
        self,
        request: PredictionRequest,
        result: dict[str, Any] | None = None,
        problem: str | None = None,
    ) -> None:
        request.set_result(result, problem)
        self._answered_count += 1


def inference_client(project: Project) -> InferenceClient:
    """Return this process's client for the project."""
    return project.cache.get(
        "inference client", None, None, lambda: InferenceClient(lambda: _start_worker(project))
    )


def _start_worker(project: Project) -> WorkerProcess:
    """Start the worker in a session of its own: Ctrl-C in the terminal only closes its input."""
    with os.fdopen(opened_log(project.runs_folder / LOG_NAME, anew=True), "wb") as log:
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
