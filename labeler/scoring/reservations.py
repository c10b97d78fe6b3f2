"""Who has which images before them: two people are not handed the same one while it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path

from labeler.core.project import Project
from labeler.scoring import events
from labeler.scoring.events import NextImages

HELD = 600.0  # seconds: who has not asked for more by then is thought to have left
MOST_HELD = 1000  # by one person: whoever has been handed more has scored the first of them
# What is scored already is there for everybody to look at.
FOR_ALL = ("revise", events.OTHERS)


class Reservations:
    """The images that were handed out lately, by person; kept in memory, forgotten at a restart.

    Nothing depends on it but how much work is done twice: what two people score all the same is
    kept under both names. One person's browsers and tabs share what they hold.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._handed: dict[str, dict[int, float]] = {}  # by person: when, by image
        self._lock = threading.Lock()

    def offer(
        self, project: Project, order: str, *, limit: int, exclude: Collection[int], scorer: str
    ) -> NextImages:
        """`labeler.scoring.events.next_images` without what others hold, unless only such are
        left.
        """

        def ask(left_out: Collection[int]) -> NextImages:
            return events.next_images(project, order, limit=limit, exclude=left_out, scorer=scorer)

        if order in FOR_ALL:
            return ask(exclude)
        # Two who ask at once are answered one after the other, else both would get the same.
        with self._lock:
            self._let_go()
            others = {i for who, held in self._handed.items() if who != scorer for i in held}
            offer = ask({*exclude, *others})
            if others and not offer.images:
                offer = ask(exclude)
            if not offer.images:
                return offer  # a page that only waits for more holds nothing on
            # What is on the screen still is asked to be left out, and so it is held on.
            latest = dict.fromkeys((*exclude, *(i.id for i in offer.images)), self._clock())
            before = self._handed.get(scorer, {}).items()
            held = {image_id: at for image_id, at in before if image_id not in latest} | latest
            self._handed[scorer] = dict(islice(held.items(), max(0, len(held) - MOST_HELD), None))
        return offer

    def _let_go(self) -> None:
        since = self._clock() - HELD
        fresh = {
            who: {image_id: at for image_id, at in held.items() if at > since}
            for who, held in self._handed.items()
        }
        self._handed = {who: held for who, held in fresh.items() if held}


_all: dict[Path, Reservations] = {}
_making = threading.Lock()


def reservations_of(project: Project) -> Reservations:
    """The one record of a project that is being served."""
    with _making:
        return _all.setdefault(project.folder, Reservations())
