"""Assemble the app: the routes beside Streamlit's pages, and the middleware behind the guards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from starlette.middleware import Middleware

import labeler.app
from labeler.app.routes.json_api import routes
from labeler.app.security import logins
from labeler.app.server.upload_limit import UploadLimit
from labeler.core.text import printable

# It lies in a folder of its own: beside a folder called `pages`, Streamlit would take every file in
# there for a page and never run the frame around them.
PAGE = Path(labeler.app.__file__).parent / "frame" / "main.py"


def all_routes() -> list[Any]:
    """Return all routes; the first match answers, and the last takes what is left of /api/."""
    # Imported where they are used: they bring Streamlit, which `labeler app` loads late.
    from labeler.app.routes import contact_sheets, downloads

    return [*downloads.routes(), *contact_sheets.routes(), *routes()]


def make_app(before: Sequence[Middleware]) -> Any:
    """Return the app, a `streamlit.App`, with `before` in front of it."""
    import streamlit as st

    return st.App(PAGE, routes=all_routes(), middleware=list(before))


def inner_middleware() -> list[Middleware]:
    """Return the middleware that stands between the guards and the app."""
    return [Middleware(UploadLimit)]


def print_login_status() -> None:
    """Print whose login is accepted, and which people it lets in."""
    for message in filter(None, (logins.active_login_message(), logins.unused_login_message())):
        click.echo(printable(message), err=True)
