"""Require the token of this start for every request, from this machine as from others.

A visitor sends it once, in the address or in the form of our page; it is exchanged for a cookie,
and the address that stays in the browser is without it. Streamlit's own login is accepted as well,
where it is configured, and the browser that this program starts sends a ticket
(`labeler.app.security.tickets`).
"""

from __future__ import annotations

import asyncio
import html
import math
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl, quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.app.security import logins, tickets
from labeler.app.security.connections import account_of, connection_of
from labeler.app.security.hosts import is_loopback, split_host
from labeler.app.security.refusals import is_page, refuse
from labeler.app.security.tokens import (
    UNGUESSABLE_LENGTH,
    GuessRateLimit,
    account_in_cookie,
    cookie_value,
    token_matches,
)
from labeler.app.server.base_path import public_path

Ready = Callable[[], Awaitable[object]]
TOKEN_FIELD = "token"  # in an address and in the form
FORM_PATH = "/token"  # where the form is sent
MAX_FORM_BYTES = 8000  # bytes
FORM_TIMEOUT = 10.0  # that it may take to arrive
TOKEN_MISSING = (
    "The token is missing: open the address that the terminal showed when the app started."
)
TICKET_USED = "That address opened the app once; now take the one that the terminal shows."
TOKEN_WRONG = "That is not the token."
LOCAL_ONLY = "The app was started for its own machine alone; labeler app --host lets others in."


class TokenGate:
    """Middleware that lets in visitors who have sent `token`; with None, programs of this machine.

    Others wait until `ready`: the login is Streamlit's, which may be loading in another thread.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        ready: Ready | None = None,
        ticket: tickets.Ticket | None = None,
    ) -> None:
        self.app = app
        self.token = token
        self.ready = ready
        self.ticket = ticket
        self.guesses = GuessRateLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif self.token is None:
            await self._require_local(scope, receive, send)
        else:
            await self._require_token(scope, receive, send, self.token)

    async def _require_token(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        has_cookie = _has_cookie(scope, token)
        if not has_cookie and self.ready is not None:
            await self.ready()
        if (response := await self._exchange(scope, receive, token)) is not None:
            await response(scope, receive, send)
        elif has_cookie or await run_in_threadpool(logins.is_allowed, scope):
            connection_of(scope).is_authenticated = True
            await self.app(scope, receive, send)
        elif _is_page_view(scope):
            await _token_page(scope, 401, "")(scope, receive, send)
        else:
            headers = {"Cache-Control": "no-store"}
            await refuse(scope, receive, send, 401, TOKEN_MISSING, headers=headers)

    async def _require_local(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse requests to an address that other machines can reach, whatever was configured."""
        reached = scope.get("server")
        if reached is None or is_loopback(reached[0]):
            await self.app(scope, receive, send)
        else:
            await refuse(scope, receive, send, 403, LOCAL_ONLY)

    async def _exchange(self, scope: Scope, receive: Receive, token: str) -> Response | None:
        """Return the cookie for a token or a ticket, or our page again; None if none was sent."""
        if scope["type"] != "http":
            return None
        request = Request(scope, receive)
        if request.method == "POST" and scope["path"] == FORM_PATH:
            connection = connection_of(scope)
            connection.form_begins()
            fields = await _read_form(request)
            connection.form_ends()
            return self._answer_token(request, token, *fields)
        if request.method == "GET" and tickets.TICKET_FIELD in request.query_params:
            return self._answer_ticket(request, token)
        if request.method == "GET" and TOKEN_FIELD in request.query_params:
            onwards = _url_without_token(request)
            return self._answer_token(request, token, request.query_params[TOKEN_FIELD], onwards)
        return None

    def _answer_token(self, request: Request, token: str, shown: str, onwards: str) -> Response:
        scope = request.scope
        if _has_cookie(scope, token):  # An old address, in a browser that is in already.
            return RedirectResponse(public_path(scope, onwards), 303)
        guess_key = _guess_key(scope) if len(token) < UNGUESSABLE_LENGTH else ""
        wait = self.guesses.wait(guess_key) if guess_key else 0.0
        if wait:
            return _token_page(
                scope, 429, _retry_message(wait), onwards, {"Retry-After": _seconds(wait)}
            )
        if token_matches(shown, token):
            return _redirect_with_cookie(scope, onwards, token)
        if guess_key:
            self.guesses.record_failure(guess_key)
        return _token_page(scope, 401, TOKEN_WRONG, onwards)

    def _answer_ticket(self, request: Request, token: str) -> Response:
        scope, onwards = request.scope, _url_without_token(request)
        if _has_cookie(scope, token):
            return RedirectResponse(public_path(scope, onwards), 303)
        shown = request.query_params[tickets.TICKET_FIELD]
        if self.ticket is not None and self.ticket.redeem(
            shown, scope.get("client"), scope.get("server")
        ):
            return _redirect_with_cookie(scope, onwards, token)
        return _token_page(scope, 401, TICKET_USED, onwards)


async def _read_form(request: Request) -> tuple[str, str]:
    """Return the token in our form and the path its page leads to; ("", "/") for any other body."""
    body = b""
    try:
        async with asyncio.timeout(FORM_TIMEOUT):
            async for part in request.stream():
                body += part
                if len(body) > MAX_FORM_BYTES:
                    return "", "/"
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=4))
    except (ValueError, ClientDisconnect, TimeoutError):
        return "", "/"
    return fields.get(TOKEN_FIELD, "").strip(), _local_path(fields.get("onwards", ""))


def _guess_key(scope: Scope) -> str:
    """Return whose wrong tokens are counted together: the account, else the address.

    By account, wrong tokens of another account of this machine lock nobody else out.
    """
    account, client = account_of(scope), scope.get("client")
    return f"account {account}" if account else (client[0] if client else "nobody")


def _url_without_token(request: Request) -> str:
    """Return the path and query of the request, without token and ticket."""
    ours = (TOKEN_FIELD, tickets.TICKET_FIELD)
    rest = [pair for pair in request.query_params.multi_items() if pair[0] not in ours]
    # Nobody can look at where the form is sent.
    path = "/" if request.scope["path"] == FORM_PATH else _local_path(quote(request.scope["path"]))
    return f"{path}?{urlencode(rest)}" if rest else path


def _local_path(address: str) -> str:
    """Return `address` as a path of this app, whatever the form says: never another host."""
    printable = "".join(letter for letter in address if "!" <= letter <= "~")
    return "/" + printable.replace("\\", "/").lstrip("/")


def _redirect_with_cookie(scope: Scope, onwards: str, token: str) -> Response:
    """Return a redirect to `onwards` that sets the cookie."""
    there = public_path(scope, onwards)
    response = RedirectResponse(there, 303, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        _cookie_name(scope),
        cookie_value(token, account_of(scope)),
        httponly=True,
        samesite="strict",
        secure=scope.get("scheme") in ("https", "wss"),
    )
    return response


def _cookie_name(scope: Scope) -> str:
    """Return the cookie's name, by port: browsers send each app of a machine all cookies."""
    named = split_host(Headers(scope=scope).get("host", ""))
    return f"labeler-{(named and named[1]) or 'usual'}"


def _has_cookie(scope: Scope, token: str) -> bool:
    """Return whether the request carries a cookie of `token`; another app's may have the same name.

    It must come from the account that it was given to: else it was sent to a port of another
    program.
    """
    name = f"{_cookie_name(scope)}="
    sent = (part for line in Headers(scope=scope).getlist("cookie") for part in line.split(";"))
    values = [part.strip().removeprefix(name) for part in sent if part.strip().startswith(name)]
    accounts = {account_in_cookie(value, token) for value in values} - {None}
    return bool(accounts) and account_of(scope) in accounts


def _is_page_view(scope: Scope) -> bool:
    """Return whether a person opens a page, as against a script that asks for data."""
    reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return reads and is_page(scope["path"])


def _token_page(
    scope: Scope,
    status: int,
    problem: str,
    onwards: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return our page, which asks for the token or offers the login, and then leads to `onwards`.

    Without `onwards` it leads to the address that was asked for.
    """
    links = (
        f'<a href="{html.escape(public_path(scope, address))}">{html.escape(label)}</a>'
        for label, address in logins.login_links()
    )
    page = _template().substitute(
        form=html.escape(public_path(scope, FORM_PATH)),
        base=html.escape(public_path(scope, "")),
        problem=html.escape(problem),
        ways="".join(links),
        onwards=html.escape(onwards or _url_without_token(Request(scope))),
    )
    return HTMLResponse(page, status, {"Cache-Control": "no-store"} | (headers or {}))


@lru_cache(maxsize=1)
def _template() -> Template:
    assets = Path(__file__).parents[1] / "assets"
    icon = quote((assets / "icon.svg").read_text(encoding="utf-8"))
    page = (assets / "token.html").read_text(encoding="utf-8")
    return Template(page.replace("$icon", f"data:image/svg+xml,{icon}"))


def _retry_message(wait: float) -> str:
    return f"Too many wrong tokens came from here; try again in {_seconds(wait)} seconds."


def _seconds(wait: float) -> str:
    return str(math.ceil(wait))
