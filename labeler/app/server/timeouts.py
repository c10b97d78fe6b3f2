"""Close connections that wait too long, and the oldest where strangers hold too many.

Uvicorn waits for ever for a request's headers, and until a response is read. Here a connection on
which nothing is being answered, or whose response is not read, ends after `IDLE_SECONDS`, however
busily bytes trickle in; and where strangers have `MAX_IDLE`, the one that has waited the longest
ends for each new one. A browser sends its headers at once.
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

from labeler.app.security.connections import STATE_KEY, Connection

IDLE_SECONDS = 20.0  # from the first byte, or the last answer, to the end of the next headers
MAX_IDLE = 512  # connections on which nothing is being answered
# Connections accepted at once, before anything is read: far fewer than those that may wait, so that
# no connection is closed whose request has come already.
ACCEPT_BACKLOG = 64
# Bytes of an answer that the system holds for each connection, which asks for twice as many.
SEND_BUFFER_BYTES = 256 * 1024
IGNORED_MESSAGES = ("Invalid HTTP request received.", "Unsupported upgrade request.")


class IdleConnections:
    """The connections on which nothing is being answered, those that wait longest first.

    At most `most` of them; each ends after `seconds`.
    """

    def __init__(self, most: float, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self._ends: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, connection: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Start the wait of `connection`, or restart it; end the oldest if there are too many."""
        self.drop(connection)
        unread = connection.get_write_buffer_size()
        self._ends[connection] = loop.call_later(self.seconds, self._due, connection, loop, unread)
        if len(self._ends) > self.most:
            self._end(next(iter(self._ends)))

    def drop(self, connection: asyncio.Transport) -> None:
        """End the wait of `connection`: it is being answered now, or it is closed."""
        if (end := self._ends.pop(connection, None)) is not None:
            end.cancel()

    def _due(
        self, connection: asyncio.Transport, loop: asyncio.AbstractEventLoop, unread: int
    ) -> None:
        """End the connection, unless its last response is still being read."""
        if 0 < connection.get_write_buffer_size() < unread:
            self.add(connection, loop)
        else:
            self._end(connection)

    def _end(self, connection: asyncio.Transport) -> None:
        self.drop(connection)
        # What it has not read is not waited for, by the system neither.
        if (sock := connection.get_extra_info("socket")) is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.abort()


def _is_logged(record: logging.LogRecord) -> bool:
    """Return False for what strangers can send at will: it would fill the terminal."""
    return record.getMessage() not in IGNORED_MESSAGES


def http_protocol_with_timeouts(
    most: int = MAX_IDLE, seconds: float = IDLE_SECONDS
) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol class for HTTP with these limits, over all connections."""
    # Imported where they are used: it brings uvicorn, which only a server needs.
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    # Only strangers give way: else they could end the downloads of those who are in.
    anonymous, authenticated = IdleConnections(most, seconds), IdleConnections(math.inf, seconds)
    base: Any = AutoHTTPProtocol
    logging.getLogger("uvicorn.error").addFilter(_is_logged)

    class ProtocolWithTimeouts(base):
        is_lost = False
        has_form = False

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if (sock := transport.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            self.connection = Connection(
                form_begins=partial(self._set_form, True), form_ends=partial(self._set_form, False)
            )
            # Each request, and the web socket that it may become, has a copy of this.
            self.app_state: Any = {**self.app_state, STATE_KEY: self.connection}
            self._start_timer()

        def _start_timer(self) -> None:
            self._stop_timer()
            if not self.is_lost:
                idle = authenticated if self.connection.is_authenticated else anonymous
                idle.add(self.transport, self.loop)

        def _stop_timer(self) -> None:
            anonymous.drop(self.transport)
            authenticated.drop(self.transport)

        def _set_form(self, is_awaited: bool) -> None:
            self.has_form = is_awaited
            self._update_timer()

        def _update_timer(self) -> None:
            if self._is_answering():
                self._stop_timer()
            else:
                self._start_timer()

        def _is_answering(self) -> bool:
            answering = self.cycle is not None and not self.cycle.response_complete
            return answering and not self.has_form and not self.flow.write_paused

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Answered from now on, or a web socket with a protocol and a sign of life of its own.
            if self._is_answering() or self.transport.get_protocol() is not self:
                self._stop_timer()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._update_timer()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._update_timer()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # Also where it is to be closed: that waits until the rest is taken.
            self._update_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self.is_lost = True
            self._stop_timer()
            super().connection_lost(exc)

    return ProtocolWithTimeouts
