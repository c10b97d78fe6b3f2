"""What guards the app where Streamlit itself was started: `streamlit run streamlit_app.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
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
    import streamlit as st

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
