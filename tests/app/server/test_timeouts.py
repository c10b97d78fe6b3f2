"""Protects the person from connections that never say what they want, by the thousand.

Headers that trickle in end the connection after a while; many such give way to each new one, and
who asks at once is answered. On real sockets, by the server that serves the app.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from labeler.app.security import connections
from labeler.app.server.timeouts import ACCEPT_BACKLOG, http_protocol_with_timeouts

FOR_EVER = 3600.0  # seconds
ASKED = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PART = 1 << 20
LARGE = 64 * PART  # bytes: more than any system takes for somebody who doesn't read
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await receive()  # the body, which takes its time
    if scope["path"] == "/whose":
        assert connections.account_of(scope) == "1000"
    if scope["path"] == "/form":
        connections.connection_of(scope).form_begins()
        await receive()
        await receive()
        connections.connection_of(scope).form_ends()
    if scope["path"] in ("/large", "/let-in"):
        connections.connection_of(scope).is_authenticated = scope["path"] == "/let-in"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(LARGE // PART):
            part = {"type": "http.response.body", "body": bytes(PART), "more_body": True}
            await send(part)
        await send({"type": "http.response.body", "body": b""})
        return
    length = (b"content-length", b"5")
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def served(most: int, seconds: float = FOR_EVER) -> Any:
    """A server with these limits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            hello,
            http=http_protocol_with_timeouts(most, seconds),
            backlog=ACCEPT_BACKLOG,
            lifespan="off",
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        there = Served(listening.getsockname()[1], server)
        try:
            yield there
        finally:
            for _, writer in there.opened:
                writer.transport.abort()
            server.should_exit = server.force_exit = True
            await running


@dataclass
class Served:
    port: int
    server: uvicorn.Server
    opened: list[Connection] = field(default_factory=list)

    async def connect(self) -> Connection:
        self.opened.append(await asyncio.open_connection("127.0.0.1", self.port))
        return self.opened[-1]

    async def trickle(self) -> Connection:
        """A connection on which a request has begun, and doesn't go on."""
        connection = await self.connect()
        connection[1].write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        return connection


async def answer(connection: Connection, said: bytes = ASKED) -> bytes:
    connection[1].write(said)
    head = await connection[0].readuntil(b"\r\n\r\n")
    return head.split(b"\r\n")[0] + await connection[0].readexactly(5)


async def has_ended(connection: Connection) -> bool:
    try:
        return await connection[0].read(1) == b""
    except ConnectionError:
        return True


def run(work: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(1) as pool:  # The browser tests keep a loop running in this thread.
        pool.submit(asyncio.run, asyncio.wait_for(work, 60)).result()


def test_those_who_wait_longest_give_way_and_the_others_are_answered() -> None:
    async def play() -> None:
        async with served(most=20) as there:
            slow = [await there.trickle() for _ in range(100)]
            for connection in slow[:70]:
                assert await has_ended(connection)
            for _ in range(5):
                new = await there.connect()
                assert await answer(new) == b"HTTP/1.1 200 OKhello"
                assert await answer(new) == b"HTTP/1.1 200 OKhello"  # on the same connection
            assert await answer(slow[-1], b"b\r\n\r\n") == b"HTTP/1.1 200 OKhello"

    run(play())


def test_whose_a_connection_is_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And for each connection anew: a port that is free again may be somebody else's."""
    looked: list[connections.Address] = []

    def look(client: connections.Address, _server: connections.Address) -> int:
        looked.append(client)
        return 1000

    monkeypatch.setattr(connections, "can_identify_accounts", lambda: True)
    monkeypatch.setattr(connections, "uid_of_connection", look)

    async def play() -> None:
        async with served(most=20) as there:
            for times in (1, 2):
                connection = await there.connect()
                for _ in range(3):
                    await answer(connection, ASKED.replace(b"/", b"/whose", 1))
                assert len(looked) == times

    run(play())


@pytest.mark.parametrize("first", [b"", ASKED])
def test_headers_that_never_end_end_the_connection(first: bytes) -> None:
    """Also those of a second request, which keeps the server from ending an idle connection."""

    async def play() -> None:
        async with served(most=20, seconds=0.05) as there:
            connection = await there.connect()
            if first:
                assert await answer(connection) == b"HTTP/1.1 200 OKhello"
            ended = asyncio.create_task(has_ended(connection))
            connection[1].write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
            while not ended.done():
                connection[1].write(b"b")
                await asyncio.sleep(0.01)  # the pace of the trickle; nothing depends on it
            assert ended.result()

    run(play())


def test_what_is_being_answered_is_waited_for() -> None:
    async def play() -> None:
        async with served(most=1, seconds=0.05) as there:
            said = b"POST /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\n"
            slow = await there.connect()
            slow[1].write(said)
            others = [await there.trickle() for _ in range(5)]
            assert all([await has_ended(other) for other in others])
            assert await answer(slow, b"x") == b"HTTP/1.1 200 OKhello"

    run(play())


def asking(path: str) -> bytes:
    return ASKED.replace(b"/ ", f"{path} ".encode(), 1)


async def begins_to_answer(connection: Connection, path: str) -> None:
    """Of which no more is read than the buffer takes by itself."""
    connection[1].write(asking(path))
    await connection[0].readuntil(b"\r\n\r\n")


async def is_cut_off(connection: Connection) -> bool:
    """Whether the answer ends before it is complete."""
    taken = 0
    try:
        while part := await connection[0].read(PART):
            taken += len(part)
            if taken >= LARGE:
                return False
    except ConnectionError:
        pass
    return True


def test_an_answer_that_nobody_takes_ends() -> None:
    async def play() -> None:
        async with served(most=20, seconds=0.2) as there:
            for ending in (b"", b"Connection: close\r\n"):
                slow = await there.connect()
                slow[1].write(asking("/large").replace(b"\r\n\r\n", b"\r\n" + ending + b"\r\n"))
                await slow[0].readuntil(b"\r\n\r\n")
                while there.server.server_state.connections:
                    await asyncio.sleep(0.01)  # between two looks
                assert await is_cut_off(slow)

    run(play())


def test_answers_that_nobody_takes_give_way_and_those_of_who_is_in_do_not() -> None:
    async def play() -> None:
        async with served(most=5) as there:
            person = await there.connect()
            await begins_to_answer(person, "/let-in")
            slow = []
            for _ in range(10):
                slow.append(await there.connect())
                await begins_to_answer(slow[-1], "/large")
            while len(there.server.server_state.connections) > 6:
                await asyncio.sleep(0.01)  # between two looks
            assert await is_cut_off(slow[0])
            assert not await is_cut_off(slow[-1])
            assert not await is_cut_off(person)

    run(play())


def test_a_form_that_trickles_gives_way() -> None:
    async def play() -> None:
        said = b"POST /form HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
        async with served(most=5) as there:
            slow = await there.connect()
            slow[1].write(said + b"x")
            others = [await there.connect() for _ in range(10)]
            for other in others:
                other[1].write(said + b"x")
            assert await has_ended(slow)

    run(play())


def test_what_is_no_request_is_not_told_in_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with served(most=20) as there:
            for nonsense in (b"nonsense\r\n\r\n", asking("/").replace(b"Host", b"H\0st")):
                connection = await there.connect()
                connection[1].write(nonsense)
                assert b"400" in await connection[0].readline()

    run(play())
    assert "Invalid" not in caplog.text
