"""What an open project keeps in memory, so that it is computed once and given up with the project.

Caches of pure functions, which hold nothing of a project, are plain `functools.lru_cache`s.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")


class ProjectCache:
    """Values by kind and key, each the same object until its stamp changes. Safe between threads.

    >>> images = project.cache.get("images", None, stamp, lambda: read_images(project))
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # never held while a value is made
        self._kinds: dict[str, OrderedDict[Hashable, _Entry]] = {}

    def get(
        self,
        kind: str,
        key: Hashable,
        stamp: object,
        make: Callable[[], Value],
        *,
        newest: int = 1,
    ) -> Value:
        """Return the value of `key`, made by `make` if there is none with an equal `stamp`.

        Only the `newest` keys of a kind that were asked for last are kept; room is made before a
        value is. Threads that ask for the same key and stamp meanwhile wait for that value, others
        don't. What `make` raises is raised, and not kept: the next one to ask tries again.
        """
        entry = self._entry(kind, key, stamp, newest)
        if not entry.is_made:
            with entry.making:
                if not entry.is_made:
                    entry.value = make()
                    entry.is_made = True
        value: Value = entry.value
        return value

    def clear(self) -> None:
        """Drop all; what is being made goes to those who wait for it, and is not kept."""
        with self._lock:
            self._kinds.clear()

    def _entry(self, kind: str, key: Hashable, stamp: object, newest: int) -> _Entry:
        with self._lock:
            entries = self._kinds.setdefault(kind, OrderedDict())
            entry = entries.get(key)
            if entry is None or entry.stamp != stamp:
                entry = entries[key] = _Entry(stamp)
            entries.move_to_end(key)
            while len(entries) > newest:
                entries.popitem(last=False)
            return entry


class _Entry:
    __slots__ = ("is_made", "making", "stamp", "value")

    def __init__(self, stamp: object) -> None:
        self.stamp = stamp
        self.making = threading.Lock()
        self.is_made = False
        self.value: Any = None
