"""Answer requests while the app is still loading: the browser loads its page meanwhile.

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
    """An ASGI app that stands in for the one that `load` returns, until that is loaded.

    `load` is called once, in a thread of its own. `on_loaded` is called when its app has started;
    what `load` raises is kept in `failure`, and `on_failed` is called.
    """

    def __init__(
        self,
        load: Callable[[], ASGIApp],
        on_loaded: Callable[[], None],
        on_failed: Callable[[], None],
    ) -> None:
        self._load, self._on_loaded, self._on_failed = load, on_loaded, on_failed
        self._app: ASGIApp | None = None
        self._inner: _Lifespan | None = None
        self._loaded = asyncio.Event()
        self.failure: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        await self._loaded.wait()
        if self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = JSONResponse({"problem": "The app could not start."}, status_code=503)
            await refusal(scope, receive, send)

    async def wait_loaded(self) -> None:
        """Wait until the app is loaded, or has failed to load."""
        await self._loaded.wait()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        loading = asyncio.create_task(self._open())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await loading
        if self._inner is not None:
            await self._inner.end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self) -> None:
        try:
            app = await asyncio.to_thread(_without_gc, self._load)
            self._inner = await _Lifespan.start(app)
            self._app = app
            self._on_loaded()
        except Exception as error:
            self.failure = error
            self._on_failed()
        finally:
            self._loaded.set()


def _without_gc(load: Callable[[], ASGIApp]) -> ASGIApp:
    """Call `load` with garbage collection off; exempt what it creates from later collections.

    Imports create a million objects that stay; Streamlit collects garbage after each run of a page,
    which would be a pause for every request.
    """
    gc.disable()
    try:
        return load()
    finally:
        gc.freeze()
        gc.enable()


class _Lifespan:
    """The lifespan of an ASGI app, started and ended as a server does it."""

    def __init__(self) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None

    @classmethod
    async def start(cls, app: ASGIApp) -> _Lifespan:
        """Start the app; raise `RuntimeError` if it reports that it can't."""
        lifespan = cls()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        lifespan._task = asyncio.ensure_future(
            app(scope, lifespan._to_app.get, lifespan._from_app.put)
        )
        await lifespan._to_app.put({"type": "lifespan.startup"})
        answer = await lifespan._from_app.get()
        if answer["type"] != "lifespan.startup.complete":
            raise RuntimeError(answer.get("message") or "The app did not start.")
        return lifespan

    async def end(self) -> None:
        """Shut the app down and wait for it."""
        await self._to_app.put({"type": "lifespan.shutdown"})
        if self._task is not None:
            await self._task
