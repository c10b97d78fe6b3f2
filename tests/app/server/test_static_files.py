"""Protects how a page gets its own code: ES modules that only the app's own pages are sent.

They are sent by name from a fixed list, to who may come in, under addresses that change with them.
"""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from labeler.app.security.request_guards import with_guards
from labeler.app.server.static_files import ASSETS, CACHE_FOREVER, module_url

TOKEN = "open-sesame-and-forty-more"
NAMES = sorted(path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*.js"))
IMPORTED = re.compile(r"""^(?:import|\}) [^;]*?from "([^"]+)";|^import "([^"]+)";""", re.MULTILINE)


async def the_app(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("the app")(scope, receive, send)


def client(token: str | None = None, base: str = "") -> TestClient:
    app = with_guards(the_app, ["127.0.0.1"], token, base=base)
    return TestClient(app, "http://127.0.0.1:8501", follow_redirects=False)


@pytest.fixture
def browser() -> TestClient:
    """Of the person on this machine, where no token is asked for."""
    return client()


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_sent_whole_and_kept_by_the_browser(browser: TestClient, name: str) -> None:
    answer = browser.get(module_url(name))
    assert answer.content == (ASSETS / name).read_bytes()
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == CACHE_FOREVER
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert browser.head(module_url(name)).content == b""


@pytest.mark.parametrize("name", NAMES)
def test_what_a_module_imports_is_there(name: str) -> None:
    source = (ASSETS / name).read_text(encoding="utf-8")
    imported = [one for found in IMPORTED.findall(source) for one in found if one]
    assert len(imported) == source.count("\nimport "), "an import is written otherwise"
    assert {normpath(join(dirname(name), one)) for one in imported} <= set(NAMES)
    assert source.startswith("// @ts-check\n")


@pytest.mark.parametrize(
    "path",
    [
        *("", "score", "score/none.js", "score/score.js/", "score/score.css"),
        *("token.html", "theme.toml", "..%2ftheme.toml", "shared/payloads.d.ts"),
        "score/%2e%2e/%2e%2e/static_files.py",
    ],
)
def test_nothing_else_is_sent(browser: TestClient, path: str) -> None:
    folder = module_url("score/score.js").removesuffix("score/score.js")
    for address in (folder + path, f"/assets/{path}", f"/assets/000000000000/{path}"):
        answer = browser.get(address)
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store"), address
        assert answer.json() == {"problem": "There is nothing at this address."}


def test_a_module_is_only_read(browser: TestClient) -> None:
    own = {"X-Labeler": "1", "Origin": "http://127.0.0.1:8501"}
    assert browser.post(module_url("score/score.js"), json={}, headers=own).status_code == 404


def test_only_who_is_in_gets_a_module() -> None:
    address = module_url("score/score.js")
    browser = client(TOKEN)
    assert browser.get(address).status_code == 401
    browser.get(f"/?token={TOKEN}")  # it is kept as a cookie
    assert browser.get(address).status_code == 200
    assert browser.get(address, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client().get(address, headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("base", ["", "/taste"])
def test_the_first_page_asks_for_its_modules_at_once(base: str) -> None:
    browser = client(base=base)
    page = browser.get(f"{base}/").text
    preloaded = re.findall(r'rel="modulepreload"[^>]* href="\.(/assets/[^"]+)"', page)
    assert module_url("score/score.js") in preloaded
    assert all(browser.get(base + address).status_code == 200 for address in preloaded)
