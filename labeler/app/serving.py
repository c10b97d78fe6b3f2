"""What the app serves beside Streamlit's own pages: routes, their guard, and which project."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware import Middleware

from labeler import launching
from labeler.app import logins
from labeler.app.hosts import is_private
from labeler.app.project import current_project
from labeler.app.routes import routes
from labeler.app.security import middleware
from labeler.app.sockets import answering_at_once
from labeler.app.tokens import VARIABLE, chosen_token, fresh_token
from labeler.app.uploads import Uploads

__all__ = ["answering_at_once", "current_project", "guards", "middleware", "routes"]


def guards(address: str | None, allowed_hosts: Sequence[str]) -> list[Middleware]:
    """What stands before the app that listens on `address`, by Streamlit's settings.

    `labeler app` has stated the token already; started otherwise, a fresh one is told here.
    """
    from labeler.cli_output import tell

    token = chosen_token()
    if token is None and not is_private(address):
        token = fresh_token()
        tell(f"Others can reach this app. Add this to its address: /?token={token}")
        tell(f"({VARIABLE} would state a token of your own.)")
    if token is not None and (why := logins.unused()) is not None:
        tell(why)
    names = list(allowed_hosts) or launching.allowed_hosts(address or "0.0.0.0")
    return [*middleware(names, token), Middleware(Uploads)]
