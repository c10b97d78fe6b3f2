"""The app as it is served, and a request for each of its routes, Streamlit's own included."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from starlette.convertors import IntegerConvertor
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from labeler.app.server import launch


def the_app() -> Any:
    """What `streamlit run streamlit_app.py` serves, by the settings that it has now."""
    found = importlib.util.spec_from_file_location("served", launch.app_script())
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.app


def asked_for(route: BaseRoute, before: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of requests that this route would answer."""
    if isinstance(route, Mount):
        yield "GET", f"{before}{route.path}/index.html"
        for inner in route.routes or []:
            yield from asked_for(inner, before + route.path)
    elif isinstance(route, WebSocketRoute):
        yield "WEBSOCKET", before + route.path
    else:
        assert isinstance(route, Route), f"A kind of route that this test doesn't know: {route}"
        given = {
            name: "1" if isinstance(convertor, IntegerConvertor) else "x"
            for name, convertor in route.param_convertors.items()
        }
        path = before + route.url_path_for(route.name, **given)
        # Methods that a route doesn't name are tried too: the guards come before it knows.
        for method in {*(route.methods or ()), "GET", "POST"}:
            yield method, path
