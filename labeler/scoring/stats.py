"""The figures beside the picture on the Score page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import db.images.counts
import db.scores.hand_scores
from labeler.core.project import Project


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of images, and the pace of scoring.

    `distribution` (11,): how many images have a hand score that rounds to 0, 1, … 10. `today` and
    `last_hour` count hand scores; `per_minute` is the pace since the last pause, None for fewer
    than two scores.
    """

    scored: int
    unscored: int
    distribution: list[int]
    today: int
    last_hour: int
    per_minute: float | None


def score_stats(project: Project, now: datetime | None = None) -> Stats:
    """Return the figures at `now`, whose time zone decides when today began; default: local."""
    store = project.store
    tempo = db.scores.hand_scores.tempo(store, now or datetime.now().astimezone())
    counts = db.images.counts.by_hand_score(store)
    return Stats(
        scored=counts.scored,
        unscored=counts.waiting,
        distribution=counts.distribution,
        today=tempo.today,
        last_hour=tempo.last_hour,
        per_minute=tempo.per_minute,
    )
