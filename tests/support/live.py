"""The app as a process of its own, for tests that open it in a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


class App:
    """The app as a process of its own; it can be killed and started again on the same port."""

    def __init__(self, project: Path, logs: Path, base: str = "") -> None:
        self.project = project
        self.port = free_port()
        self.base = base
        self.url = f"http://127.0.0.1:{self.port}{base}"
        self.logs = logs
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ours: bool = False, wait: bool = True) -> None:
        """By `streamlit run`, or by `labeler app` if `ours`, below the path `base` if there is one;
        `wait` until it is all there.

        It asks nobody for a token: what that is like, `test_token_page.py` tries.
        Without `wait` it listens: a page can be opened, and is what is measured or tested.
        """
        port = str(self.port)
        command = ["streamlit", "run", "streamlit_app.py", "--server.port", port]
        command += ["--server.headless", "true", "--", "--no-token"]
        if ours:
            command = ["labeler.cli", "app", "--no-browser", "--no-token", "--port", port]
            command += ["--base-path", self.base] if self.base else []
        environment = os.environ | {"LABELER_PROJECT": str(self.project), "PYTHONPATH": str(ROOT)}
        with self.logs.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.answers if wait else self.listens, f"the app did not start: {self.logs}")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.logs.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """SIGKILL: nothing gets the chance to save anything."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], Any], otherwise: str) -> Any:
    """Ask again until `holds` gives something true, which is returned."""
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(otherwise)
        time.sleep(0.02)  # between two looks at the condition; nothing depends on its length
    return found
