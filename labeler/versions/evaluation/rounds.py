"""Rounds: what each review found, what the retraining after it changed, and whether to go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import db.versions.registry
import db.versions.rounds
from db.records import MISTAKES, QueueOutcome, Round, Version
from labeler.core.project import Project
from labeler.review.pages import review_cards, without_embedding
from labeler.versions.evaluation.audit import AuditReport
from labeler.versions.evaluation.compare import (
    FEWEST_SHARED,
    Change,
    judged_by_both,
    kept_differences,
)
from model.evaluation import stopping
from model.evaluation.proportions import Share, share_of
from model.evaluation.stopping import Advice, Evidence

JUDGED_BY = ("mae", "average_precision")


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What became of a round's cards in one queue; `hit_rate` is of the cards that were scored."""

    queue: str
    shown: int
    reviewed: int
    corrected: int
    skipped: int
    hit_rate: Share | None


@dataclass(frozen=True, slots=True)
class RoundReport:
    """A round: the cards of version `of`, and the version that was trained after it.

    `changes` are of the held-out figures from the one to the other on the `judged` images that both
    were judged on; empty while there is no version after it, or too few images.
    """

    id: int
    of: str
    to: str | None
    reviewed: int
    corrected: int
    skipped: int
    hit_rate: Share | None
    queues: list[QueueReport]
    judged: int
    changes: list[Change]


def round_reports(project: Project) -> list[RoundReport]:
    """All rounds in which a card was handled, oldest first."""
    by_round: dict[int, list[QueueOutcome]] = defaultdict(list)
    for outcome in db.versions.rounds.by_queue(project.store):
        by_round[outcome.round_id].append(outcome)
    versions = {each.name: each for each in db.versions.registry.history(project.store)}
    return [
        _report(project, each, by_round[each.id], versions)
        for each in db.versions.rounds.history(project.store)
        if each.corrected + each.confirmed + each.skipped
    ]


def _report(
    project: Project, done: Round, outcomes: list[QueueOutcome], versions: dict[str, Version]
) -> RoundReport:
    judged: int = 0
    found: list[Change] = []
    if done.to_version is not None:
        judged, found = change_between(
            project, versions[done.from_version], versions[done.to_version]
        )
    return RoundReport(
        id=done.id,
        of=done.from_version,
        to=done.to_version,
        reviewed=done.corrected + done.confirmed,
        corrected=done.corrected,
        skipped=done.skipped,
        hit_rate=share_of(done.corrected, done.corrected + done.confirmed),
        queues=[_queue_report(each) for each in outcomes],
        judged=judged,
        changes=found,
    )


def _queue_report(outcome: QueueOutcome) -> QueueReport:
    reviewed = outcome.corrected + outcome.confirmed
    return QueueReport(
        queue=outcome.queue,
        shown=outcome.shown,
        reviewed=reviewed,
        corrected=outcome.corrected,
        skipped=outcome.skipped,
        hit_rate=share_of(outcome.corrected, reviewed),
    )


def change_between(project: Project, old: Version, new: Version) -> tuple[int, list[Change]]:
    """How many images both were judged on, and what changed in the figures `JUDGED_BY`."""
    judged = judged_by_both(project, new, old)
    if len(judged.truth) < FEWEST_SHARED:
        return len(judged.truth), []
    return len(judged.truth), kept_differences(judged, new.threshold, JUDGED_BY)


def advice(project: Project, rounds: Sequence[RoundReport], audit: AuditReport) -> Advice:
    """Whether another round is worth it, from all that is known."""
    active = audit.active
    expected, cards = (None, 0) if active is None else expected_mistakes(project)
    return stopping.advise(
        Evidence(
            found=_found(rounds),
            expected=expected,
            cards=cards,
            left=None if active is None or audit.is_dated else active.audit.left,
            change=_last_change(project),
            without_embedding=without_embedding(project),
        )
    )


def expected_mistakes(project: Project) -> tuple[float, int]:
    """How many mistakes the model expects among the next cards, and how many cards those are.

    Those that the Review page deals next. (In the queue of hand scores suspicion orders the cards,
    but is no chance.)
    """
    suspicions = [card.suspicion for card in review_cards(project, MISTAKES, limit=stopping.PAGE)]
    return sum(suspicions), len(suspicions)


def _found(rounds: Sequence[RoundReport]) -> Share | None:
    """The last round with enough cards to prove something, else the last one."""
    rates = [each.hit_rate for each in rounds if each.hit_rate is not None]
    enough = [rate for rate in rates if rate.trials >= stopping.FEWEST_REVIEWED]
    return next(iter(reversed(enough or rates)), None)


def _last_change(project: Project) -> Literal["better", "worse", "mixed", "same"] | None:
    """What the last training clearly did to the figures, beside the version it came from."""
    versions = db.versions.registry.history(project.store)
    last = next((each for each in reversed(versions) if not each.is_foreign), None)
    parent = next((each for each in versions if last and last.parent == each.name), None)
    if last is None or parent is None:
        return None
    _, found = change_between(project, parent, last)
    verdicts = {change.verdict for change in found if change.verdict is not None}
    if len(verdicts) == 2:
        return "mixed"
    return next(iter(verdicts), "same" if found else None)
