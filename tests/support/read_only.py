"""Commands on a project that nobody can write in: on a read-only mount, or without the right to.

Root may write everywhere, so for root the folder is mounted again, read-only, in a mount namespace
of the commands' own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.ballast import UNSHARE, may_mount
from tests.support.small_disks import ROOT

_MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    said: str
    told: str


def can_be_had() -> bool:
    return may_mount() or os.geteuid() != 0


def in_read_only(folder: Path, commands: Sequence[Sequence[str]]) -> list[Ended]:
    """Each command in turn, in one process, while nothing below `folder` can be written."""
    words = [sys.executable, __file__, json.dumps([list(each) for each in commands])]
    if may_mount():
        return _ran([*UNSHARE, "sh", "-c", _MOUNTED, str(folder), *words])
    kept = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    try:
        for path, mode in kept.items():
            path.chmod(mode & ~0o222)
        return _ran(words)
    finally:
        for path, mode in kept.items():
            path.chmod(mode)


def _ran(words: list[str]) -> list[Ended]:
    told = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=told)
    assert done.returncode == 0, done.stderr
    return [Ended(*json.loads(line)) for line in done.stdout.splitlines()]


def main(commands: Sequence[Sequence[str]]) -> None:
    from tests.support.fault_world import invoke

    for words in commands:
        done = invoke(words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        print(json.dumps([done.exit_code, done.stdout, done.stderr]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
