"""Keep the store's log empty while nobody scores, so that a copy of the folder is whole."""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress

from db.errors import StoreError
from db.store.commit_numbers import log_of
from db.store.store import Store

CHECK_SECONDS = 0.5


def checkpoint_when_idle(store: Store) -> None:
    """Empty the log whenever nothing was written for a moment, until the program ends."""
    keeper = IdleCheckpointer(weakref.ref(store))
    threading.Thread(target=keeper.run, name="log of the store", daemon=True).start()


class IdleCheckpointer:
    """A thread that empties the log when its size and time are the same in two checks."""

    def __init__(self, store: weakref.ref[Store]) -> None:
        self._store = store
        self._seen: tuple[int, int] | None = None

    def run(self) -> None:
        """Check the log every `CHECK_SECONDS` until the store is closed."""
        over = threading.Event()
        while not over.wait(CHECK_SECONDS):
            if self._store() is None:
                return
            with suppress(StoreError, OSError):  # told to whoever reads or writes next
                self.look()

    def look(self) -> bool:
        """Check the log; return whether it was emptied."""
        store = self._store()
        if store is None or store.is_stopped:
            return False
        previous, self._seen = self._seen, _state(store)
        rests = self._seen is not None and self._seen == previous and self._seen[0] > 0
        return rests and store.checkpoint()


def _state(store: Store) -> tuple[int, int] | None:
    """Return the log's size in bytes and its time; None where there is none."""
    try:
        stat = log_of(store.path).stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns
