"""Room on a disk, and the taking of it; whether a disk of one's own can be had at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

UNSHARE = ("unshare", "--map-root-user", "--mount")


@cache
def may_mount() -> bool:
    """Whether this machine lets us have a disk of our own."""
    if shutil.which("unshare") is None:
        return False
    tried = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def room(disk: Path) -> int:
    """Bytes free."""
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


@contextmanager
def ballast(disk: Path, free: int) -> Iterator[None]:
    """All but `free` bytes taken."""
    heavy = disk / "ballast"
    with heavy.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room(disk) - free))
    try:
        yield
    finally:
        heavy.unlink()


@contextmanager
def temporary(folder: Path) -> Iterator[None]:
    """Scratch files lie there, too."""
    folder.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        del os.environ["TMPDIR"]
        tempfile.tempdir = None


@contextmanager
def watched(disk: Path, least: list[int]) -> Iterator[None]:
    """Notes how little room there was meanwhile: what is written and removed again counts, too."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            least.append(room(disk))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
