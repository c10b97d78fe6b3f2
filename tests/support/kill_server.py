"""Runs commands of `labeler`, each in a process forked from one that has imported everything.

So a command that is to be killed costs its own work and no seconds of imports, and the moment it is
killed at falls into that work. Told what to run by lines of JSON on standard input, it answers each
with the process's id and then with how the process ended. With `die_at` N the command kills itself
just before the Nth time that it makes, opens for writing, renames, links or removes a file below
`watched`; without one it is only counted how often it does. With the argument `tiny` every encoder
is one that only tells bright from dark: loading a real one takes longer than all else.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from importlib import import_module
from typing import Any

import model.encoders.load
from tests.support.shades import Brightness

HEAVY = (
    "alembic.command",
    "labeler.cli.main",
    "labeler.cli.job_kinds",
    "labeler.versions.train",
    "labeler.embedding.embed",
    "labeler.collection.importing",
    "labeler.prediction.filter",
    "labeler.versions.inference",
    "labeler.versions.calibration",
    "labeler.exports.datasets.export",
    "labeler.exports.datasets.formats.imagefolder",
    "labeler.exports.datasets.formats.dataset",
    "labeler.exports.models.export",
    "labeler.core.jobs.runner",
    "pyarrow.parquet",
    "torch._dynamo",  # by torch itself, at the first training
)
CHANGES = ("os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """Counts what changes files below a folder, and ends the process at one of these moments."""

    def __init__(self, folder: str, die_at: int | None) -> None:
        self.folder, self.die_at, self.seen = folder, die_at, 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and not (isinstance(args[2], int) and args[2] & WRITING):
            return
        if event != "open" and event not in CHANGES:
            return
        if not any(
            os.fsdecode(name).startswith(self.folder)
            for name in args[:2]
            if isinstance(name, str | bytes)
        ):
            return
        self.seen += 1
        if self.seen == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def run(told: dict[str, Any]) -> int:
    """The command in this process, its words going to the log; returns its exit code."""
    log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    # A file object of its own: the parent's would share its buffer.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
    from labeler.cli.common import OWN_PROCESS
    from labeler.cli.main import labeler

    watch = Watch(told["watched"], told["die_at"])
    sys.addaudithook(watch)
    try:
        labeler(told["words"], prog_name="labeler", obj=OWN_PROCESS)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with open(told["log"] + ".count", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(str(watch.seen))
    return 0


def serve() -> None:
    if "tiny" in sys.argv[1:]:  # before what imports it by its name
        model.encoders.load.load_encoder = lambda _name: Brightness()
    else:
        import_module("model.encoders.lite")
    for name in HEAVY:
        import_module(name)
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            os._exit(run(told))
        print(child, file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    serve()
