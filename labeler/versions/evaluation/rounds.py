"""Rounds: what each review found, what the retraining after it changed, and whether to go on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import db.scores.random_sample
import db.versions.registry
import db.versions.rounds
from db.records import QueueOutcome, RandomSample, Round, Version
from labeler.core.project import Project
from labeler.versions.evaluation.compare import Change, compare
from model.evaluation.proportions import Proportion, proportion

JUDGED_BY = ("mae", "average_precision")  # the changes that a round tells


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What became of a round's cards in one queue; `hit_rate` is of the cards that were scored."""

    queue: str
    shown: int
    reviewed: int
    corrected: int
    skipped: int
    hit_rate: Proportion | None


@dataclass(frozen=True, slots=True)
class RoundReport:
    """A round: the cards of version `of`, and the version that was trained after it.

    `changes` are from the one to the other on the `judged` images that were drawn at random and
    that neither had seen; empty while there is no version after it, or too few images.
    """

    id: int
    of: str
    to: str | None
    reviewed: int
    corrected: int
    skipped: int
    hit_rate: Proportion | None
    queues: list[QueueReport]
    judged: int
    changes: list[Change]


def round_reports(project: Project) -> list[RoundReport]:
    """All rounds in which a card was handled, oldest first."""
    by_round: dict[int, list[QueueOutcome]] = defaultdict(list)
    for outcome in db.versions.rounds.by_queue(project.store):
        by_round[outcome.round_id].append(outcome)
    versions = {each.name: each for each in db.versions.registry.history(project.store)}
    sample = db.scores.random_sample.random_sample(project.store)
    return [
        _report(project, each, by_round[each.id], versions, sample)
        for each in db.versions.rounds.history(project.store)
        if each.corrected + each.confirmed + each.skipped
    ]


def _report(
    project: Project,
    done: Round,
    outcomes: list[QueueOutcome],
    versions: dict[str, Version],
    sample: RandomSample,
) -> RoundReport:
    judged: int = 0
    found: list[Change] = []
    if done.to_version is not None:
        compared = compare(project, versions[done.to_version], versions[done.from_version], sample)
        judged = compared.draws
        found = [each for each in compared.changes if each.measure in JUDGED_BY]
    return RoundReport(
        id=done.id,
        of=done.from_version,
        to=done.to_version,
        reviewed=done.corrected + done.confirmed,
        corrected=done.corrected,
        skipped=done.skipped,
        hit_rate=proportion(done.corrected, done.corrected + done.confirmed),
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
        hit_rate=proportion(outcome.corrected, reviewed),
    )
