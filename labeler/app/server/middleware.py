"""What the app serves beside Streamlit's own pages: routes, their guard, and which project."""

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
    """The first match answers, and the last of the others takes whatever is left of /api/."""
    # Imported where they are used: they bring Streamlit, which `labeler app` loads late.
    from labeler.app.routes import contact_sheets, downloads

    return [*downloads.routes(), *contact_sheets.routes(), *routes()]


def make_app(before: Sequence[Middleware]) -> Any:
    """The app with `before` in front of it; a `streamlit.App`."""
    import streamlit as st

    return st.App(PAGE, routes=all_routes(), middleware=list(before))


def inner_middleware() -> list[Middleware]:
    """What stands before the app besides the guards."""
    return [Middleware(UploadLimit)]


def print_login() -> None:
    """Say whose login is in force, and whom it lets in."""
    for said in filter(None, (logins.in_force(), logins.unused())):
        click.echo(printable(said), err=True)
