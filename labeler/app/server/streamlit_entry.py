"""Guard the app where Streamlit itself was started: `streamlit run streamlit_app.py`."""

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

from labeler.app.security.hosts import is_loopback
from labeler.app.security.request_guards import guard_middleware
from labeler.app.security.tokens import TOKEN_VARIABLE
from labeler.app.server import launch, streamlit_settings
from labeler.app.server.middleware import inner_middleware, print_login_status
from labeler.core.errors import LabelerError
from labeler.core.text import printable

NO_TOKEN_OPTION = "--no-token"


def streamlit_guards() -> list[Middleware]:
    """Return the middleware for an app that Streamlit itself serves, by its settings.

    The address to open is printed. Settings that are unsafe end the program.
    """
    try:
        streamlit_settings.refuse_foreign_settings(launch.app_script())
        options = ("server.address", "server.port", "server.allowedHosts")
        return guards_for(*(st.get_option(name) for name in options))
    except LabelerError as error:
        sys.exit(str(error))


def guards_for(address: str | None, port: int, allowed_hosts: Sequence[str]) -> list[Middleware]:
    """Return the middleware for these settings; `address` None is every address of this machine."""
    options = launch.LaunchOptions(
        host=address or "0.0.0.0", token=NO_TOKEN_OPTION not in sys.argv[1:]
    )
    token = launch.required_token(options)
    if token is not None:
        shown_url = launch.url_with_token(
            launch.server_url(launch.resolve_ip(options.host), port), token
        )
        click.echo(printable(f"The app is open at {shown_url}"), err=True)
        click.echo(
            f"({TOKEN_VARIABLE} would state a token of your own; "
            f"-- {NO_TOKEN_OPTION} asks for none here.)",
            err=True,
        )
        print_login_status()
    names = list(allowed_hosts) or launch.allowed_hosts(options.host)
    before = guard_middleware(names, token, any_ip=not is_loopback(options.host))
    return [*before, *inner_middleware()]


@asynccontextmanager
async def tcp_nodelay_lifespan(_app: Any) -> AsyncIterator[None]:
    """Set TCP_NODELAY on the server's socket while the app is served (a lifespan of the app).

    Streamlit makes that socket without naming TCP as its protocol, and asyncio then leaves Nagle's
    algorithm on (RFC 896): the body, sent behind the headers, waits 40 ms for their
    acknowledgement. Connections inherit the option from the socket that accepts them.
    """
    for listening in filter(_is_listening_socket, gc.get_objects()):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield


def _is_listening_socket(thing: object) -> bool:
    # Streamlit hands out its socket nowhere.
    if type(thing) is not socket.socket or thing.fileno() < 0:
        return False
    inet = thing.family in (socket.AF_INET, socket.AF_INET6)
    return inet and bool(thing.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
