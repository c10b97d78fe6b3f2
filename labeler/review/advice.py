"""Advise whether another round of reviewing is worth its effort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import db.versions.registry
import db.versions.rounds
from db.records import MISTAKES
from labeler.core.project import Project
from labeler.review.pages import count_without_embedding, review_cards
from labeler.versions.evaluation.audit import AuditReport
from labeler.versions.evaluation.compare import compare
from labeler.versions.evaluation.rounds import RoundReport
from model.evaluation import stopping
from model.evaluation.proportions import Proportion
from model.evaluation.stopping import Advice, Evidence


def review_advice(project: Project, rounds: Sequence[RoundReport], audit: AuditReport) -> Advice:
    """Advise whether another round is worth it, from the rounds, the audit and the next cards."""
    active = audit.active
    expected, cards = (None, 0) if active is None else expected_mistakes(project)
    return stopping.advise(
        Evidence(
            found=_latest_hit_rate(rounds),
            expected=expected,
            cards=cards,
            left=None if active is None or audit.is_dated else active.audit.left,
            change=_last_change(project),
            without_embedding=count_without_embedding(project),
        )
    )


def expected_mistakes(project: Project) -> tuple[float, int]:
    """Return how many mistakes the model expects among the next cards, and the number of these
    cards.

    The cards are those that the Review page shows next. (In the queue of hand scores suspicion is
    an order, not a chance.)
    """
    suspicions = [card.suspicion for card in review_cards(project, MISTAKES, limit=stopping.PAGE)]
    return sum(suspicions), len(suspicions)


def _latest_hit_rate(rounds: Sequence[RoundReport]) -> Proportion | None:
    """Return the hit rate of the last round with enough cards, else of the last one."""
    rates = [report.hit_rate for report in rounds if report.hit_rate is not None]
    enough = [rate for rate in rates if rate.trials >= stopping.FEWEST_REVIEWED]
    return next(iter(reversed(enough or rates)), None)


def _last_change(project: Project) -> Literal["better", "worse", "open"] | None:
    """Return what the last training changed, by images drawn at random after it."""
    versions = db.versions.registry.history(project.store)
    last = next((each for each in reversed(versions) if not each.is_foreign), None)
    parent = next((each for each in versions if last and last.parent == each.name), None)
    if last is None or parent is None:
        return None
    return compare(project, last, parent).verdict or "open"
