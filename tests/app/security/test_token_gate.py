"""Protects the door: nobody gets in who doesn't belong, whichever route they try.

Every route that the app has, Streamlit's own included, is asked under a wrong name, from another
site's page and without the token. One that is added later without a guard fails here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient, WebSocketDenialResponse
from streamlit import config
from streamlit.runtime import Runtime

from labeler.app.security import connections, token_gate
from labeler.app.security.refusals import is_page
from labeler.app.security.request_guards import with_guards
from labeler.app.security.tokens import MAX_WRONG, WINDOW_SECONDS, cookie_value, random_token
from labeler.app.server.static_files import module_url
from labeler.app.server.upload_limit import UPLOAD_PATH, uploaded_bytes
from tests.support.collection import make_collection
from tests.support.whole_app import asked_for, the_app

HOME = "http://127.0.0.1:8501"
AWAY = "http://192.0.2.7:8501"
TOKEN = "a token of sixteen or more"
EVIL = "http://evil.example"
Settings = Callable[[str | None, list[str]], None]
WRITES = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with closing(make_collection(tmp_path_factory.mktemp("door"), images=3, scored=0)) as project:
        return project.folder


@pytest.fixture
def settings(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Sets Streamlit's settings, for this test."""
    monkeypatch.setenv("LABELER_PROJECT", str(project))
    before = {name: config.get_option(name) for name in ("server.address", "server.allowedHosts")}

    def put(address: str | None, hosts: list[str]) -> None:
        config.set_option("server.address", address)
        config.set_option("server.allowedHosts", hosts)

    yield put
    put(*before.values())
    Runtime._instance = None  # Streamlit makes one in each process; each app here has its own.


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The app on this machine alone, for somebody who is in."""
    settings("127.0.0.1", ["127.0.0.1", "localhost"])
    monkeypatch.setenv("LABELER_TOKEN", TOKEN)
    cookies = {"labeler-8501": cookie_value(TOKEN)}
    with TestClient(the_app(), HOME, raise_server_exceptions=False, cookies=cookies) as client:
        yield client


@pytest.fixture
def away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The app as the network reaches it: None is every address, as Streamlit has it by default."""
    settings(None, [])
    monkeypatch.setenv("LABELER_TOKEN", TOKEN)
    with TestClient(the_app(), AWAY, raise_server_exceptions=False) as client:
        yield client


def everything(client: TestClient) -> list[tuple[str, str]]:
    app: Any = client.app
    found = {asked for route in app._starlette_app.routes for asked in asked_for(route)}
    files = ("/", "/review", "/static/js/none.js", module_url("score/score.js"), "/assets/none.js")
    return sorted(found | {("GET", path) for path in files})


def status(client: TestClient, method: str, path: str, **headers: str) -> int:
    """Of the answer, which says what it is whatever it says."""
    if method == "WEBSOCKET":
        return socket_status(client, path, headers)
    answer = client.request(method, path, headers=headers, follow_redirects=False)
    assert answer.headers["x-content-type-options"] == "nosniff", (method, path)
    assert "access-control-allow-origin" not in answer.headers, (method, path)
    return answer.status_code


def socket_status(client: TestClient, path: str, headers: dict[str, str]) -> int:
    """101 if the socket was opened."""
    try:
        # The test's client would name a host of its own.
        there = str(client.base_url).replace("http", "ws", 1)
        with client.websocket_connect(f"{there}{path}", headers=headers):
            return 101
    except WebSocketDenialResponse as refusal:
        assert refusal.headers["x-content-type-options"] == "nosniff"
        return refusal.status_code


def statuses(client: TestClient, **headers: str) -> dict[tuple[str, str], int]:
    return {asked: status(client, *asked, **headers) for asked in everything(client)}


def test_the_walk_meets_what_is_known_to_be_there(home: TestClient) -> None:
    asked = everything(home)
    for one in (
        ("WEBSOCKET", "/_stcore/stream"),
        ("PUT", "/_stcore/upload_file/x/x"),
        ("GET", "/_stcore/health"),
        ("GET", "/media/x"),
        ("POST", "/api/events"),
        ("GET", "/img/1/x"),
        ("GET", "/api/download/x"),
    ):
        assert one in asked


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8501", "127.0.0.1.evil.example"])
def test_no_route_answers_under_another_name(home: TestClient, host: str) -> None:
    assert set(statuses(home, Host=host).values()) == {400}


def test_no_route_answers_another_sites_page(home: TestClient) -> None:
    assert set(statuses(home, Origin=EVIL).values()) == {403}
    assert set(statuses(home, **{"Sec-Fetch-Site": "cross-site"}).values()) == {403}
    assert set(statuses(home, **{"Sec-Fetch-Site": "same-site"}).values()) == {403}


def test_nothing_is_written_without_an_origin(home: TestClient) -> None:
    asked = [one for one in everything(home) if one[0] in (*WRITES, "WEBSOCKET")]
    assert {one for one in asked if status(home, *one) != 403} == set()


def test_no_route_answers_without_the_token(away: TestClient) -> None:
    ours = {"Origin": AWAY, "X-Labeler": "1", "Content-Type": "application/json"}
    assert set(statuses(away, **ours).values()) == {401}
    assert set(statuses(away, **ours, Cookie="labeler-8501=guessed").values()) == {401}


def test_no_route_answers_without_the_token_on_this_machine_either(home: TestClient) -> None:
    home.cookies.clear()
    ours = {"Origin": HOME, "X-Labeler": "1", "Content-Type": "application/json"}
    assert set(statuses(home, **ours).values()) == {401}


def test_with_the_cookie_all_routes_are_there(away: TestClient) -> None:
    ours = {"Origin": AWAY, "Cookie": f"labeler-8501={cookie_value(TOKEN)}"}
    found = statuses(away, **ours)
    assert 401 not in found.values()
    assert found["GET", "/api/queue"] == 200
    assert found["GET", "/"] == 200
    assert found["WEBSOCKET", "/_stcore/stream"] == 101


def test_the_apps_own_page_gets_what_it_asks_for(home: TestClient) -> None:
    own = {"Origin": HOME, "Sec-Fetch-Site": "same-origin"}
    for path in ("/", "/review", "/_stcore/health", "/api/queue", "/img/1/thumbnail"):
        assert status(home, "GET", path, **own) == 200
    assert status(home, "WEBSOCKET", "/_stcore/stream", **own) == 101


def test_a_link_on_another_site_leads_to_pages_alone(home: TestClient) -> None:
    follows = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    for method, path in everything(home):
        if method == "GET":
            assert (status(home, "GET", path, **follows) == 403) != is_page(path)
    framed = follows | {"Sec-Fetch-Dest": "iframe"}
    assert status(home, "GET", "/", **framed) == 403


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(away: TestClient) -> None:
    answer = away.get("/explore", params={"token": TOKEN, "a": "b&c"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/explore?a=b%26c")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("labeler-8501=")
    assert "httponly" in cookie.lower() and "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert away.get("/api/stats").status_code == 200
    # In a browser that is in already, an old address does no harm.
    assert away.get("/?token=old", follow_redirects=False).status_code == 303


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Whose a connection of this machine is, by the address of its client."""
    whose: dict[str, int] = {}
    monkeypatch.setattr(connections, "can_identify_accounts", lambda: True)
    monkeypatch.setattr(
        connections, "uid_of_connection", lambda client, _server: whose.get(client[0])
    )
    return whose


def test_the_cookie_is_good_for_the_account_that_it_was_given_to(
    away: TestClient, accounts: dict[str, int]
) -> None:
    """Browsers send it to every port of a host: another account may listen on one of them."""
    accounts |= {"127.0.0.1": 1000, "127.0.0.2": 1001}
    person = TestClient(away.app, AWAY, client=("127.0.0.1", 1))
    assert person.get("/", params={"token": TOKEN}).status_code == 200
    assert person.get("/api/stats").status_code == 200
    taken = {"Cookie": f"labeler-8501={person.cookies['labeler-8501']}"}
    for theirs in ("127.0.0.2", "127.0.0.3", "198.51.100.9"):  # also where nobody tells
        neighbour = TestClient(away.app, AWAY, client=(theirs, 1))
        assert neighbour.get("/api/stats", headers=taken).status_code == 401
        ours = taken | {"Origin": AWAY}
        assert socket_status(neighbour, "/_stcore/stream", ours) == 401
    name, _, value = taken["Cookie"].partition("=")
    forged = {"Cookie": f"{name}=1001{value.removeprefix('1000')}"}
    assert neighbour.get("/api/stats", headers=forged).status_code == 401
    # A server in front has one account for all that come through it.
    through_it = TestClient(away.app, AWAY, client=("127.0.0.2", 2))
    assert through_it.get("/", params={"token": TOKEN}).status_code == 200
    assert through_it.get("/api/stats").status_code == 200


def test_the_form_takes_the_token(away: TestClient) -> None:
    page = away.get("/review?round=1")
    assert (page.status_code, "text/html" in page.headers["content-type"]) == (401, True)
    assert 'value="/review?round=1"' in page.text
    fields = {"token": TOKEN, "onwards": "/review?round=1"}
    answer = away.post("/token", data=fields, headers={"Origin": AWAY}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/review?round=1")
    assert away.get("/api/stats").status_code == 200


@pytest.mark.parametrize(
    "onwards", [EVIL, "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example"]
)
def test_the_door_leads_to_no_other_site(away: TestClient, onwards: str) -> None:
    fields = {"token": TOKEN, "onwards": onwards}
    answer = away.post("/token", data=fields, headers={"Origin": AWAY}, follow_redirects=False)
    led = answer.headers["location"].replace("\\", "/")
    assert led.startswith("/") and not led.startswith("//")


def test_what_stands_in_the_address_is_text_on_our_page(away: TestClient) -> None:
    page = away.get('/"><script>alert(1)</script>?x="><script>alert(1)</script>')
    assert page.status_code == 401
    assert "<script>alert" not in page.text


def test_other_tools_are_told_in_their_own_form(away: TestClient) -> None:
    for path in ("/api/queue", "/img/1/thumbnail"):
        answer = away.get(path)
        assert (answer.status_code, "token" in answer.json()["problem"]) == (401, True)
        assert answer.headers["cache-control"] == "no-store"


def test_wrong_tokens_run_out_and_whoever_is_in_stays_in(away: TestClient) -> None:
    inside = TestClient(away.app, AWAY, cookies={"labeler-8501": cookie_value(TOKEN)})
    wrong = [away.get("/?token=wrong").status_code for _ in range(MAX_WRONG + 1)]
    assert wrong == [401] * MAX_WRONG + [429]
    right = away.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (right.status_code, int(right.headers["retry-after"]) <= WINDOW_SECONDS) == (429, True)
    assert inside.get("/api/stats").status_code == 200
    elsewhere = TestClient(away.app, AWAY, client=("198.51.100.9", 1))
    assert elsewhere.get("/", params={"token": TOKEN}).status_code == 200


def test_whoever_is_in_stays_in_where_all_have_one_address(away: TestClient) -> None:
    # As behind a tunnel: somebody else's wrong ones must not turn a bookmark into a closed door.
    for _ in range(MAX_WRONG):
        away.get("/?token=wrong")
    inside = TestClient(away.app, AWAY, cookies={"labeler-8501": cookie_value(TOKEN)})
    assert inside.get(f"/?token={TOKEN}", follow_redirects=False).status_code == 303


def test_wrong_tokens_of_another_account_keep_nobody_out(
    away: TestClient, accounts: dict[str, int]
) -> None:
    """They come from the same address, where all accounts of the machine have one."""
    accounts["127.0.0.1"] = 1001
    neighbour = TestClient(away.app, AWAY, client=("127.0.0.1", 1))
    wrong = [neighbour.get("/?token=wrong").status_code for _ in range(MAX_WRONG + 1)]
    assert wrong == [401] * MAX_WRONG + [429]
    accounts["127.0.0.1"] = 1000
    person = TestClient(away.app, AWAY, client=("127.0.0.1", 2))
    assert person.get("/", params={"token": TOKEN}).status_code == 200


def through(token: str) -> TestClient:
    """The door alone, which tells its own mistakes."""
    return TestClient(with_guards(unreached, ["192.0.2.7"], token), AWAY)


async def unreached(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("The door is open.")


def test_nobody_waits_where_the_token_cannot_be_guessed() -> None:
    token = random_token()
    client = through(token)
    wrong = [client.get("/?token=wrong").status_code for _ in range(MAX_WRONG + 1)]
    assert set(wrong) == {401}
    assert client.get("/", params={"token": token}, follow_redirects=False).status_code == 303


@pytest.mark.parametrize("form", ["a=1&b=2&c=3&d=4&e=5", "&" * 7000, "token=%ff", "x" * 9000])
def test_a_form_that_is_none_is_a_wrong_token(form: str) -> None:
    headers = {"Origin": AWAY, "Content-Type": "application/x-www-form-urlencoded"}
    assert through(TOKEN).post("/token", content=form, headers=headers).status_code == 401


@pytest.mark.parametrize("come", [[{"type": "http.disconnect"}], []])
def test_a_form_that_never_comes_is_given_up(
    come: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_gate, "FORM_TIMEOUT", 0.0)

    async def receive() -> dict[str, Any]:
        return come.pop() if come else await asyncio.Future()

    scope = {"type": "http", "method": "POST", "headers": []}
    waited = asyncio.wait_for(token_gate._read_form(Request(scope, receive)), 60)
    with ThreadPoolExecutor(1) as pool:  # The browser tests keep a loop running in this thread.
        assert pool.submit(asyncio.run, waited).result() == ("", "/")


def test_the_form_opened_as_an_address_leads_to_the_first_page(away: TestClient) -> None:
    assert 'name="onwards" value="/"' in away.get("/token").text


@pytest.mark.parametrize(("arguments", "status"), [([], 401), (["--no-token"], 403)])
def test_an_app_for_this_machine_answers_nobody_elsewhere(
    arguments: list[str], status: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another server than ours may listen elsewhere than Streamlit's settings say.
    settings("127.0.0.1", ["127.0.0.1", "localhost"])
    monkeypatch.setattr("sys.argv", ["streamlit_app.py", *arguments])
    with TestClient(the_app(), AWAY) as client:
        for path in ("/", "/api/queue", "/_stcore/health"):
            answer = client.get(path, headers={"Host": "localhost"})
            assert answer.status_code == status


def test_two_hosts_in_one_request_are_none(home: TestClient) -> None:
    twice = [("Host", "127.0.0.1:8501"), ("Host", "evil.example")]
    assert home.get("/api/queue", headers=twice).status_code == 400
    origins = [("Origin", HOME), ("Origin", EVIL)]
    assert home.get("/api/queue", headers=origins).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "1000001"},
        {"Content-Length": "9" * 5000},
        {"Content-Length": "-1"},
        {"Content-Length": "²"},
        {"Transfer-Encoding": "chunked"},
        {"Transfer-Encoding": "chunked", "Content-Length": "2"},
    ],
)
def test_large_bodies_and_those_of_unknown_length_are_not_read(
    home: TestClient, headers: dict[str, str]
) -> None:
    def unread() -> Iterator[bytes]:
        yield b"{}"

    own = {"Origin": HOME, "X-Labeler": "1", "Content-Type": "application/json"}
    sent = {name: value.encode() for name, value in (own | headers).items()}
    answer = home.post("/api/events", content=unread(), headers=sent)
    assert answer.status_code == 413


def test_uploads_are_bounded_together(home: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    own, path = {"Origin": HOME}, f"{UPLOAD_PATH}session/file"
    assert home.put(path, content=iter([b"x"]), headers=own).status_code == 411
    huge = own | {"Content-Length": "1000000001"}
    assert home.put(path, content=iter([b"x"]), headers=huge).status_code == 413
    # One file: by Streamlit, which knows the session first.
    assert home.put(path, content=b"x", headers=own).status_code == 403  # its own token is missing


def test_what_streamlit_keeps_is_counted(home: TestClient) -> None:
    from streamlit.runtime.uploaded_file_manager import UploadedFileRec

    app: Any = home.app
    manager = app._runtime.uploaded_file_mgr
    assert uploaded_bytes() == 0
    for number in range(3):
        manager.add_file("one", UploadedFileRec(str(number), "x.png", "image/png", b"x" * 100))
    assert uploaded_bytes() == 300
    manager.remove_session_files("one")
    assert uploaded_bytes() == 0


@pytest.mark.parametrize(
    ("address", "there"), [("0.0.0.0", AWAY), ("127.0.0.1", HOME), ("localhost", HOME)]
)
def test_started_by_streamlit_the_token_is_told(
    address: str, there: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(address, [])
    with TestClient(the_app(), there) as client:
        told = re.search(r"http://[0-9.]+:8501/\?token=(\S+)", capsys.readouterr().err)
        assert told is not None
        assert client.get("/api/stats").status_code == 401
        assert client.get("/", params={"token": told[1]}).status_code == 200
        assert client.get("/api/stats").status_code == 200
