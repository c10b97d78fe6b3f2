"""The process that looks at pictures for the Try page: it keeps the encoder loaded for a while.

Asked over its standard input, it answers on its standard output
(labeler.prediction.inference_worker.protocol). It ends by itself once nobody has asked for some
minutes, or when the app that started it is gone.
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
_Asked = tuple[dict[str, Any], bytes] | None
Load = Callable[[str], "Encoder"]


def serve(
    project: Project, asked: BinaryIO, answers: BinaryIO, load: Load, idle: float = IDLE_SECONDS
) -> None:
    """Answer until `asked` ends, or nothing has come for `idle` seconds.

    `load` gives an encoder by its identity; the last one is kept.
    """
    waiting: queue.Queue[_Asked] = queue.Queue()
    # It ends with `asked`, which the app closes as soon as it hears of the leaving.
    threading.Thread(target=_listen, args=(asked, waiting)).start()
    worker = _Worker(project, answers, load)
    while True:
        try:
            request = waiting.get(timeout=idle)
        except queue.Empty:
            send(answers, {"kind": "leaving"})
            return
        if request is None:
            return
        worker.answer(*request)


def _listen(asked: BinaryIO, waiting: queue.Queue[_Asked]) -> None:
    while (request := receive(asked)) is not None:
        waiting.put(request)
    waiting.put(None)


class _Worker:
    def __init__(self, project: Project, answers: BinaryIO, load: Load) -> None:
        self._project, self._answers, self._load = project, answers, load
        self._encoder: Encoder | None = None

    def answer(self, asked: dict[str, Any], data: bytes) -> None:
        """Whatever goes wrong with one picture is its answer."""
        try:
            said = {"kind": "found", "found": self._found(asked, data)}
        except Exception as error:
            why = (
                message_for(error)
                or f"It could not be looked at ({type(error).__name__}: {error})."
            )
            said = {"kind": "problem", "problem": why}
        send(self._answers, said | {"id": asked["id"]})

    def _found(self, asked: dict[str, Any], data: bytes) -> dict[str, Any]:
        # Imported where they are used: torch takes seconds to load, and what goes wrong
        # then is told to who asked.
        from labeler.prediction.inference_worker.predict_one import fitting_encoder, predict_one

        version = version_named(self._project, asked["version"])
        encoder = fitting_encoder(self._project, version, self._loaded(version.encoder))
        return predict_one(self._project, version, encoder, data, asked["name"]).as_values()

    def _loaded(self, identity: str) -> Encoder:
        if self._encoder is None or self._encoder.identity != identity:
            self._encoder = None  # Two of them may not fit into memory.
            send(self._answers, {"kind": "state", "state": "loading"})
            self._encoder = self._load(identity)
        send(self._answers, {"kind": "state", "state": "looking"})
        return self._encoder
