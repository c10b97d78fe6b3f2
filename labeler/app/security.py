"""Who may talk to the app's own routes: the person's own browser, on the app's own pages.

The app listens on the person's machine, next to every web page they have open. Streamlit guards its
web socket; the routes of this project get their guard here: a known Host, nothing that another
site's page asks for, and writes only as JSON with a header of ours and a matching Origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labeler.app.page_files import PageFiles

GUARDED = ("/api/", "/img/")
OUR_HEADER = "x-labeler"
LARGEST_BODY = 1_000_000  # bytes; a batch of events is some 30 KB

# Pages may load nothing from elsewhere: a name that slipped into some Markdown fetches nothing.
# Streamlit's own pages need inline styles, blob modules (components) and eval (charts).
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)


def middleware(allowed_hosts: Sequence[str]) -> list[Middleware]:
    """The app's middleware, outermost first; `allowed_hosts` are names without a port."""
    return [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False),
        Middleware(OwnPagesOnly),
        Middleware(PageFiles),
    ]


def guarded(app: ASGIApp, allowed_hosts: Sequence[str]) -> ASGIApp:
    """`app` behind that middleware."""
    for each in reversed(middleware(allowed_hosts)):
        app = each.cls(app, *each.args, **each.kwargs)
    return app


class OwnPagesOnly:
    """Refuses what did not come from the app's own pages and adds the protecting headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = scope["path"].startswith(GUARDED)

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                _protect(MutableHeaders(scope=message), guarded)
            await send(message)

        problem = _problem(scope["method"], Headers(scope=scope)) if guarded else None
        if problem is None:
            await self.app(scope, receive, send_protected)
        else:
            status, sentence = problem
            refusal = JSONResponse({"problem": sentence}, status_code=status)
            await refusal(scope, receive, send_protected)


def _problem(method: str, headers: Headers) -> tuple[int, str] | None:
    """Status and sentence of the refusal, or None for a request of the app's own pages."""
    # "none" is the person typing the address; no header at all is a tool on this machine.
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return 403, "Only the labeler's own pages may ask for this."
    return None if method in ("GET", "HEAD") else _write_problem(headers)


def _write_problem(headers: Headers) -> tuple[int, str] | None:
    """What a request that changes something lacks."""
    if OUR_HEADER not in headers:
        return 403, "The X-Labeler header is missing."
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return 415, "Send JSON, with Content-Type: application/json."
    if urlsplit(headers.get("origin", "")).netloc != headers.get("host", ""):
        return 403, "The Origin is not this app."
    if int(headers.get("content-length") or LARGEST_BODY + 1) > LARGEST_BODY:
        return 413, f"Send at most {LARGEST_BODY} bytes at a time, with a Content-Length."
    return None


def _protect(headers: MutableHeaders, guarded: bool) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Content-Security-Policy"] = CONTENT_POLICY
    if guarded:
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers.setdefault("Cache-Control", "no-store")
