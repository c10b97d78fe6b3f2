"""Who may talk to the app: the person's own browser, on the app's own pages.

The app listens on the person's machine, next to every web page they have open. Whatever comes in,
for Streamlit's routes and its web socket as for ours, passes the same guards: a known Host, nothing
that another site's page asks for, writes only from the app's own Origin, and the token. Ours take
JSON with a header of ours besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labeler.app.security.hosts import HostNames, KnownHosts, is_number, name_and_port
from labeler.app.security.refusals import OURS, is_page, refuse
from labeler.app.security.tickets import Ticket
from labeler.app.security.token_gate import Ready, TokenGate
from labeler.app.server.base_path import BasePath
from labeler.app.server.static_files import PageFiles

OUR_HEADER = "x-labeler"
USUAL_PORTS = {"http": "80", "https": "443"}
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


def middleware(
    allowed_hosts: Sequence[str],
    token: str | None = None,
    ready: Ready | None = None,
    *,
    everywhere: bool | None = None,
    proxied: Sequence[str] = (),
    base: str = "",
    ticket: Ticket | None = None,
) -> list[Middleware]:
    """The app's middleware, outermost first; `allowed_hosts` are names without a port.

    Whoever comes must show the `token`, or bring the `ticket`; where there is none, whoever is on
    this machine gets in. Where the app can be reached from `everywhere` (by default where there is
    a token), any number is fine as a host. `proxied` are names that another server in front may be
    called by, and `base` is the path there. For `ready` see `TokenGate`.
    """
    everywhere = token is not None if everywhere is None else everywhere
    return [
        Middleware(Protected),
        Middleware(BasePath, base=base),
        Middleware(KnownHosts, names=allowed_hosts, everywhere=everywhere),
        Middleware(OwnPagesOnly, proxied=proxied),
        Middleware(TokenGate, token=token, ready=ready, ticket=ticket),
        Middleware(PageFiles),
    ]


def guarded(
    app: ASGIApp,
    allowed_hosts: Sequence[str],
    token: str | None,
    ready: Ready | None = None,
    **more: Any,
) -> ASGIApp:
    """`app` behind that middleware."""
    for each in reversed(middleware(allowed_hosts, token, ready, **more)):
        app = each.cls(app, *each.args, **each.kwargs)
    return app


class Protected:
    """Adds the protecting headers to every answer, refusals and mistakes of ours included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        ours = scope["path"].startswith(OURS)
        started = False

        async def send_protected(message: Message) -> None:
            nonlocal started
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                _protect(MutableHeaders(scope=message), ours)
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_protected)
        except Exception:
            # Else the server says so by itself, outside of this. It still logs what went wrong.
            if scope["type"] == "http" and not started:
                sentence = "Something went wrong here; the app's terminal says what."
                await refuse(scope, receive, send_protected, 500, sentence)
            raise


class OwnPagesOnly:
    """Refuses what did not come from the app's own pages.

    A server in front, called by one of `proxied`, may ask under another host than the page's.
    """

    def __init__(self, app: ASGIApp, proxied: Sequence[str] = ()) -> None:
        self.app = app
        self.proxied = HostNames(proxied)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and _is_from(self.proxied, Headers(scope=scope)):
            scope = _as_asked(scope)
        problem = None if scope["type"] == "lifespan" else _problem(scope, Headers(scope=scope))
        if problem is None:
            await self.app(scope, receive, send)
        else:
            await refuse(scope, receive, send, *problem)


def _problem(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    """Status and sentence of the refusal, or None for a request of the app's own pages."""
    # "none" is the person typing the address; no header at all is a tool on this machine, or a
    # browser without an encrypted connection: for that the Origin and the door's cookie are there.
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") and not _follows_a_link(scope, headers):
        return 403, "Only the labeler's own pages may ask for this."
    reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    if reads and "origin" not in headers:
        return None
    if not _same_origin(headers):
        return 403, "The Origin is not this app."
    if reads:
        return None
    ours = scope["type"] == "http" and scope["path"].startswith(OURS)
    return _write_problem(headers) if ours else None


def _follows_a_link(scope: Scope, headers: Headers) -> bool:
    """A person comes here from another site, to one of the pages: nothing is told to that site."""
    opens = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    looks = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return looks and opens == ("navigate", "document") and is_page(scope["path"])


def _same_origin(headers: Headers) -> bool:
    """Whether the page that asks is of the host that is asked; browsers say so for every write."""
    origins = headers.getlist("origin")
    origin = urlsplit(origins[0]) if len(origins) == 1 else None
    if origin is None or origin.scheme not in ("http", "https"):
        return False
    asking = name_and_port(origin.netloc)
    return asking is not None and asking == name_and_port(headers.get("host", ""))


def _is_from(proxied: HostNames, headers: Headers) -> bool:
    """Whether the page that asks is one that a server in front shows, on its usual port.

    Another service may have the same name on another port, and browsers send our cookie along: so
    the host that is asked is that of the page. Some servers in front ask under a number or a bare
    name, which no page has in common with a name that stands in full among `proxied`.
    """
    origins = headers.getlist("origin")
    origin = urlsplit(origins[0]) if len(origins) == 1 else None
    asking = name_and_port(origin.netloc) if origin else None
    asked = name_and_port(headers.get("host", ""))
    if origin is None or asking is None or asked is None or asking[1]:
        return False
    if asking[0] == asked[0]:
        return asked[1] in ("", USUAL_PORTS.get(origin.scheme)) and asking[0] in proxied
    return proxied.has_in_full(asking[0]) and ("." not in asked[0] or is_number(asked[0]))


def _as_asked(scope: Scope) -> Scope:
    """The request as from a page of the host that it names: Streamlit compares the two as well."""
    host = Headers(scope=scope).get("host", "").encode("latin-1")
    others = [(name, value) for name, value in scope["headers"] if name != b"origin"]
    return dict(scope, headers=[*others, (b"origin", b"http://" + host)])


def _write_problem(headers: Headers) -> tuple[int, str] | None:
    """What a request that changes something lacks."""
    if OUR_HEADER not in headers:
        return 403, "The X-Labeler header is missing."
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return 415, "Send JSON, with Content-Type: application/json."
    length = headers.get("content-length", "")
    told = length.isascii() and length.isdecimal() and "transfer-encoding" not in headers
    if not told or int(length[:12]) > LARGEST_BODY:
        return 413, f"Send at most {LARGEST_BODY} bytes at a time, with a Content-Length."
    return None


def _protect(headers: MutableHeaders, ours: bool) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Content-Security-Policy"] = CONTENT_POLICY
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # Streamlit invites other sites to some of its files; none has any business here.
    del headers["Access-Control-Allow-Origin"]
    if ours:
        headers.setdefault("Cache-Control", "no-store")
