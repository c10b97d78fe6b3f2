"""Reading ahead of the first click: what the Review page needs is in memory before it is opened."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import lru_cache

from db.errors import StoreError
from db.records import MISTAKES
from labeler.errors import LabelerError
from labeler.moving import make_ready
from labeler.project import Project
from labeler.review import review_cards


@lru_cache(maxsize=2)
def keep_ready(project: Project, version_id: int) -> None:
    """Read, beside everything else and once for each version, what its pages are made from."""
    threading.Thread(
        target=_read, args=(project,), name=f"review of version {version_id}", daemon=True
    ).start()


def _read(project: Project) -> None:
    # Whatever is wrong is told when the page is opened.
    with suppress(LabelerError, StoreError):
        review_cards(project, MISTAKES)
        make_ready(project)
