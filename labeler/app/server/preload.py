"""Read in advance what the pages Review and Explore need, so that the first click is quick."""

from __future__ import annotations

import threading
from contextlib import suppress

from db.errors import StoreError
from db.records import MISTAKES
from labeler.core.errors import LabelerError
from labeler.core.project import Project

DELAY_SECONDS = 2.0  # seconds: nothing is read ahead while the page that was asked for is made


def preload_review(project: Project, version_id: int) -> None:
    """Read in a thread of its own, once for each version, what Review and Explore need."""
    project.cache.get(
        "reading ahead", version_id, None, lambda: _start(project, version_id), newest=2
    )


def _start(project: Project, version_id: int) -> None:
    waiting = threading.Timer(DELAY_SECONDS, _read, args=(project,))
    waiting.name, waiting.daemon = f"review of version {version_id}", True
    waiting.start()


def _read(project: Project) -> None:
    # Imported here: it brings scipy, which the Score page does without.
    from labeler.review import pages, what_if

    # Imported where they are used: it brings scipy, which the Score page does without.
    from labeler.versions import browse

    # Whatever is wrong is told when the page is opened.
    with suppress(LabelerError, StoreError, OSError):
        pages.review_cards(project, MISTAKES)
        what_if.warm_up(project)
        browse.make_ready(project)
