"""Protects what the door asks for and whom it believes: tokens, and names of hosts."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from labeler.app.security.hosts import parse_allowed_host, split_host
from labeler.app.security.request_guards import with_guards
from labeler.app.security.tokens import (
    MAX_ADDRESSES,
    MAX_WRONG,
    WINDOW_SECONDS,
    GuessRateLimit,
    token_from_environment,
)
from labeler.app.server import launch
from labeler.app.server.base_path import parse_base_path
from labeler.core.errors import LabelerError

HOME = "http://127.0.0.1:8501"
AWAY = "http://192.0.2.7:8501"
TOKEN = "a token of sixteen or more"


def test_guesses_are_forgotten_in_time_and_never_fill_the_memory() -> None:
    now = 0.0
    guesses = GuessRateLimit(lambda: now)
    for _ in range(MAX_WRONG):
        assert guesses.wait("2001:db8::1") == 0
        guesses.record_failure("2001:db8::1")
    # The same household, by another of its many addresses.
    assert guesses.wait("2001:db8::2") == WINDOW_SECONDS
    assert guesses.wait("2001:db8:0:1::1") == guesses.wait("192.0.2.1") == 0
    # An IPv4 address as a socket for both kinds tells it: one visitor, and not all of them.
    for _ in range(MAX_WRONG):
        guesses.record_failure("::ffff:192.0.2.3")
    assert guesses.wait("192.0.2.3") == WINDOW_SECONDS
    assert guesses.wait("::ffff:192.0.2.4") == 0
    now = WINDOW_SECONDS
    assert guesses.wait("2001:db8::1") == 0
    for number in range(3 * MAX_ADDRESSES):
        guesses.record_failure(f"10.0.{number // 256}.{number % 256}")
    assert len(guesses) == MAX_ADDRESSES


def test_a_short_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELER_TOKEN", "fifteen letters")
    with pytest.raises(LabelerError, match="LABELER_TOKEN has 15 characters"):
        token_from_environment()
    monkeypatch.setenv("LABELER_TOKEN", f" {TOKEN}\n")
    assert token_from_environment() == TOKEN
    monkeypatch.delenv("LABELER_TOKEN")
    assert token_from_environment() is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::"])
def test_everybody_is_asked_for_a_token_that_is_new_at_each_start(host: str) -> None:
    first, second = (launch.required_token(launch.LaunchOptions(host)) for _ in range(2))
    assert first is not None and first != second and len(first) > 30


def test_without_a_token_this_machine_alone_is_let_in() -> None:
    assert launch.required_token(launch.LaunchOptions("127.0.0.1", token=False)) is None
    with pytest.raises(LabelerError, match="--no-token and --host"):
        launch.required_token(launch.LaunchOptions("0.0.0.0", token=False))
    with pytest.raises(LabelerError, match="name the host"):
        launch.required_token(launch.LaunchOptions(token=False, names=("*",)))


def test_the_address_that_is_shown_lets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch.url_with_token(HOME, None) == HOME
    assert launch.url_with_token(AWAY, "fresh") == f"{AWAY}/?token=fresh"
    monkeypatch.setenv("LABELER_TOKEN", TOKEN)
    assert launch.url_with_token(AWAY, TOKEN) == AWAY
    assert launch.required_token(launch.LaunchOptions()) == TOKEN


def test_the_app_may_open_as_many_files_as_the_system_allows() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = before
    fewer = soft - 1 if hard == resource.RLIM_INFINITY else hard - 1
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, fewer), hard))
        launch.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= soft
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > min(soft, fewer)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_page_that_opens_first_is_behind_the_door() -> None:
    async def not_there_yet(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("It was asked.")

    client = TestClient(with_guards(not_there_yet, ["app.example"], TOKEN), "http://app.example")
    assert client.get("/").status_code == 401
    assert client.get("/api/queue").status_code == 401
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LOCALHOST:8501", True),
        ("localhost.", True),
        ("localhost.:9000", True),
        ("127.0.0.1:1", True),
        ("[::1]:8501", True),
        ("[0:0:0:0:0:0:0:1]", True),
        ("a.inside.example", True),
        ("inside.example", False),
        ("localhost..", False),
        ("localhost@evil.example", False),
        ("localhost:evil", False),
        ("localhost, evil.example", False),
        ("::1", False),
        ("[::1", False),
        ("", False),
        ("evil.example#localhost", False),
        ("192.0.2.7", False),
    ],
)
def test_names_are_compared_as_browsers_mean_them(host: str, known: bool) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    names = ["127.0.0.1", "localhost", "::1", "*.inside.example"]
    client = TestClient(with_guards(answer, names, None), HOME)
    for more in ({}, {"X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}):
        answered = client.get("/api/x", headers={"Host": host} | more)
        assert answered.status_code == (204 if known else 400)


def test_any_number_is_a_name_where_others_may_come() -> None:
    assert split_host("[2001:DB8::1]:80") == ("2001:db8::1", "80")
    asked = TestClient(with_guards(None, [], TOKEN), "http://[2001:db8::1]:8501")  # type: ignore[arg-type]
    assert asked.get("/").status_code == 401


def test_a_mistake_of_ours_is_said_with_the_same_headers() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("a mistake")

    client = TestClient(
        with_guards(broken, ["127.0.0.1"], None), HOME, raise_server_exceptions=False
    )
    for path in ("/api/queue", "/elsewhere"):
        answer = client.get(path)
        assert answer.status_code == 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "a mistake" not in answer.text


def test_another_name_is_named_with_what_to_do() -> None:
    client = TestClient(with_guards(None, ["127.0.0.1"], TOKEN), HOME)  # type: ignore[arg-type]
    told = client.get("/", headers={"Host": "Label.example.org:8501"})
    assert told.status_code == 400
    assert "labeler app --allow-host label.example.org" in told.text
    assert "<" not in client.get("/", headers={"Host": "<b>"}).text
    assert len(client.get("/", headers={"Host": "a." * 2000}).text) < 100


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("NAS.local", "nas.local"),
        ("https://label.example.org:8443/taste", "label.example.org"),
        (" label.example.org. ", "label.example.org"),
        ("[2001:DB8::1]:80", "2001:db8::1"),
        ("*.example.org", "*.example.org"),
        ("*", "*"),
    ],
)
def test_a_name_is_taken_as_people_write_it(given: str, name: str) -> None:
    assert parse_allowed_host(given) == name


@pytest.mark.parametrize("given", ["", "a b", "http://", "ann@host", "*.*.org", "höst"])
def test_what_is_no_name_is_told(given: str) -> None:
    with pytest.raises(LabelerError, match="--allow-host"):
        parse_allowed_host(given)


async def tells_its_path(scope: Any, receive: Any, send: Any) -> None:
    told = [scope["path"], Headers(scope=scope).get("origin", "")]
    await PlainTextResponse(" ".join(told))(scope, receive, send)


def test_a_server_in_front_may_ask_for_its_own_pages() -> None:
    names = ["127.0.0.1", "label.example.org"]
    app = with_guards(tells_its_path, names, None, proxy_hosts=["label.example.org"])
    write = {"X-Labeler": "1", "Content-Type": "application/json"}
    theirs = write | {"Origin": "https://label.example.org"}
    for host in ("127.0.0.1:8501", "label.example.org"):
        answer = TestClient(app, HOME).post("/api/x", headers=theirs | {"Host": host}, json={})
        # Streamlit compares the two as well.
        assert answer.text == f"/api/x http://{host}" or host == "label.example.org"
        assert answer.status_code == 200
    for origin in ("https://label.example.org:9000", "https://evil.example", "null"):
        answer = TestClient(app, HOME).post("/api/x", headers=theirs | {"Origin": origin}, json={})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("name", "host", "origin", "status"),
    [
        # Another service of the same machine, to which the browser shows the same cookies.
        ("nas.local", "nas.local:8501", "http://nas.local", 403),
        ("nas.local", "nas.local:8501", "http://nas.local:8501", 200),
        ("nas", "nas:8501", "http://nas", 403),
        ("nas.local", "nas.local:443", "https://nas.local", 200),
        ("nas.local", "nas.local:80", "https://nas.local", 403),
        ("*", "taste.example.org", "https://blog.example.org", 403),
        ("*", "127.0.0.1:8501", "https://blog.example.org", 403),
        ("*", "taste.example.org", "https://taste.example.org", 200),
        ("*.example.org", "127.0.0.1:8501", "https://blog.example.org", 403),
        ("*.example.org", "taste.example.org", "https://blog.example.org", 403),
        ("*.example.org", "taste.example.org", "https://taste.example.org", 200),
    ],
)
def test_another_service_of_the_same_name_or_site_is_another_site(
    name: str, host: str, origin: str, status: int
) -> None:
    app = with_guards(tells_its_path, ["127.0.0.1", name], None, proxy_hosts=[name])
    write = {"X-Labeler": "1", "Content-Type": "application/json", "Host": host, "Origin": origin}
    assert TestClient(app, HOME).post("/api/x", headers=write, json={}).status_code == status


@pytest.mark.parametrize(
    ("given", "base"), [("", ""), ("/", ""), ("taste", "/taste"), ("/a/b/", "/a/b")]
)
def test_a_base_path_is_taken_as_people_write_it(given: str, base: str) -> None:
    assert parse_base_path(given) == base


@pytest.mark.parametrize("given", ["/a/../b", "/a?b", "/a b", "/<b>", "http://x"])
def test_what_is_no_base_path_is_told(given: str) -> None:
    with pytest.raises(LabelerError, match="--base-path"):
        parse_base_path(given)


def test_below_a_base_path_everything_is_where_the_browser_looks() -> None:
    app = with_guards(tells_its_path, ["127.0.0.1"], TOKEN, base="/taste")
    client = TestClient(app, HOME, follow_redirects=False)
    assert client.get("/taste?a=1").headers["location"] == "/taste/?a=1"
    page = client.get("/taste/review")
    assert (page.status_code, 'action="/taste/token"' in page.text) == (401, True)
    # As a server in front hands it on that takes the path away.
    assert 'action="/taste/token"' in client.get("/review").text
    answer = client.get("/taste/review", params={"token": TOKEN})
    assert answer.headers["location"] == "/taste/review"
    assert client.get("/taste/api/x").text.strip() == "/api/x"
    assert client.get("/api/x").text.strip() == "/api/x"
    assert client.get("/tasteless/api").text.strip() == "/tasteless/api"
