"""Protects Streamlit's login as a way in: for those who are named, and only with a signed cookie.

The cookies are written by Streamlit's own functions, as after a login; a release that writes them
otherwise fails here.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette import starlette_auth_routes

from labeler.app.security import connections, logins
from labeler.app.security.request_guards import with_guards

pytest.importorskip("joserfc", reason="Streamlit's login needs: pip install 'streamlit[auth]'")

SITE = "http://labels.example"
ANN = {"email": "Ann@example.org", "email_verified": True, "sub": "a-1"}
SECRETS = """
[auth]
redirect_uri = "http://{host}/oauth2callback"
cookie_secret = "{secret}"
client_id = "labeler"
client_secret = "x"
server_metadata_url = "http://provider.example/.well-known/openid-configuration"

[labeler]
people = {people}
"""


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Any]:
    """Writes secrets.toml, for this test."""
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(tmp_path / "secrets.toml")])

    def write(people: object, secret: str = "s" * 32, host: str = "labels.example") -> None:
        text = SECRETS.format(people=json.dumps(people), secret=secret, host=host)
        (tmp_path / "secrets.toml").write_text(text)
        secrets_singleton._reset()

    yield write
    config.set_option("secrets.files", before)
    secrets_singleton._reset()


async def inside(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("inside")(scope, receive, send)


def visitor(user: dict[str, Any] | None = None, origin: str = SITE) -> TestClient:
    """A browser that has logged in as `user`."""
    app = with_guards(inside, ["labels.example"], "a token that nobody shows")
    client = TestClient(app, SITE)
    if user is not None:
        answer = Response()
        known = dict(user, origin=origin, is_logged_in=True, provider="default")
        signed = starlette_auth_routes._set_auth_cookie(answer, known, {})
        with ThreadPoolExecutor(1) as pool:  # The browser tests keep a loop running in this thread.
            pool.submit(asyncio.run, signed).result()
        for line in answer.headers.getlist("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            client.cookies.set(name, value.strip('"'))
    return client


def enters(client: TestClient) -> bool:
    found = {client.get(path).status_code for path in ("/", "/api/queue", "/_stcore/health")}
    assert found in ({200}, {401})
    return found == {200}


def test_who_is_named_comes_in(secrets: Any) -> None:
    secrets(["ann@example.org"])
    assert enters(visitor(ANN))
    assert enters(visitor(ANN | {"claims": "x" * 9000}))  # a cookie in several parts
    secrets(["a-1"])
    assert enters(visitor({"sub": "a-1"}))
    secrets("ann@example.org")
    assert enters(visitor(ANN))


def test_nobody_else_does(secrets: Any) -> None:
    secrets(["ann@example.org"])
    assert not enters(visitor())
    assert not enters(visitor(ANN | {"email": "ben@example.org"}))
    assert not enters(visitor(ANN | {"email_verified": False}))
    assert not enters(visitor({"email": "ann@example.org"}))
    assert not enters(visitor(ANN, origin="http://elsewhere.example"))
    secrets(["A-1"])
    assert not enters(visitor({"sub": "a-1"}))
    # A name that somebody chose at a provider which lets its people choose.
    secrets(["ann@example.org"])
    assert not enters(visitor({"sub": "ann@example.org"}))
    secrets("1@example.org")
    assert not enters(visitor({"sub": "1"}))
    secrets(["ann@example.org"])
    forged = visitor(ANN)
    secrets(["ann@example.org"], secret="t" * 32)
    assert not enters(forged)


@pytest.mark.parametrize(("host", "lets_in"), [("labels.example", True), ("localhost:8501", False)])
def test_another_account_of_the_machine_cannot_bring_the_cookie_along(
    secrets: Any, monkeypatch: pytest.MonkeyPatch, host: str, lets_in: bool
) -> None:
    """Browsers send one for localhost to all its ports; one for a name comes by a server there."""
    monkeypatch.setattr(connections, "can_identify_accounts", lambda: True)
    monkeypatch.setattr(connections, "uid_of_connection", lambda *_: os.getuid() + 1)
    secrets(["ann@example.org"], host=host)
    assert enters(visitor(ANN, origin=f"http://{host}")) is lets_in
    monkeypatch.setattr(connections, "uid_of_connection", lambda *_: os.getuid())
    assert enters(visitor(ANN, origin=f"http://{host}"))


@pytest.mark.parametrize(
    ("people", "secret"),
    [([], "s" * 32), ([" "], "s" * 32), (5, "s" * 32), ([5], "s" * 32), (["a@b.example"], "xxx")],
)
def test_a_login_that_would_let_in_others_is_not_used(
    secrets: Any, people: object, secret: str
) -> None:
    secrets(people, secret)
    assert not enters(visitor(ANN))
    assert "not used" in str(logins.unused_login_message())
    assert logins.login_links() == []


def test_the_page_offers_the_login_and_leaves_its_way_open(secrets: Any) -> None:
    secrets(["ann@example.org"])
    page = visitor().get("/review")
    assert (page.status_code, "Log in" in page.text) == (401, True)
    [(_, address)] = logins.login_links()
    assert visitor().get(address).text == "inside"
    assert visitor().get("/oauth2callback").text == "inside"
    assert visitor().post("/auth/login", headers={"Origin": SITE}).status_code == 401
    assert visitor().get("/auth/login/x").status_code == 401
    assert logins.unused_login_message() is None


@pytest.mark.parametrize("text", ['auth = "x"', 'auth = {client_id = "x"}\nlabeler = "x"'])
def test_sections_that_are_none_let_in_nobody(secrets: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.toml").write_text(text)
    secrets_singleton._reset()
    assert not enters(visitor())


def test_without_secrets_there_is_no_login() -> None:
    assert (logins.login_links(), logins.unused_login_message()) == ([], None)
