"""Protects where the app listens and to whom it answers: this machine only, unless told otherwise.

A busy port is named, the safe settings are passed whatever folder it starts in, and a page of
another site can't reach it under a name of its own.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner

from labeler.app.security.hosts import is_loopback
from labeler.app.server import launch, streamlit_entry
from labeler.cli.main import labeler
from labeler.core.errors import LabelerError
from labeler.core.project import Project

CODE = Path(__file__).parents[3]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_busy_port_is_named_with_the_flag(taken: int) -> None:
    with pytest.raises(LabelerError, match=rf"{taken}.*--port"):
        launch.choose_port("127.0.0.1", taken)


def test_without_a_port_a_free_one_is_found() -> None:
    port = launch.choose_port("127.0.0.1", None)
    with socket.socket() as probe:
        # As the server does: an app that has just ended leaves its port free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(LabelerError, match=re.escape(host)):
        launch.choose_port(host, 8501)


def test_only_this_machine_is_answered_by_default() -> None:
    assert launch.allowed_hosts("127.0.0.1") == ["127.0.0.1", "localhost"]
    assert socket.gethostname().lower() in launch.allowed_hosts("0.0.0.0")
    assert "0.0.0.0" not in launch.allowed_hosts("0.0.0.0")


@pytest.mark.parametrize(
    ("host", "private"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_the_network_can_reach_is_known(host: str, private: bool) -> None:
    assert is_loopback(host) is private


def test_the_settings_are_those_of_the_config_file() -> None:
    config = tomllib.loads((CODE / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    told = launch.streamlit_options("127.0.0.1", 8501)
    for section in ("server", "browser", "client"):
        for name, value in config[section].items():
            assert told[f"{section}.{name}"] == value


def test_letting_the_network_in_comes_with_a_word_about_it(tmp_path: Path, taken: int) -> None:
    Project.create(tmp_path / "project", encoder="lite").close()
    arguments = ["--project", str(tmp_path / "project"), "app", "--port", str(taken)]
    private = CliRunner().invoke(labeler, arguments)
    public = CliRunner().invoke(labeler, [*arguments, "--host", "0.0.0.0"])
    assert (private.exit_code, public.exit_code) == (1, 1)
    assert "read along" not in private.stderr
    assert "read along" in public.stderr


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """The folders that were to be served."""
    folders: list[Path | None] = []
    monkeypatch.setattr(launch, "serve", lambda folder, *_: folders.append(folder))
    return folders


@pytest.mark.parametrize("name", ["", "new", "new/deeper"])
def test_where_there_is_no_project_yet_the_first_page_is_served(
    tmp_path: Path, asked: list[Path | None], name: str
) -> None:
    folder = tmp_path / name
    told = CliRunner().invoke(labeler, ["--project", str(folder), "app"])
    assert (told.exit_code, asked) == (0, [folder])
    assert f"There is no project in {folder} yet; the app's first page makes one" in told.stderr
    by_name = CliRunner().invoke(labeler, ["app"], env={"LABELER_PROJECT": str(folder)})
    assert (by_name.exit_code, asked) == (0, [folder, folder])
    assert not list(tmp_path.iterdir()), "nothing is made before the page is asked to"


@pytest.mark.parametrize("name", ["notes.txt", "notes.txt/new"])
def test_a_file_is_no_place_for_a_project(
    tmp_path: Path, asked: list[Path | None], name: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    told = CliRunner().invoke(labeler, ["app"], env={"LABELER_PROJECT": str(tmp_path / name)})
    assert (told.exit_code, asked) == (1, [])
    assert told.stderr.strip().endswith(
        "notes.txt is a file, not a folder; name a folder with --project DIR."
    )


def test_a_folder_of_somebody_elses_is_no_place_for_a_project(
    tmp_path: Path, asked: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)
    told = CliRunner().invoke(labeler, ["--project", str(tmp_path / "new"), "app"])
    assert (told.exit_code, asked) == (1, [])
    assert f"{tmp_path} may not be written; choose a folder that you own." in told.stderr


def test_a_project_that_lost_its_store_is_restored_not_begun_anew(
    tmp_path: Path, asked: list[Path | None]
) -> None:
    (tmp_path / "labeler.sqlite-wal").write_bytes(b"")
    told = CliRunner().invoke(labeler, ["--project", str(tmp_path), "app"])
    assert (told.exit_code, asked) == (1, [])
    assert "labeler restore FILE" in told.stderr


def test_the_app_answers_on_its_port_to_its_names_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    Project.create(tmp_path / "project", encoder="lite").close()
    port = launch.choose_port("127.0.0.1", None)
    server = subprocess.Popen(
        [sys.executable, "-m", "labeler.cli", "app", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(CODE), "LABELER_PROJECT": str(tmp_path / "project")},
        cwd=tmp_path,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert f"http://127.0.0.1:{port}/?token=" in server.stdout.readline()
        assert status_of(port, f"localhost:{port}") == 401
        assert status_of(port, "evil.example") == 400
    finally:
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=30)
    assert server.returncode == 0
    assert told.strip() == "The app has ended; every score is kept."


@pytest.mark.parametrize("number", ["127.0.0.1", "::1"])
def test_the_address_that_is_opened_is_the_one_that_is_bound(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may mean another number to the browser, where somebody else has the same port."""
    family = socket.AF_INET6 if ":" in number else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 0, "", (number, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(launch, "_has_desktop", lambda: True)
    monkeypatch.setattr("webbrowser.open", opened.put)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    try:
        launch.serve(None, launch.LaunchOptions("localhost", 1, browser=True), print)
    except (OSError, LabelerError):
        pytest.skip("This machine has no such addresses, or lets nobody have that port.")
    there = opened.get(timeout=60)
    assert there.startswith("http://[::1]:" if ":" in number else "http://127.0.0.1:")


def test_a_store_that_cannot_be_opened_ends_the_app_with_its_sentence(tmp_path: Path) -> None:
    (tmp_path / "labeler.sqlite").write_bytes(b"no store at all" * 1000)
    port = launch.choose_port("127.0.0.1", None)
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "labeler.cli",
            "--project",
            str(tmp_path),
            "app",
            "--port",
            str(port),
        ],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(CODE)},
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert "is damaged or not a store of this program" in told.stderr
    assert "Traceback" not in told.stderr


def test_answers_leave_at_once_whoever_made_the_socket() -> None:
    """Else each waits 40 ms for the browser to acknowledge its headers."""
    assert in_a_thread(accepts_without_delay(launch._bind("127.0.0.1", 0), streamlit=False))
    streamlits = socket.socket()
    streamlits.bind(("127.0.0.1", 0))
    assert in_a_thread(accepts_without_delay(streamlits, streamlit=True))


def in_a_thread(work: Coroutine[Any, Any, bool]) -> bool:
    """Run it in a thread of its own: the browser tests' driver keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def accepts_without_delay(bound: socket.socket, *, streamlit: bool) -> bool:
    """Whether a connection that asyncio takes from the socket has TCP_NODELAY."""
    taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        taken.set_result(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        writer.close()

    async with await asyncio.start_server(connected, sock=bound):
        if streamlit:
            async with streamlit_entry.tcp_nodelay_lifespan(None):
                pass
        _, writer = await asyncio.open_connection(*bound.getsockname())
        try:
            return await asyncio.wait_for(taken, 30)
        finally:
            writer.close()


def status_of(port: int, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()
