"""The app as a process of its own, for tests that open it in a browser."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


class Forked:
    """A process forked by `app_server`: all that tests ask of a `subprocess.Popen` of an app."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def ended(self, seconds: float | None = 0) -> bool:
        """Whether it has ended, or does within so many seconds; None waits for it."""
        return bool(select.select([self._handle], [], [], seconds)[0])

    def kill(self) -> None:
        """SIGKILL to it and to all that it started, and wait for its end."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.ended(None)
        os.close(self._handle)


class Forks:
    """A process that has imported what an app imports; see `tests.support.app_server`."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("app_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "LABELER_PROJECT": ""},
            start_new_session=True,
        )
        atexit.register(self._server.kill)
        assert self._answer() == "ready"

    def start(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Forked:
        """`python -m module arguments` in the repository's folder, its words added to `log`."""
        told = {"module": module, "arguments": list(arguments), "log": str(log)}
        assert self._server.stdin is not None
        self._server.stdin.write(
            json.dumps(told | {"environment": dict(environment)}).encode() + b"\n"
        )
        self._server.stdin.flush()
        return Forked(int(self._answer()))

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().decode("ascii").strip()


@cache
def forks() -> Forks:
    """The one that this process of tests starts its apps from."""
    return Forks()


class App:
    """The app as a process of its own; it can be killed and started again on the same port."""

    def __init__(self, project: Path, logs: Path, base: str = "") -> None:
        self.project = project
        self.port = free_port()
        self.base = base
        self.url = f"http://127.0.0.1:{self.port}{base}"
        self.logs = logs
        self.process: subprocess.Popen[bytes] | Forked | None = None

    def start(self, *, ours: bool = False, wait: bool = True) -> None:
        """By `streamlit run`, or by `labeler app` if `ours`, below the path `base` if there is one;
        `wait` until it is all there.

        In a process forked from one that has imported everything. What a process of its own does
        from its first line on, `test_token_page.py` tries, and what it is like to be asked for a
        token.
        Without `wait` it listens: a page can be opened, and is what is measured or tested.
        """
        port = str(self.port)
        module, arguments = "streamlit", ["run", "streamlit_app.py", "--server.port", port]
        arguments += ["--server.headless", "true", "--", "--no-token"]
        if ours:
            module, arguments = "labeler.cli", ["app", "--no-browser", "--no-token", "--port", port]
            arguments += ["--base-path", self.base] if self.base else []
        self.launch(module, arguments)
        until(self.answers if wait else self.listens, f"the app did not start: {self.logs}")

    def launch(
        self, module: str, arguments: Sequence[str], *, fork: bool = True, **more: str
    ) -> None:
        """`python -m module arguments` on the project, with `more` in its environment.

        Without `fork`, in a process that is new from its first line on.
        """
        told = {"LABELER_PROJECT": str(self.project), "PYTHONPATH": str(ROOT)}
        environment = os.environ | told | more
        # On macOS a process that has imported all this had better not be forked.
        if fork and hasattr(os, "pidfd_open"):
            self.process = forks().start(module, arguments, environment, self.logs)
            return
        with self.logs.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self) -> bool:
        assert not self._ended(), self.logs.read_text()
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
        if isinstance(self.process, Forked):
            self.process.kill()
        elif self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def _ended(self) -> bool:
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll() is not None
        return self.process is None or self.process.ended()


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
