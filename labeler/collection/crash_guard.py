"""Protection against files whose decoding crashes the program.

Each thread writes the name of the file that it reads to a note in the folder of runs. After a crash
the files in the notes are suspects: the next import reads each in a process of its own first, and
leaves out the ones that crash it.
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
_NOTE_NAME = re.compile(rf"{_NOTE}\d+-\d+")
_SUSPECTS = "suspects"
_LARGEST = 1 << 20  # bytes
_OPEN_PICTURE = (
    "import sys; from labeler.core.archives.opening import open_picture; open_picture(sys.argv[1])"
)


class CrashGuard:
    """Notes in `folder` of the files that this process's threads are reading; a context manager.

    Where the folder can't be written, there are no notes, and reading goes on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = threading.local()  # `descriptor` of its note, `longest` name in it
        self._notes: list[tuple[Path, int]] = []
        self._suspects: set[bytes] = set()
        self._cleared: set[bytes] = set()  # suspects that could be read

    def __enter__(self) -> CrashGuard:
        with contextlib.suppress(OSError):
            self._suspects = _read_names(self._folder / _SUSPECTS)
            for note in self._folder.iterdir():
                if _NOTE_NAME.fullmatch(note.name) and not _is_alive(note):
                    self._suspects |= _read_names(note)
                    self._save_suspects()
                    note.unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for path, descriptor in self._notes:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
        if self._cleared:
            self._suspects -= self._cleared
            with contextlib.suppress(OSError):
                self._save_suspects()

    def start_reading(self, path: str) -> None:
        """Note that this thread reads the file; raises `UnreadableImage` for one that crashes."""
        name = os.fsencode(path)
        if name in self._suspects - self._cleared:
            if crashes(path):
                raise UnreadableImage(CRASHED)
            self._cleared.add(name)
        with contextlib.suppress(OSError):
            descriptor = self._descriptor()
            # One call, so that no name is half written; NULs overwrite the rest of a longer name.
            self._thread.longest = max(len(name), self._thread.longest)
            os.pwrite(descriptor, name.ljust(self._thread.longest, b"\0"), 0)

    def _descriptor(self) -> int:
        if not hasattr(self._thread, "descriptor"):
            path = self._folder / f"{_NOTE}{os.getpid()}-{threading.get_ident()}"
            make_parent(path)
            self._thread.descriptor, self._thread.longest = created_anew(path), 0
            self._notes.append((path, self._thread.descriptor))
        return int(self._thread.descriptor)

    def _save_suspects(self) -> None:
        file = self._folder / _SUSPECTS
        if self._suspects:
            atomic_write_bytes(file, b"\0".join(sorted(self._suspects)))
        else:
            file.unlink(missing_ok=True)


def crashes(path: str) -> bool:
    """Return whether reading the file crashes a process, or takes longer than PATIENCE."""
    try:
        result = run(
            python("-c", _OPEN_PICTURE, path),
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return True
    return result.returncode < 0


def _read_names(file: Path) -> set[bytes]:
    try:
        return set(filter(None, read_up_to(file, _LARGEST).split(b"\0")))
    except OSError:
        return set()


def _is_alive(note: Path) -> bool:
    """Return whether the process that wrote the note still runs, and is not this one."""
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
