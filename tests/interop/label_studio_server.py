"""A Label Studio server of the tests' own, and people with accounts on it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.interop.environments import Peer, clean_environment

PATIENCE = 1800  # seconds until it must have started: its first start makes a database
PASSWORD = "Only-for-this-run-1"
PEOPLE = ("ann@example.org", "ben@example.org")


class Account:
    """A person who is logged in, as a browser would be."""

    def __init__(self, address: str, email: str) -> None:
        self.address, self.email = address, email
        self._session = requests.Session()

    def sign_up(self) -> None:
        self._send_form("/user/signup/", allow_newsletters="false")

    def log_in(self) -> None:
        self._send_form("/user/login/")

    @property
    def number(self) -> int:
        return self.get("/api/current-user/whoami")["id"]

    def get(self, path: str, **parameters: Any) -> Any:
        return self.fetch(path, **parameters).json()

    def fetch(self, path: str, **parameters: Any) -> requests.Response:
        answer = self._session.get(self.address + path, params=parameters, timeout=PATIENCE)
        answer.raise_for_status()
        return answer

    def post(self, path: str, said: Any) -> Any:
        return self._send("POST", path, json=said)

    def patch(self, path: str, said: Any) -> Any:
        return self._send("PATCH", path, json=said)

    def upload(self, path: str, *files: Path) -> Any:
        sent = [("file", (file.name, file.read_bytes())) for file in files]
        return self._send("POST", path, files=sent)

    def project(self, config: str) -> int:
        return self.post("/api/projects", {"title": "exchange", "label_config": config})["id"]

    def export(self, project: int, kind: str, file: Path) -> Path:
        """The export of a project as the person downloads it; unannotated tasks as well."""
        path = f"/api/projects/{project}/export"
        file.write_bytes(self.fetch(path, exportType=kind, download_all_tasks="true").content)
        return file

    def tasks(self, project: int) -> list[dict[str, Any]]:
        found = self.get("/api/tasks", project=project, page_size=1000, fields="all")
        return sorted(found["tasks"], key=lambda task: task["id"])

    def annotate(self, task: int, *results: dict[str, Any]) -> None:
        said = {"result": list(results), "lead_time": 1.5}
        self.post(f"/api/tasks/{task}/annotations/", said)

    def _send(self, method: str, path: str, **sent: Any) -> Any:
        headers = {"X-CSRFToken": self._session.cookies.get("csrftoken", "")}
        answer = self._session.request(
            method, self.address + path, headers=headers, timeout=PATIENCE, **sent
        )
        if answer.status_code >= 400:
            raise Refused(answer.status_code, answer.text)
        return answer.json()

    def _send_form(self, path: str, **more: str) -> None:
        page = self.fetch(path).text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, page[:500]
        form = {"csrfmiddlewaretoken": token[1], "email": self.email, "password": PASSWORD}
        answer = self._session.post(
            self.address + path,
            data=form | more,
            headers={"Referer": self.address + path},
            timeout=PATIENCE,
        )
        assert answer.ok and "sessionid" in self._session.cookies, answer.text[:2000]


class Refused(Exception):
    """What the server didn't take: the status and its words."""


def number(value: float, name: str = "score") -> dict[str, Any]:
    """A result of a Number as the server's own page sends it."""
    return result("number", value, name)


def result(kind: str, value: Any, name: str) -> dict[str, Any]:
    told = {"from_name": name, "to_name": "image", "type": kind, "value": {kind: value}}
    return told | {"id": f"made-{name}", "origin": "manual"}


@contextmanager
def served(peer: Peer, folder: Path) -> Iterator[list[Account]]:
    """A server with its data in `folder`, and its two accounts; it ends with the block.

    The data of a server with nothing but the accounts is kept beside the environment.
    """
    fresh = peer.folder / "fresh-data"
    if not fresh.is_dir():  # making its database takes minutes
        making = peer.folder / "making-data"
        shutil.rmtree(making, ignore_errors=True)
        with _running(peer, making) as address:
            for account in _accounts(address)[1:]:
                account.sign_up()
        making.rename(fresh)
    shutil.copytree(fresh, folder)
    with _running(peer, folder) as address:
        accounts = _accounts(address)
        for account in accounts:
            account.log_in()
        yield accounts


def _accounts(address: str) -> list[Account]:
    return [Account(address, email) for email in PEOPLE]


@contextmanager
def _running(peer: Peer, folder: Path) -> Iterator[str]:
    """A server's address; it serves local files as our export says that it must."""
    port = _free_port()
    environment = clean_environment(
        LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED="true",
        LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="/",
        COLLECT_ANALYTICS="false",
        LATEST_VERSION_CHECK="false",
    )
    command = [peer.bin / "label-studio", "start", "--no-browser", "--port", str(port)]
    command += ["--internal-host", "127.0.0.1", "--data-dir", folder]
    command += ["--username", PEOPLE[0], "--password", PASSWORD]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            _wait(server, f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            if requests.get(f"{address}/health", timeout=10).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    raise AssertionError(f"The server did not start: {log.read_text()[-3000:]}")


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
