"""The process that predicts images for the Try page and keeps the encoder loaded meanwhile.

It reads requests from its standard input and answers on its standard output
(labeler.prediction.inference_worker.protocol). It ends after some minutes without a request, or
when the app that started it has ended.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from labeler.core.error_messages import message_for
from labeler.core.project import Project
from labeler.prediction.inference_worker.protocol import receive, send
from labeler.versions.activate import version_named

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder

IDLE_SECONDS = 600.0
_Request = tuple[dict[str, Any], bytes] | None
Load = Callable[[str], "Encoder"]


def serve(
    project: Project, requests: BinaryIO, answers: BinaryIO, load: Load, idle: float = IDLE_SECONDS
) -> None:
    """Answer until `requests` ends, or for `idle` seconds there was no request.

    `load` loads an encoder by its identity; the last one stays loaded.
    """
    pending: queue.Queue[_Request] = queue.Queue()
    # The thread ends with `requests`, which the app closes when it receives "leaving".
    threading.Thread(target=_listen, args=(requests, pending)).start()
    worker = _Worker(project, answers, load)
    while True:
        try:
            request = pending.get(timeout=idle)
        except queue.Empty:
            send(answers, {"kind": "leaving"})
            return
        if request is None:
            return
        worker.answer(*request)


def _listen(requests: BinaryIO, pending: queue.Queue[_Request]) -> None:
    while (request := receive(requests)) is not None:
        pending.put(request)
    pending.put(None)


class _Worker:
    """Answers requests with the encoder of the last one."""

    def __init__(self, project: Project, answers: BinaryIO, load: Load) -> None:
        self._project, self._answers, self._load = project, answers, load
        self._encoder: Encoder | None = None

    def answer(self, request: dict[str, Any], data: bytes) -> None:
        """Predict one image and send the result; any error becomes a `problem` message."""
        try:
            reply = {"kind": "found", "found": self._predict(request, data)}
        except Exception as error:
            why = (
                message_for(error)
                or f"It could not be looked at ({type(error).__name__}: {error})."
            )
            reply = {"kind": "problem", "problem": why}
        send(self._answers, reply | {"id": request["id"]})

    def _predict(self, request: dict[str, Any], data: bytes) -> dict[str, Any]:
        # Imported where they are used: torch takes seconds to load, and what goes wrong
        # then is told to who asked.

        from labeler.prediction.inference_worker.predict_one import checked_encoder, predict_one

        version = version_named(self._project, request["version"])
        encoder = checked_encoder(self._project, version, self._load_encoder(version.encoder))
        return predict_one(self._project, version, encoder, data, request["name"]).as_values()

    def _load_encoder(self, identity: str) -> Encoder:
        if self._encoder is None or self._encoder.identity != identity:
            self._encoder = None  # Two of them may not fit into memory.
            send(self._answers, {"kind": "state", "state": "loading"})
            self._encoder = self._load(identity)
        send(self._answers, {"kind": "state", "state": "looking"})
        return self._encoder
