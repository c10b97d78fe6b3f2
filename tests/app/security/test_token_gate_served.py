"""Protects the door as it is really served: by `labeler app` and by `streamlit run`, byte for byte.

What no client library sends is sent here by hand: two Host headers, a whole address in place of the
path, sockets from elsewhere, bodies that never end.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labeler.app.server import launch
from labeler.core.project import Project

CODE = Path(__file__).parents[3]
PATIENCE = 60.0
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
STARTS = {
    "labeler app": ["labeler.cli", "app", "--no-browser", "--host", "0.0.0.0", "--port"],
    "streamlit run": [
        *("streamlit", "run", str(CODE / "streamlit_app.py"), "--server.address", "0.0.0.0"),
        *("--server.allowedHosts", "127.0.0.1", "--server.port"),
    ],
}


@dataclass
class Served:
    port: int
    token: str
    cookie: str = ""

    def says(self, raw: bytes) -> bytes:
        """All that is answered to these bytes, until the server hangs up or waits for more."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as asking:
            asking.sendall(raw)
            answer = b""
            while b"\r\n\r\n" not in answer and (part := asking.recv(65536)):
                answer += part
            return answer

    def get(self, path: str, method: str = "GET", **headers: str) -> bytes:
        all_headers = {
            "Host": f"127.0.0.1:{self.port}",
            "Cookie": self.cookie,
            "Connection": "close",
        }
        lines = [f"{name}: {value}" for name, value in (all_headers | headers).items()]
        return self.says("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode())

    def status(self, path: str, method: str = "GET", **headers: str) -> int:
        return status_of(self.get(path, method, **headers))

    def opens_socket(self, **headers: str) -> int:
        usual = {"Origin": f"http://127.0.0.1:{self.port}"}
        return self.status("/_stcore/stream", **(UPGRADE | usual | headers))


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.fixture(scope="module", params=list(STARTS))
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    Project.create(folder / "project", encoder="lite").close()
    port = launch.choose_port("127.0.0.1", None)
    told = {"LABELER_PROJECT": str(folder / "project"), "PYTHONPATH": str(CODE)}
    log = folder / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *STARTS[request.param], str(port)],
            env=os.environ | told,
            cwd=folder,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield entered(port, process, log)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def entered(port: int, process: subprocess.Popen[bytes], log: Path) -> Served:
    """With the token that the terminal shows."""
    deadline = time.monotonic() + PATIENCE
    while not (found := re.search(r"/\?token=([\w-]{30,})", log.read_text())):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)  # between two looks
    app = Served(port, found[1])
    while not listens(port):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)  # between two looks
    answer = app.get(f"/?token={app.token}").decode("latin-1")
    cookie = re.search(r"set-cookie: ([^;]+)", answer)
    assert cookie is not None, answer
    app.cookie = cookie[1]
    assert app.status("/_stcore/health") == 200
    return app


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_without_the_cookie_there_is_nothing(served: Served) -> None:
    for path in ("/", "/review", "/api/queue", "/img/1/full", "/_stcore/health", "/media/x.png"):
        assert served.status(path) == 200 or path in ("/api/queue", "/img/1/full", "/media/x.png")
        assert served.status(path, Cookie="") == 401
    assert served.opens_socket(Cookie="") in (401, 403)
    assert served.opens_socket() == 101


def test_a_socket_is_opened_from_our_own_page_alone(served: Served) -> None:
    assert served.opens_socket(Origin="http://evil.example") == 403
    assert served.opens_socket(Origin="null") == 403
    assert served.opens_socket(Origin=f"http://127.0.0.1:{served.port + 1}") == 403
    assert served.opens_socket(Host="evil.example", Origin="http://evil.example") == 400
    assert served.status("/_stcore/stream", **UPGRADE) == 403


def test_another_name_is_refused_however_it_is_said(served: Served) -> None:
    ours = f"Host: 127.0.0.1:{served.port}\r\nCookie: {served.cookie}\r\n"
    for request in (
        f"GET /api/stats HTTP/1.1\r\n{ours}Host: evil.example\r\n\r\n",
        f"GET http://evil.example/api/stats HTTP/1.1\r\n{ours}\r\n",
        f"GET /api/stats HTTP/1.1\r\nHost: evil.example\r\nCookie: {served.cookie}\r\n\r\n",
        f"GET /api/stats HTTP/1.1\r\nCookie: {served.cookie}\r\n\r\n",
        f"GET /api/stats HTTP/1.0\r\nCookie: {served.cookie}\r\n\r\n",
    ):
        assert status_of(served.says(request.encode())) == 400, request
    assert served.status("/api/stats", **{"X-Forwarded-Host": "evil.example"}) == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/../../etc/passwd", "/static/../../../etc/passwd", "/static/%2e%2e/%2e%2e/index.html"),
        *(
            "/img/1/..%2f..%2flabeler.sqlite",
            "/api/download/..%2f..%2fetc%2fpasswd",
            "/app/static/",
        ),
        *(
            "/media/..%2f..%2fx",
            "/component/x/..%2f..%2fx",
            "//etc/passwd",
            "/static",
            "/static/js/",
        ),
        *("/_stcore/bidi-components/x/..%2f..%2fx", "/labeler.sqlite", "/static/js/%00.js"),
        *("/assets/", "/assets/..%2ftheme.toml", "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
    ],
)
def test_no_path_leads_to_a_file_or_a_list_of_them(served: Served, path: str) -> None:
    answer = served.get(path)
    # An unknown page is Streamlit's own, which then says so.
    if status_of(answer) == 200:
        assert b"content-type: text/html" in answer.lower()
        assert b"<title>Streamlit</title>" in answer or b"index" not in answer.lower()
    assert b"root:" not in answer and b"SQLite format" not in answer
    assert b"x-content-type-options: nosniff" in answer.lower()


def test_a_body_without_end_is_cut_off(served: Served) -> None:
    """The server answers before it has read it: what goes on being sent is thrown away."""
    head = (
        f"PUT /_stcore/upload_file/x/y HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Origin: http://127.0.0.1:{served.port}\r\nCookie: {served.cookie}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE) as asking:
        asking.sendall(head.encode())
        threading.Thread(target=pour, args=(asking,), daemon=True).start()
        assert asking.recv(100).split(b" ")[1] == b"411"


def pour(into: socket.socket) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    try:
        for _ in range(1000):
            into.sendall(chunk)
    except OSError:  # The server has hung up.
        return
