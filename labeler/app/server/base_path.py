"""The app below a path of another server, as in https://nas.example.org/taste/.

A server in front may take the path away or leave it; both are fine. Everything behind sees paths
without it, and the pages name what they need relative to where they are.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.core.errors import LabelerError

KEY = "labeler.base"


class BasePath:
    """Middleware that takes `base` ("" or "/taste") off the path."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self.app = app
        self.base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.base or scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["path"] == self.base and scope["type"] == "http":
            # Else the page would look for its parts beside the path.
            query = scope.get("query_string", b"").decode("latin-1")
            there = f"{quote(self.base)}/{'?' if query else ''}{query}"
            await RedirectResponse(there, 307)(scope, receive, send)
        else:
            await self.app(_within(scope, self.base), receive, send)


def _within(scope: Scope, base: str) -> Scope:
    inside = dict(scope, **{KEY: quote(base)})
    if scope["path"].startswith(f"{base}/"):
        inside["path"] = scope["path"].removeprefix(base)
        inside["raw_path"] = quote(inside["path"]).encode("ascii")
    return inside


def public_path(scope: Scope, path: str) -> str:
    """The address, on this host, under which a browser reaches `path`."""
    return f"{scope.get(KEY, '')}{path}"


def as_base(text: str) -> str:
    """What was given as --base-path, as "" or "/taste"; raises `LabelerError` for what is none."""
    base = "/" + text.strip().strip("/")
    parts = base.split("/")[1:]
    fine = all(part.strip(".") and part.isprintable() for part in parts)
    if base == "/":
        return ""
    if not fine or any(mark in base for mark in "?#%\\ <>\"'"):
        raise LabelerError(f"--base-path {text} is no path such as /taste; write it like that.")
    return base
