"""Protects the way in of the browser that the app opens: its address lies open to the machine.

What stands there is taken once, soon, and only from this account; the token never stands there.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from labeler.app.security.connections import (
    PROC_NET_TABLES,
    can_identify_accounts,
    uid_of_connection,
)
from labeler.app.security.request_guards import with_guards
from labeler.app.security.tickets import LIFETIME_SECONDS, Ticket
from labeler.app.server import launch

TOKEN = "a token of sixteen or more"
HOME = "http://127.0.0.1:8501"
CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 8501)
LINE = "   0: 0100007F:9C40 0100007F:2135 01 00000000:00000000 00:00000000 00000000 {} 0 1 1\n"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return table(tmp_path / "mine", os.getuid())


def table(path: Path, user: int) -> Path:
    path.write_text(f"  sl  local_address rem_address   st …\n{LINE.format(user)}".replace("…", ""))
    return path


def test_a_ticket_opens_once(mine: Path) -> None:
    ticket = Ticket(connections=[mine])
    assert not ticket.redeem("wrong", CLIENT, SERVER)
    assert not ticket.redeem("w\udcffrong", CLIENT, SERVER)
    assert ticket.redeem(ticket.value, CLIENT, SERVER)
    assert not ticket.redeem(ticket.value, CLIENT, SERVER)


def test_nobody_elses_connection_opens_and_it_is_not_used_up(tmp_path: Path, mine: Path) -> None:
    theirs = table(tmp_path / "theirs", os.getuid() + 1)
    ticket = Ticket(connections=[theirs])
    assert not ticket.redeem(ticket.value, CLIENT, SERVER)
    ticket._connections = [mine]
    assert not ticket.redeem(ticket.value, ("127.0.0.1", 40001), SERVER)  # another connection
    assert not ticket.redeem(ticket.value, ("192.0.2.1", 40000), SERVER)
    assert not ticket.redeem(ticket.value, None, SERVER)
    assert ticket.redeem(ticket.value, CLIENT, SERVER)


def test_a_connection_that_its_program_has_closed_is_nobodys(tmp_path: Path) -> None:
    """The system tells it as root's."""
    closed = tmp_path / "closed"
    closed.write_text("heads\n" + LINE.format(0).replace(" 0 1 1", " 0 0 1"))
    assert uid_of_connection(CLIENT, SERVER, [closed]) is None
    closed.write_text(closed.read_text() + LINE.format(7))
    assert uid_of_connection(CLIENT, SERVER, [closed]) == 7


def test_it_is_good_for_a_while(mine: Path) -> None:
    now = 0.0
    ticket = Ticket(lambda: now, [mine])
    now = LIFETIME_SECONDS + 1
    assert not ticket.redeem(ticket.value, CLIENT, SERVER)


@pytest.mark.skipif(sys.platform != "linux", reason="Others don't tell whose a connection is.")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_machine_tells_whose_a_connection_is(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("This machine has no such addresses.")
    with server, socket.create_connection(server.getsockname()[:2]) as client:
        there, here = client.getsockname()[:2], server.getsockname()[:2]
        for tables in (None, PROC_NET_TABLES):
            assert uid_of_connection(there, here, tables) == os.getuid()
            assert uid_of_connection((there[0], 1), here, tables) is None
            # Who listens on a port has no connection from it.
            assert uid_of_connection(here, there, tables) is None, "not accepted yet"
            assert uid_of_connection(here, (here[0], 1), tables) is None
    assert can_identify_accounts()


def test_the_browser_comes_in_with_it_and_the_token_is_not_in_its_address(mine: Path) -> None:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("inside")(scope, receive, send)

    ticket = Ticket(connections=[mine])
    first = launch.browser_url(HOME, TOKEN, ticket)
    assert TOKEN.replace(" ", "%20") not in first and TOKEN not in first
    app = with_guards(inside, ["127.0.0.1"], TOKEN, ticket=ticket)
    stranger = TestClient(app, HOME, client=("127.0.0.1", 9))
    assert stranger.get(first).status_code == 401

    async def served(scope: Any, receive: Any, send: Any) -> None:
        await app(dict(scope, server=SERVER), receive, send)

    person = TestClient(served, HOME, client=CLIENT)
    answer = person.get(first, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert person.get("/api/x").text == "inside"
    assert (
        person.get(first).status_code == 200
    )  # in once more by what the history of the browser has
    late = TestClient(served, HOME, client=CLIENT).get(first)
    assert (late.status_code, "terminal" in late.text) == (401, True)


def test_where_nobody_tells_the_address_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert launch.browser_url(HOME, TOKEN, None) == HOME
    assert launch.browser_url(HOME, None, None) == HOME
