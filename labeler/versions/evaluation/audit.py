"""Audit: how many mistakes each version makes, by the images that were drawn at random.

Scores given in the random order are the draws, and the few random checks that are mixed into the
other orders. Only they may speak for images that nobody has scored: what a review shows was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import db.scores.random_sample
import db.versions.predictions
import db.versions.registry
from db.records import RandomSample, Version
from labeler.core.project import Project
from labeler.versions.evaluation.random_draws import Basis, version_draws
from model.evaluation.audit import Audit, audit

# Waiting images in the part that has been gone through, above which it speaks for the collection
# as it was before they were imported.
MOST_WAITING = 0.1


@dataclass(frozen=True, slots=True)
class VersionAudit:
    """A version's audit at the project's threshold; `basis` and `sentence` say on which draws it
    rests (see `VersionDraws`)."""

    version: Version
    audit: Audit
    basis: Basis
    sentence: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The audits, oldest version first, and how the random order of the collection stands.

    `drawn` scored images were drawn at random. `waiting` images should be scored next for the
    sample (the random order shows them first), `skipped` ones were passed over; `audit_every` is
    the project's setting.
    """

    threshold: float
    drawn: int
    waiting: int
    skipped: int
    audit_every: int
    versions: list[VersionAudit]

    @property
    def is_dated(self) -> bool:
        """So much was imported since that the sample speaks for the collection before it."""
        return self.waiting > MOST_WAITING * (self.drawn + self.waiting)

    def notes(self) -> list[str]:
        """What must be known about the sample, a sentence each, with the next step."""
        random = "the order Random shows them first"
        told = []
        if not self.drawn:
            told.append(
                "No image has been scored at random yet: score some in the order Random, or let "
                "random checks be mixed into the others."
            )
        if self.is_dated:
            told.append(
                f"{self.waiting:,} images that were imported since belong to the sample. Until "
                f"they have a score it speaks for the collection before them; {random}."
            )
        elif self.waiting:
            told.append(f"Still to be scored for the sample: {self.waiting:,}; {random}.")
        if self.skipped:
            told.append(
                f"{self.skipped:,} of {self.drawn + self.skipped:,} drawn images were skipped: the "
                "intervals allow for each of them being a mistake, and for none."
            )
        return told

    @property
    def active(self) -> VersionAudit | None:
        return next((each for each in self.versions if each.version.active), None)


def audit_report(project: Project) -> AuditReport:
    """Return the audits of all versions."""
    sample = db.scores.random_sample.random_sample(project.store)
    return AuditReport(
        threshold=project.threshold,
        drawn=int(sample.drawn.sum()),
        waiting=sample.waiting,
        skipped=len(sample.skipped),
        audit_every=project.audit_every,
        versions=[
            _version_audit(project, version, sample)
            for version in db.versions.registry.history(project.store)
        ],
    )


def _version_audit(project: Project, version: Version, sample: RandomSample) -> VersionAudit:
    judged = version_draws(project, version, sample)
    is_after = np.array(
        [version.is_foreign or at > version.created_at for at in sample.skipped_at], dtype=bool
    )
    before, after = (
        db.versions.predictions.predictions(project.store, version.id, ids).scores
        for ids in (sample.skipped[~is_after], sample.skipped[is_after])
    )
    # What was skipped before the training can't be drawn after it any more.
    skips, out = (after, before) if judged.basis in ("after", "none") else (before, after[:0])
    told = audit(judged.draws, skips.astype(np.float64), out.astype(np.float64))
    return VersionAudit(version, told, judged.basis, judged.sentence())
