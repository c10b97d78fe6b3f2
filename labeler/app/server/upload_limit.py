"""How much may be dropped onto the pages: Streamlit keeps it in memory, however many files come.

One file is bounded by Streamlit (server.maxUploadSize); here it is all of them together, those of
every open page, and what is still on its way.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.app.security.refusals import refuse

UPLOADS = "/_stcore/upload_file/"
MOST = 1_000_000_000  # bytes
FULL = "Too much lies on the pages already; take some of it off, or filter a folder in its place."


class UploadLimit:
    """Middleware that refuses what would be too much."""

    def __init__(self, app: ASGIApp, most: int = MOST) -> None:
        self.app = app
        self.most = most
        self.coming = 0  # bytes that are announced and not yet kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _uploads(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdecimal()):
            await refuse(scope, receive, send, 411, "Say how long it is, with a Content-Length.")
            return
        size = int(length[:15])
        if kept_bytes() + self.coming + size > self.most:
            await refuse(scope, receive, send, 413, FULL)
            return
        self.coming += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.coming -= size


def _uploads(scope: Scope) -> bool:
    changes = scope["type"] == "http" and scope["method"] in ("PUT", "POST", "PATCH")
    return changes and scope["path"].startswith(UPLOADS)


def kept_bytes() -> int:
    """What Streamlit holds of all sessions; 0 where none is running."""
    # Imported where they are used: Streamlit loads while its page is sent.
    from streamlit import runtime
    from streamlit.runtime.stats import CacheStat

    if not runtime.exists():
        return 0
    # The manager of the running app, asked as Streamlit's own figures ask it.
    stats = runtime.get_instance().uploaded_file_mgr.get_stats()
    found = (stat for kind in stats.values() for stat in kind)
    return sum(stat.byte_length for stat in found if isinstance(stat, CacheStat))
