"""Refuse a request with a message in the form that the client can read, web sockets included."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

ASSETS_PATH = "/assets/"  # where the pages' own code lies
# What a page asks for, ours and Streamlit's; everything else is a page to look at.
OWN_PATHS = ("/api/", "/img/", ASSETS_PATH)
NON_PAGE_PATHS = (*OWN_PATHS, "/_stcore/", "/media/", "/component/", "/static/", "/app/static/")
POLICY_VIOLATION = 1008  # of RFC 6455: why a socket is closed


def is_page(path: str) -> bool:
    """Return whether the address is one that a person opens, not a page's code."""
    return not path.startswith(NON_PAGE_PATHS)


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer with `status` and `message`; a web socket is refused before it is accepted."""
    if _is_socket_without_denial_response(scope):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": message})
        return
    response: Response = PlainTextResponse(message, status, headers)
    if scope["path"].startswith(OWN_PATHS):
        response = JSONResponse({"problem": message}, status, headers)
    await response(scope, receive, send)


def _is_socket_without_denial_response(scope: Scope) -> bool:
    """Return whether it is a web socket whose server answers 403 by itself, without message."""
    has_response = "websocket.http.response" in scope.get("extensions", {})
    return scope["type"] == "websocket" and not has_response
