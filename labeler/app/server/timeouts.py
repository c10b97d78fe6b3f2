"""How long the server waits until somebody says what they want: thousands who don't change nothing.

Uvicorn waits for ever for a request's headers, and until an answer is read. Here a connection on
which nothing is being answered, or whose answer is not taken, ends after a while, however busily
bytes trickle in; and where strangers have many, the one that has waited the longest ends for each
new one. A browser says what it wants at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
from contextlib import suppress
from functools import partial
from typing import Any

from labeler.app.security.connections import KEY, Connection

SECONDS = 20.0  # from the first byte, or the last answer, to the end of the next headers
MOST = 512  # connections on which nothing is being answered
# Taken at once, before anything is read: far fewer than those that may wait, so that nobody has to
# give way whose request has come already.
TAKEN_AT_ONCE = 64


# Bytes of an answer that the system holds for each connection, which asks for twice as many.
UNREAD = 256 * 1024
NOISE = ("Invalid HTTP request received.", "Unsupported upgrade request.")


class IdleConnections:
    """The connections on which nothing is being answered, those that wait longest first."""

    def __init__(self, most: float, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self._ends: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, connection: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """It begins to wait, once more if it does already; what would be too many ends."""
        self.drop(connection)
        unread = connection.get_write_buffer_size()
        self._ends[connection] = loop.call_later(self.seconds, self._due, connection, loop, unread)
        if len(self._ends) > self.most:
            self._end(next(iter(self._ends)))

    def drop(self, connection: asyncio.Transport) -> None:
        """Something is being answered on it now, or it is gone."""
        if (end := self._ends.pop(connection, None)) is not None:
            end.cancel()

    def _due(
        self, connection: asyncio.Transport, loop: asyncio.AbstractEventLoop, unread: int
    ) -> None:
        """Who still takes the last answer may go on."""
        if 0 < connection.get_write_buffer_size() < unread:
            self.add(connection, loop)
        else:
            self._end(connection)

    def _end(self, connection: asyncio.Transport) -> None:
        self.drop(connection)
        # What it has not read is not waited for, by the system neither.
        if (there := connection.get_extra_info("socket")) is not None:
            with suppress(OSError):
                there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.abort()


def _is_news(record: logging.LogRecord) -> bool:
    """Whatever strangers send would fill the terminal, a line for each."""
    return record.getMessage() not in NOISE


def patient_protocol(most: int = MOST, seconds: float = SECONDS) -> type[asyncio.Protocol]:
    """Make uvicorn's protocol for HTTP with these limits, over all connections of a server."""
    # Imported where they are used: it brings uvicorn, which only a server needs.
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    # Only strangers give way: else they could end the downloads of those who are in.
    strangers, known = IdleConnections(most, seconds), IdleConnections(math.inf, seconds)
    usual: Any = AutoHTTPProtocol
    logging.getLogger("uvicorn.error").addFilter(_is_news)

    class Patient(usual):
        is_lost = False
        has_form = False

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if (there := transport.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD)
            self.known = Connection(
                waits=partial(self._form, True), ends=partial(self._form, False)
            )
            # Each request, and the web socket that it may become, has a copy of this.
            self.app_state: Any = {**self.app_state, KEY: self.known}
            self._wait()

        def _wait(self) -> None:
            self._go_on()
            if not self.is_lost:
                (known if self.known.is_in else strangers).add(self.transport, self.loop)

        def _go_on(self) -> None:
            strangers.drop(self.transport)
            known.drop(self.transport)

        def _form(self, is_awaited: bool) -> None:
            self.has_form = is_awaited
            self._look()

        def _look(self) -> None:
            if self._is_answering():
                self._go_on()
            else:
                self._wait()

        def _is_answering(self) -> bool:
            asked = self.cycle is not None and not self.cycle.response_complete
            return asked and not self.has_form and not self.flow.write_paused

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Answered from now on, or a web socket with a protocol and a sign of life of its own.
            if self._is_answering() or self.transport.get_protocol() is not self:
                self._go_on()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._look()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._look()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # Also where it is to be closed: that waits until the rest is taken.
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            self.is_lost = True
            self._go_on()
            super().connection_lost(exc)

    return Patient
