"""Locks on files that end with their process: what tells a living writer from a killed one."""

from __future__ import annotations

from pathlib import Path

from db.store.regular_files import open_to_read

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None


def lock(handle: int) -> bool:
    """Lock an open file until it is closed or the process ends, however it ends.

    False where another has it locked, in this process or elsewhere, or nothing can be locked.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_held(path: Path) -> bool | None:
    """Return whether a living process has the file locked; None where that can't be told."""
    if fcntl is None:
        return None
    try:
        with open_to_read(path) as file:
            # Shared: two that look at once don't take each other for its holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
