"""Answers that leave at once: without this every answer of the app waits some 40 ms for nothing.

Streamlit binds the server's socket itself, and asyncio then does not recognise it as TCP and leaves
Nagle's algorithm on (RFC 896): the body, written behind the headers, is held back until the browser
has acknowledged those, which it does after 40 ms. Pictures and saved scores come by such answers.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def answering_at_once(_app: Any) -> AsyncIterator[None]:
    """While the app is served; connections inherit the option from the socket that accepts them."""
    for listening in filter(_listens, gc.get_objects()):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield


def _listens(thing: object) -> bool:
    # The server's socket is bound before the app starts, and no interface hands it out.
    if type(thing) is not socket.socket or thing.fileno() < 0:
        return False
    inet = thing.family in (socket.AF_INET, socket.AF_INET6)
    return inet and bool(thing.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
