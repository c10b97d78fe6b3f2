"""Which files were being read when the program died: a process of their own reads them first.

A decoder that crashes takes the whole program with it, and would do so at every import. What each
thread has in hand is noted beside the runs; after a death these few files are under suspicion, and
one that kills another process, too, is left out with a reason.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from db.store.regular_files import created_anew, read_up_to
from labeler.core.files.atomic import atomic_write_bytes, make_parent
from labeler.core.jobs.child_process import python, run
from model.errors import UnreadableImage

CRASHED = (
    "Reading it ends the program that reads pictures, so it is left out; save it anew as PNG or "
    "JPEG with the program that made it."
)
PATIENCE = 60.0  # seconds
_NOTE = "reading-"
_NOTES = re.compile(rf"{_NOTE}\d+-\d+")
_SUSPECTS = "suspects"
_LARGEST = 1 << 20  # bytes
_LOOK = (
    "import sys; from labeler.core.archives.opening import open_picture; open_picture(sys.argv[1])"
)


class InHand:
    """What the threads of this process have in hand; use as a context.

    A folder that can't be written costs the notes and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = threading.local()
        self._files: list[tuple[Path, int]] = []
        self._suspects: set[bytes] = set()
        self._cleared: set[bytes] = set()

    def __enter__(self) -> InHand:
        with contextlib.suppress(OSError):
            self._suspects = _names(self._folder / _SUSPECTS)
            for note in self._folder.iterdir():
                if _NOTES.fullmatch(note.name) and not _is_alive(note):
                    self._suspects |= _names(note)
                    self._keep()
                    note.unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for path, descriptor in self._files:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
        if self._cleared:
            self._suspects -= self._cleared
            with contextlib.suppress(OSError):
                self._keep()

    def take(self, path: str) -> None:
        """Note that this thread reads the file now; raises `UnreadableImage` for one that kills."""
        name = os.fsencode(path)
        if name in self._suspects - self._cleared:
            if kills(path):
                raise UnreadableImage(CRASHED)
            self._cleared.add(name)
        with contextlib.suppress(OSError):
            descriptor = self._descriptor()
            # One call: NULs, which end a name, take the place of what was longer.
            self._own.longest = max(len(name), self._own.longest)
            os.pwrite(descriptor, name.ljust(self._own.longest, b"\0"), 0)

    def _descriptor(self) -> int:
        if not hasattr(self._own, "descriptor"):
            path = self._folder / f"{_NOTE}{os.getpid()}-{threading.get_ident()}"
            make_parent(path)
            self._own.descriptor, self._own.longest = created_anew(path), 0
            self._files.append((path, self._own.descriptor))
        return int(self._own.descriptor)

    def _keep(self) -> None:
        kept = self._folder / _SUSPECTS
        if self._suspects:
            atomic_write_bytes(kept, b"\0".join(sorted(self._suspects)))
        else:
            kept.unlink(missing_ok=True)


def kills(path: str) -> bool:
    """Whether reading the file ends a process, or doesn't end at all."""
    try:
        ended = run(
            python("-c", _LOOK, path),
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return True
    return ended.returncode < 0


def _names(file: Path) -> set[bytes]:
    try:
        return set(filter(None, read_up_to(file, _LARGEST).split(b"\0")))
    except OSError:
        return set()


def _is_alive(note: Path) -> bool:
    """Whether the process that wrote the note still runs."""
    process = note.name.removeprefix(_NOTE).partition("-")[0]
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()
