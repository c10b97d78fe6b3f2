"""How long the server waits until somebody says what they want: thousands who don't change nothing.

Uvicorn waits for ever for a request's headers. Here a connection on which nothing is being answered
ends after a while, however busily bytes trickle in; and where there are many, the one that has
waited the longest ends for each new one. A browser says what it wants at once.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from labeler.app.connections import KEY, Connection

SECONDS = 20.0  # from the first byte, or the last answer, to the end of the next headers
MOST = 512  # connections on which nothing is being answered
# Taken at once, before anything is read: far fewer than those that may wait, so that nobody has to
# give way whose request has come already.
TAKEN_AT_ONCE = 64


class Waiting:
    """The connections on which nothing is being answered, those that wait longest first."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self._ends: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, connection: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """It begins to wait, once more if it does already; what would be too many ends."""
        self.drop(connection)
        self._ends[connection] = loop.call_later(self.seconds, self._end, connection)
        if len(self._ends) > self.most:
            self._end(next(iter(self._ends)))

    def drop(self, connection: asyncio.BaseTransport) -> None:
        """Something is being answered on it now, or it is gone."""
        if (end := self._ends.pop(connection, None)) is not None:
            end.cancel()

    def _end(self, connection: Any) -> None:
        self.drop(connection)
        connection.abort()  # What it has not read is not waited for.


@lru_cache(maxsize=4)
def patient_protocol(most: int = MOST, seconds: float = SECONDS) -> type[asyncio.Protocol]:
    """Uvicorn's protocol for HTTP with these limits, over all connections of the process."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    waiting = Waiting(most, seconds)
    usual: Any = AutoHTTPProtocol

    class Patient(usual):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            # Each request, and the web socket that it may become, has a copy of this.
            self.app_state: Any = {**self.app_state, KEY: Connection()}
            waiting.add(transport, self.loop)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Answered from now on, or a web socket with a protocol and a sign of life of its own.
            asked = self.cycle is not None and not self.cycle.response_complete
            if asked or self.transport.get_protocol() is not self:
                waiting.drop(self.transport)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self.transport.is_closing():
                waiting.add(self.transport, self.loop)

        def connection_lost(self, exc: Exception | None) -> None:
            waiting.drop(self.transport)
            super().connection_lost(exc)

    return Patient
