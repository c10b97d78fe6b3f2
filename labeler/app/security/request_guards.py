"""Refuse requests that don't come from the app's own pages in the person's own browser.

The app listens on the person's machine, next to every web page they have open. Each request, for
Streamlit's routes and its web socket as for ours, passes the same middleware: a known Host, nothing
that another site's page asks for, writes only from the app's own Origin, and the token. Our own
routes accept JSON only, with the header `CSRF_HEADER`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labeler.app.security.hosts import HostPatterns, TrustedHosts, is_ip_address, split_host
from labeler.app.security.refusals import OWN_PATHS, is_page, refuse
from labeler.app.security.tickets import Ticket
from labeler.app.security.token_gate import Ready, TokenGate
from labeler.app.server.base_path import BasePath
from labeler.app.server.static_files import StaticFiles

CSRF_HEADER = "x-labeler"
DEFAULT_PORTS = {"http": "80", "https": "443"}
MAX_BODY_BYTES = 1_000_000  # bytes; a batch of events is some 30 KB

# Pages may load nothing from elsewhere: a name that slipped into some Markdown fetches nothing.
# Streamlit's own pages need inline styles, blob modules (components) and eval (charts).
CONTENT_SECURITY_POLICY = "; ".join(
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


def guard_middleware(
    allowed_hosts: Sequence[str],
    token: str | None = None,
    ready: Ready | None = None,
    *,
    any_ip: bool | None = None,
    proxy_hosts: Sequence[str] = (),
    base: str = "",
    ticket: Ticket | None = None,
) -> list[Middleware]:
    """Return the middleware that guards the app, outermost first.

    A visitor must send the `token`, or the `ticket`; with `token` None, every program on this
    machine is let in. `allowed_hosts` are names without a port; with `any_ip` (by default if there
    is a token) any IP address is accepted as Host as well. `proxy_hosts` are names of reverse
    proxies in front, and `base` is the path that they serve the app below. For `ready` see
    `TokenGate`.
    """
    any_ip = token is not None if any_ip is None else any_ip
    return [
        Middleware(SecurityHeaders),
        Middleware(BasePath, base=base),
        Middleware(TrustedHosts, names=allowed_hosts, any_ip=any_ip),
        Middleware(SameOriginOnly, proxy_hosts=proxy_hosts),
        Middleware(TokenGate, token=token, ready=ready, ticket=ticket),
        Middleware(StaticFiles),
    ]


def with_guards(
    app: ASGIApp,
    allowed_hosts: Sequence[str],
    token: str | None,
    ready: Ready | None = None,
    **more: Any,
) -> ASGIApp:
    """Return `app` behind `guard_middleware`; `more` are its keyword arguments."""
    for each in reversed(guard_middleware(allowed_hosts, token, ready, **more)):
        app = each.cls(app, *each.args, **each.kwargs)
    return app


class SecurityHeaders:
    """Middleware that adds the security headers to every response, those of errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        own_route = scope["path"].startswith(OWN_PATHS)
        started = False

        async def send_protected(message: Message) -> None:
            nonlocal started
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                _set_security_headers(MutableHeaders(scope=message), own_route)
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_protected)
        except Exception:
            # Else the server says so by itself, outside of this. It still logs what went wrong.
            if scope["type"] == "http" and not started:
                problem = "Something went wrong here; the app's terminal says what."
                await refuse(scope, receive, send_protected, 500, problem)
            raise


class SameOriginOnly:
    """Middleware that refuses requests of other origins than the app's own pages.

    A reverse proxy, called by one of `proxy_hosts`, may send another Host than that of the page.
    """

    def __init__(self, app: ASGIApp, proxy_hosts: Sequence[str] = ()) -> None:
        self.app = app
        self.proxy_hosts = HostPatterns(proxy_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and _came_through_proxy(
            self.proxy_hosts, Headers(scope=scope)
        ):
            scope = _with_origin_of_host(scope)
        refusal = None if scope["type"] == "lifespan" else _refusal(scope, Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await refuse(scope, receive, send, *refusal)


def _refusal(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    """Return status and message of the refusal; None for a request of the app's own pages."""
    # "none" is the person typing the address; no header at all is a tool on this machine, or a
    # browser without an encrypted connection: for those, Origin and cookie are checked.
    site = headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") and not _is_navigation(scope, headers):
        return 403, "Only the labeler's own pages may ask for this."
    reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    if reads and "origin" not in headers:
        return None
    if not _same_origin(headers):
        return 403, "The Origin is not this app."
    if reads:
        return None
    ours = scope["type"] == "http" and scope["path"].startswith(OWN_PATHS)
    return _write_refusal(headers) if ours else None


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """Return whether a link on another site opens a page; that site learns nothing by it."""
    fetch_metadata = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return reads and fetch_metadata == ("navigate", "document") and is_page(scope["path"])


def _same_origin(headers: Headers) -> bool:
    """Return whether Origin and Host are the same; browsers send the Origin with every write."""
    origins = headers.getlist("origin")
    origin = urlsplit(origins[0]) if len(origins) == 1 else None
    if origin is None or origin.scheme not in ("http", "https"):
        return False
    page = split_host(origin.netloc)
    return page is not None and page == split_host(headers.get("host", ""))


def _came_through_proxy(proxy_hosts: HostPatterns, headers: Headers) -> bool:
    """Return whether the page that asks is one that a reverse proxy shows, on its usual port.

    Another service may have the same name on another port, and browsers send our cookie along: so
    the host that is asked is that of the page. Some reverse proxies ask under an IP address or a
    bare name, which no page has in common with a name that stands in full among `proxy_hosts`.
    """
    origins = headers.getlist("origin")
    origin = urlsplit(origins[0]) if len(origins) == 1 else None
    page = split_host(origin.netloc) if origin else None
    host = split_host(headers.get("host", ""))
    if origin is None or page is None or host is None or page[1]:
        return False
    if page[0] == host[0]:
        return host[1] in ("", DEFAULT_PORTS.get(origin.scheme)) and page[0] in proxy_hosts
    return proxy_hosts.contains_exactly(page[0]) and ("." not in host[0] or is_ip_address(host[0]))


def _with_origin_of_host(scope: Scope) -> Scope:
    """Return the request with the Origin of its Host: Streamlit compares the two as well."""
    host = Headers(scope=scope).get("host", "").encode("latin-1")
    others = [(name, value) for name, value in scope["headers"] if name != b"origin"]
    return dict(scope, headers=[*others, (b"origin", b"http://" + host)])


def _write_refusal(headers: Headers) -> tuple[int, str] | None:
    """Return status and message if a request that changes something may not; None if it may."""
    if CSRF_HEADER not in headers:
        return 403, "The X-Labeler header is missing."
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return 415, "Send JSON, with Content-Type: application/json."
    length = headers.get("content-length", "")
    has_length = length.isascii() and length.isdecimal() and "transfer-encoding" not in headers
    if not has_length or int(length[:12]) > MAX_BODY_BYTES:
        return 413, f"Send at most {MAX_BODY_BYTES} bytes at a time, with a Content-Length."
    return None


def _set_security_headers(headers: MutableHeaders, own_route: bool) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # Streamlit invites other sites to some of its files; none has any business here.
    del headers["Access-Control-Allow-Origin"]
    if own_route:
        headers.setdefault("Cache-Control", "no-store")
