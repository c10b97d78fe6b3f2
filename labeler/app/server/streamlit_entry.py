"""What guards the app where Streamlit itself was started: `streamlit run streamlit_app.py`."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click
import streamlit as st
from starlette.middleware import Middleware

from labeler.app.security.hosts import is_private
from labeler.app.security.request_guards import middleware
from labeler.app.security.tokens import VARIABLE
from labeler.app.server import launch, streamlit_settings
from labeler.app.server.middleware import inner_middleware, print_login
from labeler.core.errors import LabelerError
from labeler.core.text import printable

NO_TOKEN = "--no-token"


def streamlit_guards() -> list[Middleware]:
    """What stands before the app where Streamlit itself was started, by its settings.

    The address that lets in is told here. What speaks against starting ends the program.
    """
    try:
        streamlit_settings.refuse_others(launch.script())
        options = ("server.address", "server.port", "server.allowedHosts")
        return guards(*(st.get_option(name) for name in options))
    except LabelerError as error:
        sys.exit(str(error))


def guards(address: str | None, port: int, allowed_hosts: Sequence[str]) -> list[Middleware]:
    """Those guards for these settings; `address` None is every address of this machine."""
    wanted = launch.LaunchOptions(host=address or "0.0.0.0", token=NO_TOKEN not in sys.argv[1:])
    token = launch.token_for(wanted)
    if token is not None:
        shown = launch.entrance_url(launch.url(launch.number_of(wanted.host), port), token)
        click.echo(printable(f"The app is open at {shown}"), err=True)
        click.echo(
            f"({VARIABLE} would state a token of your own; -- {NO_TOKEN} asks for none here.)",
            err=True,
        )
        print_login()
    names = list(allowed_hosts) or launch.allowed_hosts(wanted.host)
    before = middleware(names, token, everywhere=not is_private(wanted.host))
    return [*before, *inner_middleware()]


@asynccontextmanager
async def with_tcp_nodelay(_app: Any) -> AsyncIterator[None]:
    """Set TCP_NODELAY on the server's socket while the app is served (a lifespan of the app).

    Streamlit makes that socket without naming TCP as its protocol, and asyncio then leaves Nagle's
    algorithm on (RFC 896): the body, sent behind the headers, waits 40 ms for their
    acknowledgement. Connections inherit the option from the socket that accepts them.
    """
    for listening in filter(_listens, gc.get_objects()):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield


def _listens(thing: object) -> bool:
    # Streamlit hands out its socket nowhere.
    if type(thing) is not socket.socket or thing.fileno() < 0:
        return False
    inet = thing.family in (socket.AF_INET, socket.AF_INET6)
    return inet and bool(thing.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
