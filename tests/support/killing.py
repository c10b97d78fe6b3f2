"""Commands that are killed: with SIGKILL, the whole process group, at a moment of one's choice.

`Commands` runs them in processes forked from one that has imported everything (tests/kill_server),
so that kills fall into the work and not into the imports; or, if `real`, as a person starts them.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
LONGEST = 300.0  # seconds until a command is taken to hang
LOOK = 0.0005  # seconds between two looks whether the moment has come
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Moment:
    """When to kill: after `seconds`, at the `change`-th change of a file (from 1), or when `seen`.

    Only one of them is given; none of them lets the command end by itself.
    """

    seconds: float | None = None
    change: int | None = None
    seen: Callable[[], object] | None = None

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"after {self.seconds:.3f} s"
        return f"before change {self.change} of a file" if self.change else "as soon as seen"


NEVER = Moment()


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit `code` (-9: killed), how long it ran, how often it changed files;
    `said` is what it printed.
    """

    code: int
    seconds: float
    changes: int
    said: str

    @property
    def killed(self) -> bool:
        return self.code == KILLED


class Commands:
    """Runs one command after the other; a context manager. With `tiny` there is a quick encoder."""

    def __init__(self, folder: Path, *, tiny: bool = False) -> None:
        self._log = folder / "command.log"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "LABELER_PROJECT": ""}
        arguments = ["tiny"] if tiny else []
        self._environment = environment
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kill_server.py")), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            # Read unbuffered: what already lay in a buffer would not wake up whoever waits for it.
            bufsize=0,
            start_new_session=True,
        )
        assert self._answer() == "ready"

    def __call__(
        self, project: Path, words: Sequence[str], moment: Moment = NEVER, *, real: bool = False
    ) -> Ended:
        """`labeler --project PROJECT WORDS`, killed at the moment unless it ends before."""
        words = ["--project", str(project), *words]
        count = self._log.with_name(self._log.name + ".count")
        for old in (self._log, count):
            old.unlink(missing_ok=True)
        started = time.monotonic()
        if real:
            assert moment.change is None
            code = self._run_real(words, moment, started)
        else:
            code = self._run_forked(words, project.parent, moment, started)
        seconds = time.monotonic() - started
        said = self._log.read_text(encoding="utf-8") if self._log.exists() else ""
        return Ended(code, seconds, int(count.read_text() or 0) if count.exists() else 0, said)

    def _run_forked(self, words: list[str], watched: Path, moment: Moment, started: float) -> int:
        told = {"words": words, "log": str(self._log), "watched": str(watched)}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(told | {"die_at": moment.change}).encode() + b"\n")
        pid = int(self._answer())
        assert self._server.stdout is not None
        answers = [self._server.stdout]
        _kill_at(moment, started, pid, lambda wait: bool(select.select(answers, [], [], wait)[0]))
        return int(self._answer())

    def _run_real(self, words: list[str], moment: Moment, started: float) -> int:
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "labeler.cli", *words],
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

        def ended(wait: float) -> bool:
            with suppress(subprocess.TimeoutExpired):
                process.wait(wait)
            return process.poll() is not None

        _kill_at(moment, started, process.pid, ended)
        return process.wait()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().decode("ascii").strip()

    def __enter__(self) -> Commands:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.kill()
        for stream in (self._server.stdin, self._server.stdout):
            assert stream is not None
            stream.close()
        self._server.wait()


def _kill_at(moment: Moment, started: float, pid: int, ended: Callable[[float], bool]) -> None:
    """Kill the group of `pid` when the moment comes, unless it has `ended` within some seconds."""
    due = started + (LONGEST if moment.seconds is None else moment.seconds)
    while not ended(max(0.0, min(LOOK if moment.seen else LONGEST, due - time.monotonic()))):
        late = time.monotonic() >= due
        if late or (moment.seen is not None and moment.seen()):
            kill_group(pid)
            assert not late or moment.seconds is not None, "the command hangs"
            return


def kill_group(pid: int) -> None:
    """The process and all that it started, unless they are gone already."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # Not the leader of its group yet, or ended.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
