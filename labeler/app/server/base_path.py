"""Serve the app below a path of a reverse proxy, as in https://nas.example.org/taste/.

A proxy may take the path away or leave it; both are fine. The app sees paths without it, and the
pages name what they need relative to where they are.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.core.errors import LabelerError

BASE_KEY = "labeler.base"


class BasePath:
    """Middleware that removes `base` ("" or "/taste") from the path."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self.app = app
        self.base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.base or scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["path"] == self.base and scope["type"] == "http":
            # Else the page would look for its parts beside the path.
            query = scope.get("query_string", b"").decode("latin-1")
            address = f"{quote(self.base)}/{'?' if query else ''}{query}"
            await RedirectResponse(address, 307)(scope, receive, send)
        else:
            await self.app(_without_base(scope, self.base), receive, send)


def _without_base(scope: Scope, base: str) -> Scope:
    inside = dict(scope, **{BASE_KEY: quote(base)})
    if scope["path"].startswith(f"{base}/"):
        inside["path"] = scope["path"].removeprefix(base)
        inside["raw_path"] = quote(inside["path"]).encode("ascii")
    return inside


def public_path(scope: Scope, path: str) -> str:
    """Return the address, on this host, under which a browser reaches `path`."""
    return f"{scope.get(BASE_KEY, '')}{path}"


def parse_base_path(text: str) -> str:
    """Return the value of --base-path as "" or "/taste"; raise `LabelerError` if it is no path."""
    base = "/" + text.strip().strip("/")
    parts = base.split("/")[1:]
    fine = all(part.strip(".") and part.isprintable() for part in parts)
    if base == "/":
        return ""
    if not fine or any(mark in base for mark in "?#%\\ <>\"'"):
        raise LabelerError(f"--base-path {text} is no path such as /taste; write it like that.")
    return base
