"""Starts apps, each in a process forked from one that has imported what an app imports.

So an app costs its own work and no seconds of imports. Told what to start by lines of JSON on
standard input (`module` and `arguments` as for `python -m`, `environment`, `log`), it answers each
with the process's id. The processes lead groups of their own and are killed by whoever asked.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import labeler

HEAVY = ("streamlit.web.cli", "pandas", "altair", "alembic.command", "labeler.cli.main")
# The modules below these packages, less what does its work when it is imported.
PACKAGES = ("labeler.app.", "labeler.review.", "labeler.versions.")
PAGES = ("labeler.app.pages.", "labeler.app.frame.")
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def import_everything() -> None:
    for name in HEAVY:
        import_module(name)
    for module in walk_packages(labeler.__path__, "labeler."):
        if module.name.startswith(PACKAGES) and not module.name.startswith(PAGES):
            import_module(module.name)
    gc.freeze()


def run(told: dict[str, Any]) -> None:
    """Be that program until it ends, with what it prints in its log."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no app outlives killed tests
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, stream in enumerate((nothing, log, log)):
        os.dup2(stream, number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.argv = [told["module"], *told["arguments"]]
    sys.path[0] = str(Path.cwd())  # as `python -m` has it, in place of this file's folder
    code = 1
    try:
        runpy.run_module(told["module"], run_name="__main__", alter_sys=False)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    import_everything()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        with suppress(ChildProcessError):  # raised where no process is left to be waited for
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        child = os.fork()
        if child == 0:
            answers.close()
            run(json.loads(line))
        print(child, file=answers, flush=True)


if __name__ == "__main__":
    serve()
