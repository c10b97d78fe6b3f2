"""The app from its first moment on: the browser loads its page while Python still imports.

Importing Streamlit and the store takes as long as Streamlit's page takes in the browser. Here both
happen at once: the page's files are answered straight away, everything else as soon as it can be.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class DeferredApp:
    """An ASGI app that stands for the one that `load` gives, from before that is there.

    `load` is called once, in a thread of its own. `opened` is called when its app has started; what
    `load` raises is kept in `failure`, and `failed` is called.
    """

    def __init__(
        self, load: Callable[[], ASGIApp], opened: Callable[[], None], failed: Callable[[], None]
    ) -> None:
        self._load, self._opened, self._failed = load, opened, failed
        self._app: ASGIApp | None = None
        self._life: _Life | None = None
        self._settled = asyncio.Event()
        self.failure: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self._settled.wait()
        if self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = JSONResponse({"problem": "The app could not start."}, status_code=503)
            await refusal(scope, receive, send)

    async def settled(self) -> None:
        """Waits until the app is there, or can't be."""
        await self._settled.wait()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        opening = asyncio.create_task(self._open())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await opening
        if self._life is not None:
            await self._life.end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self) -> None:
        try:
            app = await asyncio.to_thread(_undisturbed, self._load)
            self._life = await _Life.start(app)
            self._app = app
            self._opened()
        except Exception as error:
            self.failure = error
            self._failed()
        finally:
            self._settled.set()


def _undisturbed(load: Callable[[], ASGIApp]) -> ASGIApp:
    """What `load` gives; the million things that importing makes are never looked at for garbage.

    They stay, and Streamlit collects garbage after each run of a page: a pause for every request.
    """
    gc.disable()
    try:
        return load()
    finally:
        gc.freeze()
        gc.enable()


class _Life:
    """An ASGI app that was started as a server starts it."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None

    @classmethod
    async def start(cls, app: ASGIApp) -> _Life:
        """Raises RuntimeError if the app says that it can't."""
        life = cls()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        life._task = asyncio.ensure_future(app(scope, life._told.get, life._heard.put))
        await life._told.put({"type": "lifespan.startup"})
        answer = await life._heard.get()
        if answer["type"] != "lifespan.startup.complete":
            raise RuntimeError(answer.get("message") or "The app did not start.")
        return life

    async def end(self) -> None:
        await self._told.put({"type": "lifespan.shutdown"})
        if self._task is not None:
            await self._task
