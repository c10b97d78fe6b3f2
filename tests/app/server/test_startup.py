"""Protects the app's first seconds: its page is sent while Python still imports, nothing gets lost.

Requests that come before the app is there wait for it; if it can't start, they are told so.
"""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from labeler.app.server.startup import DeferredApp
from labeler.app.server.static_files import CACHE_FOREVER, LOADING, PAGES, StaticFiles
from labeler.app.widgets import components

CODE = Path(__file__).parents[3]
# What the first page, and commands that only look things up, do without: seconds of importing.
FIRST_PAGE = (
    "labeler.app.routes.json_api",
    "labeler.app.routes.downloads",
    "labeler.app.widgets.formatting",
    "labeler.core.status",
)
HEAVY = ("torch", "pandas", "pyarrow", "scipy", "altair", "sklearn")


def greeting(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


class Server:
    """Starts and ends an app as a server does."""

    def __init__(self, app: Any) -> None:
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
        self.task = asyncio.ensure_future(app(scope, self.told.get, self.heard.put))

    async def say(self, what: str) -> Any:
        await self.told.put({"type": f"lifespan.{what}"})
        return (await self.heard.get())["type"]


@dataclass
class Answer:
    status: int
    headers: Headers
    text: str


async def get(app: Any, path: str, method: str = "GET") -> Answer:
    """What `app` answers, as a server would ask it."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return Answer(sent[0]["status"], Headers(raw=sent[0]["headers"]), body.decode())


def run(play: Callable[[], Any]) -> None:
    """Play in a thread of its own: the browser tests' driver keeps a loop running in this one."""

    async def in_time() -> None:
        await asyncio.wait_for(play(), 30)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(in_time())).result()


def test_the_page_is_there_before_the_app_and_the_rest_waits_for_it() -> None:
    may_load, told = threading.Event(), list[str]()

    @asynccontextmanager
    async def life(_app: Starlette) -> AsyncIterator[None]:
        told.append("started")
        yield
        told.append("ended")

    def load() -> Starlette:
        may_load.wait(20)
        return Starlette(routes=[Route("/api/hello", greeting)], lifespan=life)

    async def play() -> None:
        opening = DeferredApp(load, lambda: told.append("opened"), lambda: told.append("failed"))
        app, server = StaticFiles(opening), Server(opening)
        assert await server.say("startup") == "lifespan.startup.complete"
        waiting = asyncio.ensure_future(get(app, "/api/hello"))
        assert "<html" in (await get(app, "/")).text
        assert (waiting.done(), told) == (False, [])
        may_load.set()
        assert (await waiting).text == "hello"
        assert await server.say("shutdown") == "lifespan.shutdown.complete"
        assert told == ["started", "opened", "ended"]

    run(play)


def test_an_app_that_cannot_start_says_so_to_whoever_waits() -> None:
    failure = ValueError("no such store")

    def load() -> Starlette:
        raise failure

    async def play() -> None:
        told: list[str] = []
        opening = DeferredApp(load, lambda: told.append("opened"), lambda: told.append("failed"))
        server = Server(opening)
        await server.say("startup")
        assert (await get(opening, "/api/hello")).status == 503
        assert (told, opening.failure) == (["failed"], failure)
        assert await server.say("shutdown") == "lifespan.shutdown.complete"

    run(play)


async def the_app(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("the app")(scope, receive, send)


def test_only_the_files_of_the_page_are_sent() -> None:
    async def play() -> None:
        app = StaticFiles(the_app)
        page = await get(app, "/")
        assert page.headers["cache-control"] == "no-cache"
        files = [part.split('"')[0] for part in page.text.split('href="./')[1:]]
        script = next(name for name in files if "BidiComponent" in name)
        sent = await get(app, f"/{script}")
        assert sent.headers["cache-control"] == CACHE_FOREVER
        assert sent.headers["content-type"].startswith("text/javascript")
        for path in ("/static/js/../../index.html", "/static/js/none.js", "/index.html", "/x"):
            assert (await get(app, path)).text == "the app"
        assert (await get(app, "/", method="POST")).text == "the app"

    run(play)


def test_every_page_says_that_it_is_loading_until_streamlit_has_begun() -> None:
    async def play() -> None:
        app = StaticFiles(the_app)
        for path in PAGES:
            assert f'<div id="root">{LOADING}</div>' in (await get(app, path)).text

    run(play)


def test_the_pages_are_those_of_the_frame() -> None:
    frame = ast.parse((CODE / "labeler" / "app" / "frame" / "main.py").read_text())
    calls = [
        node
        for node in ast.walk(frame)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "page"
    ]
    assert {address(call) for call in calls} == set(PAGES)


def address(call: ast.Call) -> str:
    """The address of the page that a call of `page` in the frame describes."""
    given = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    return "/" if given.get("first") else f"/{given.get('address', ast.literal_eval(call.args[0]))}"


def test_what_the_first_page_needs_imports_nothing_heavy() -> None:
    code = f"""
import sys
from importlib import import_module
for name in {FIRST_PAGE!r}:
    import_module(name)
    print(name, *sorted(set({HEAVY!r}) & sys.modules.keys()))
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=CODE, capture_output=True, check=True)
    assert told.stdout.decode().splitlines() == list(FIRST_PAGE)


def test_streamlit_is_handed_nothing_that_it_takes_for_a_table() -> None:
    handed = components.plain({"orders": [["random", "Random"]], "checks": 3})
    assert handed == {"orders": (["random", "Random"],), "checks": 3}
