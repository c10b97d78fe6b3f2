"""The door: everything behind it needs the token of this start, on this machine as elsewhere.

Shown once, in the address or in the form of our page, it is exchanged for a cookie, and the address
that stays in the browser is without it. Streamlit's own login opens it too, where it is configured,
and the browser that this program starts brings a ticket (`labeler.app.security.tickets`).
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
from labeler.app.security.hosts import is_private, name_and_port
from labeler.app.security.refusals import is_page, refuse
from labeler.app.security.tokens import UNGUESSABLE, GuessLimit, account_in, cookie_value, is_token
from labeler.app.server.base_path import public_path

Ready = Callable[[], Awaitable[object]]
FIELD = "token"  # in an address and in the form
FORM = "/token"  # where the form is sent
LARGEST_FORM = 8000  # bytes
FORM_SECONDS = 10.0  # that it may take to arrive
WANTED = "The token is missing: open the address that the terminal showed when the app started."
USED = "That address opened the app once; now take the one that the terminal shows."
WRONG = "That is not the token."
ELSEWHERE = "The app was started for its own machine alone; labeler app --host lets others in."


class TokenGate:
    """Middleware that lets in who has shown `token`; None lets in whoever is on this machine.

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
        self.guesses = GuessLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif self.token is None:
            await self._at_home(scope, receive, send)
        else:
            await self._with_token(scope, receive, send, self.token)

    async def _with_token(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        shown = _shows(scope, token)
        if not shown and self.ready is not None:
            await self.ready()
        if (answer := await self._exchanged(scope, receive, token)) is not None:
            await answer(scope, receive, send)
        elif shown or await run_in_threadpool(logins.may_enter, scope):
            connection_of(scope).is_in = True
            await self.app(scope, receive, send)
        elif _looks_at_a_page(scope):
            await _asking(scope, 401, "")(scope, receive, send)
        else:
            headers = {"Cache-Control": "no-store"}
            await refuse(scope, receive, send, 401, WANTED, headers=headers)

    async def _at_home(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By the address that was really reached, whatever the server was told to listen on."""
        reached = scope.get("server")
        if reached is None or is_private(reached[0]):
            await self.app(scope, receive, send)
        else:
            await refuse(scope, receive, send, 403, ELSEWHERE)

    async def _exchanged(self, scope: Scope, receive: Receive, token: str) -> Response | None:
        """The cookie for a token or a ticket, or our page again; None where none was shown."""
        if scope["type"] != "http":
            return None
        asked = Request(scope, receive)
        if asked.method == "POST" and scope["path"] == FORM:
            connection = connection_of(scope)
            connection.waits()
            filled_in = await _filled_in(asked)
            connection.ends()
            return self._shown_token(asked, token, *filled_in)
        if asked.method == "GET" and tickets.FIELD in asked.query_params:
            return self._shown_ticket(asked, token)
        if asked.method == "GET" and FIELD in asked.query_params:
            onwards = _without_token(asked)
            return self._shown_token(asked, token, asked.query_params[FIELD], onwards)
        return None

    def _shown_token(self, asked: Request, token: str, shown: str, onwards: str) -> Response:
        scope = asked.scope
        if _shows(scope, token):  # An old address, in a browser that is in already.
            return RedirectResponse(public_path(scope, onwards), 303)
        guesser = _guesser(scope) if len(token) < UNGUESSABLE else ""
        wait = self.guesses.wait(guesser) if guesser else 0.0
        if wait:
            return _asking(scope, 429, _patience(wait), onwards, {"Retry-After": _seconds(wait)})
        if is_token(shown, token):
            return _let_in(scope, onwards, token)
        if guesser:
            self.guesses.note(guesser)
        return _asking(scope, 401, WRONG, onwards)

    def _shown_ticket(self, asked: Request, token: str) -> Response:
        scope, onwards = asked.scope, _without_token(asked)
        if _shows(scope, token):
            return RedirectResponse(public_path(scope, onwards), 303)
        shown = asked.query_params[tickets.FIELD]
        if self.ticket is not None and self.ticket.opens(
            shown, scope.get("client"), scope.get("server")
        ):
            return _let_in(scope, onwards, token)
        return _asking(scope, 401, USED, onwards)


async def _filled_in(asked: Request) -> tuple[str, str]:
    """The token in our form, and where its page was to lead; no token in what is no such form."""
    body = b""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for part in asked.stream():
                body += part
                if len(body) > LARGEST_FORM:
                    return "", "/"
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=4))
    except (ValueError, ClientDisconnect, TimeoutError):
        return "", "/"
    return fields.get(FIELD, "").strip(), _on_this_site(fields.get("onwards", ""))


def _guesser(scope: Scope) -> str:
    """By account where it can be told: another one's wrong tokens keep nobody here out."""
    account, client = account_of(scope), scope.get("client")
    return f"account {account}" if account else (client[0] if client else "nobody")


def _without_token(asked: Request) -> str:
    ours = (FIELD, tickets.FIELD)
    rest = [pair for pair in asked.query_params.multi_items() if pair[0] not in ours]
    # Nobody can look at where the form is sent.
    path = "/" if asked.scope["path"] == FORM else _on_this_site(quote(asked.scope["path"]))
    return f"{path}?{urlencode(rest)}" if rest else path


def _on_this_site(address: str) -> str:
    """A path of ours, whatever somebody has put into the form: never another host."""
    printable = "".join(letter for letter in address if "!" <= letter <= "~")
    return "/" + printable.replace("\\", "/").lstrip("/")


def _let_in(scope: Scope, onwards: str, token: str) -> Response:
    there = public_path(scope, onwards)
    answer = RedirectResponse(there, 303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        _cookie_name(scope),
        cookie_value(token, account_of(scope)),
        httponly=True,
        samesite="strict",
        secure=scope.get("scheme") in ("https", "wss"),
    )
    return answer


def _cookie_name(scope: Scope) -> str:
    """By port: browsers give all apps of a machine each other's cookies."""
    named = name_and_port(Headers(scope=scope).get("host", ""))
    return f"labeler-{(named and named[1]) or 'usual'}"


def _shows(scope: Scope, token: str) -> bool:
    """Whether the cookie is among those sent; another app's may have the same name.

    It comes from the account that it was given to: else it was sent to a port of somebody else's.
    """
    name = f"{_cookie_name(scope)}="
    sent = (part for line in Headers(scope=scope).getlist("cookie") for part in line.split(";"))
    values = [part.strip().removeprefix(name) for part in sent if part.strip().startswith(name)]
    accounts = {account_in(value, token) for value in values} - {None}
    return bool(accounts) and account_of(scope) in accounts


def _looks_at_a_page(scope: Scope) -> bool:
    asks = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return asks and is_page(scope["path"])


def _asking(
    scope: Scope,
    status: int,
    problem: str,
    onwards: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Our page, which asks for the token or offers the login; afterwards it leads to `onwards`, or
    where it stands.
    """
    offered = (
        f'<a href="{html.escape(public_path(scope, address))}">{html.escape(label)}</a>'
        for label, address in logins.login_links()
    )
    page = _template().substitute(
        form=html.escape(public_path(scope, FORM)),
        base=html.escape(public_path(scope, "")),
        problem=html.escape(problem),
        ways="".join(offered),
        onwards=html.escape(onwards or _without_token(Request(scope))),
    )
    return HTMLResponse(page, status, {"Cache-Control": "no-store"} | (headers or {}))


@lru_cache(maxsize=1)
def _template() -> Template:
    assets = Path(__file__).parents[1] / "assets"
    icon = quote((assets / "icon.svg").read_text(encoding="utf-8"))
    page = (assets / "token.html").read_text(encoding="utf-8")
    return Template(page.replace("$icon", f"data:image/svg+xml,{icon}"))


def _patience(wait: float) -> str:
    return f"Too many wrong tokens came from here; try again in {_seconds(wait)} seconds."


def _seconds(wait: float) -> str:
    return str(math.ceil(wait))
