"""What the app serves beside Streamlit's own pages: routes, their guard, and which project."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

import labeler.app
from labeler.app.project import current_project
from labeler.app.routes.json_api import routes
from labeler.app.security import logins
from labeler.app.security.hosts import is_private
from labeler.app.security.request_guards import middleware
from labeler.app.security.tokens import VARIABLE
from labeler.app.server import launch, streamlit_settings
from labeler.app.server.tcp_nodelay import answering_at_once
from labeler.app.server.upload_limit import Uploads
from labeler.core.errors import LabelerError

__all__ = ["answering_at_once", "current_project", "guards", "middleware", "routes"]

# It lies in a folder of its own: beside a folder called `pages`, Streamlit would take every file in
# there for a page and never run the frame around them.
PAGE = Path(labeler.app.__file__).parent / "frame" / "main.py"
NO_TOKEN = "--no-token"


def all_routes() -> list[Any]:
    """The first match answers, and the last of the others takes whatever is left of /api/."""
    from labeler.app.routes import contact_sheets, downloads

    return [*downloads.routes(), *contact_sheets.routes(), *routes()]


def make_app(before: Sequence[Middleware]) -> Any:
    """The app with `before` in front of it; a `streamlit.App`."""
    import streamlit as st

    return st.App(PAGE, routes=all_routes(), middleware=list(before), lifespan=answering_at_once)


def behind_the_door() -> list[Middleware]:
    """What stands before the app besides the guards."""
    return [Middleware(Uploads)]


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
    from labeler.cli.output import tell

    wanted = launch.Wanted(host=address or "0.0.0.0", token=NO_TOKEN not in sys.argv[1:])
    token = launch.token_for(wanted)
    if token is not None:
        shown = launch.entrance(launch.url(launch.number_of(wanted.host), port), token)
        tell(f"The app is open at {shown}")
        tell(f"({VARIABLE} would state a token of your own; -- {NO_TOKEN} asks for none here.)")
        tell_of_login()
    names = list(allowed_hosts) or launch.allowed_hosts(wanted.host)
    before = middleware(names, token, everywhere=not is_private(wanted.host))
    return [*before, *behind_the_door()]


def tell_of_login() -> None:
    """Say whose login is in force, and whom it lets in."""
    from labeler.cli.output import tell

    for said in filter(None, (logins.in_force(), logins.unused())):
        tell(said)
