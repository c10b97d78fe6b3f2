"""The guards' refusals: a sentence in the form that the client can read, sockets included."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

MODULES = "/assets/"  # where the pages' own code lies
# What a page asks for, ours and Streamlit's; everything else is a page to look at.
OURS = ("/api/", "/img/", MODULES)
PARTS = (*OURS, "/_stcore/", "/media/", "/component/", "/static/", "/app/static/")
BROKEN_RULE = 1008  # of RFC 6455: why a socket is closed


def is_page(path: str) -> bool:
    """Return whether the address is one that a person opens, not a page's code."""
    return not path.startswith(PARTS)


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    sentence: str,
    *,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer with `status` and `sentence`; a socket is refused before it is open."""
    if _is_socket_without_words(scope):
        await send({"type": "websocket.close", "code": BROKEN_RULE, "reason": sentence})
        return
    answer: Response = PlainTextResponse(sentence, status, headers)
    if scope["path"].startswith(OURS):
        answer = JSONResponse({"problem": sentence}, status, headers)
    await answer(scope, receive, send)


def _is_socket_without_words(scope: Scope) -> bool:
    """A server that can't say why answers 403 by itself."""
    said = "websocket.http.response" in scope.get("extensions", {})
    return scope["type"] == "websocket" and not said
