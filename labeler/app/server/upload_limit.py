"""Limit the bytes of all uploads together: Streamlit keeps them in memory.

One file is bounded by Streamlit (server.maxUploadSize); here it is all of them together, those of
every open page, and what is still being sent.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.app.security.refusals import refuse

UPLOAD_PATH = "/_stcore/upload_file/"
MAX_TOTAL_BYTES = 1_000_000_000  # bytes
TOO_MUCH = (
    "Too much lies on the pages already; take some of it off, or filter a folder in its place."
)


class UploadLimit:
    """Middleware that refuses an upload with which all would exceed `max_bytes`."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_TOTAL_BYTES) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.announced = 0  # bytes that are announced and not yet kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_upload(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdecimal()):
            await refuse(scope, receive, send, 411, "Say how long it is, with a Content-Length.")
            return
        size = int(length[:15])
        if uploaded_bytes() + self.announced + size > self.max_bytes:
            await refuse(scope, receive, send, 413, TOO_MUCH)
            return
        self.announced += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.announced -= size


def _is_upload(scope: Scope) -> bool:
    changes = scope["type"] == "http" and scope["method"] in ("PUT", "POST", "PATCH")
    return changes and scope["path"].startswith(UPLOAD_PATH)


def uploaded_bytes() -> int:
    """Return the bytes that Streamlit holds for all sessions; 0 where none is running."""
    # Imported where they are used: Streamlit loads while its page is sent.
    from streamlit import runtime
    from streamlit.runtime.stats import CacheStat

    if not runtime.exists():
        return 0
    # The manager of the running app, asked as Streamlit's own figures ask it.
    stats = runtime.get_instance().uploaded_file_mgr.get_stats()
    entries = (stat for kind in stats.values() for stat in kind)
    return sum(stat.byte_length for stat in entries if isinstance(stat, CacheStat))
