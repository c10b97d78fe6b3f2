"""Reservations of images: two people are not given the same image to score at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from itertools import islice

from labeler.core.project import Project
from labeler.scoring import queue
from labeler.scoring.queue import NextImages

HELD = 600.0  # seconds that a reservation lasts after a person's last request
MOST_HELD = 1000  # images by one person; the oldest reservations go first
# Orders of images that are scored already: everybody may look at these.
FOR_ALL = (queue.REVISE, queue.OTHERS)


class Reservations:
    """The images that each person was given lately, in memory alone.

    They only save work: where two people score one image anyhow, both scores are kept. All browsers
    and tabs of one person share their reservations. `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, dict[int, float]] = {}  # time by image id, by person
        self._lock = threading.Lock()

    def offer(
        self, project: Project, order: str, *, limit: int, exclude: Collection[int], scorer: str
    ) -> NextImages:
        """Return `labeler.scoring.queue.next_images` without the images that others hold.

        Where only such images are left, they are returned.
        """

        def next_without(excluded: Collection[int]) -> NextImages:
            return queue.next_images(project, order, limit=limit, exclude=excluded, scorer=scorer)

        if order in FOR_ALL:
            return next_without(exclude)
        # The lock covers the query: else two requests at once would get the same images.
        with self._lock:
            self._drop_expired()
            others = {i for who, reserved in self._held.items() if who != scorer for i in reserved}
            result = next_without({*exclude, *others})
            if others and not result.images:
                result = next_without(exclude)
            if not result.images:
                return result  # a page that polls for more prolongs no reservation
            # `exclude` names the images that are still on the screen: they are held again.
            latest = dict.fromkeys((*exclude, *(i.id for i in result.images)), self._clock())
            before = self._held.get(scorer, {}).items()
            reserved = {image_id: at for image_id, at in before if image_id not in latest} | latest
            self._held[scorer] = dict(
                islice(reserved.items(), max(0, len(reserved) - MOST_HELD), None)
            )
        return result

    def _drop_expired(self) -> None:
        since = self._clock() - HELD
        fresh = {
            who: {image_id: at for image_id, at in reserved.items() if at > since}
            for who, reserved in self._held.items()
        }
        self._held = {who: reserved for who, reserved in fresh.items() if reserved}


def reservations_of(project: Project) -> Reservations:
    """Return the reservations of a project, the same ones for every request of this process."""
    return project.cache.get("reservations", None, None, Reservations)
