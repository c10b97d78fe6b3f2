"""Audit: what the random sample says about each version, whatever the model chose to show.

Scores given in the random order are the sample, and the few random checks that are mixed into the
other orders. Only they may speak for the whole collection: what a review shows was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import db.images.counts
import db.scores.random_sample
import db.versions.predictions
import db.versions.registry
from db.records import RandomSample, Version
from labeler.core.project import Project
from labeler.versions.evaluation.held_out import held_out_predictions
from model.evaluation import audit as auditing
from model.evaluation.audit import Audit
from model.passing import least_passing, passes

# Waiting images in the part that has been gone through, above which it speaks for the collection
# as it was before they were imported.
MOST_WAITING = 0.1


@dataclass(frozen=True, slots=True)
class VersionAudit:
    """A version's audit at the project's threshold; `unpredicted` sampled images lack a prediction
    that was made without having seen them."""

    version: Version
    audit: Audit
    unpredicted: int


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The audits, oldest version first, and how the sample of `sampled` scored images stands.

    `waiting` images should be scored next for it (the random order shows them first), `skipped`
    ones were passed over; `audit_every` is the project's setting.
    """

    threshold: float
    sampled: int
    waiting: int
    skipped: int
    audit_every: int
    versions: list[VersionAudit]

    @property
    def is_dated(self) -> bool:
        """So much was imported since that the sample speaks for the collection before it."""
        return self.waiting > MOST_WAITING * (self.sampled + self.waiting)

    def notes(self) -> list[str]:
        """What must be known about the sample, a sentence each, with the next step."""
        random = "the order Random shows them first"
        told = []
        if not self.sampled:
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
            told.append(f"Skipped, and so missing from the sample: {self.skipped:,}.")
        return told

    @property
    def active(self) -> VersionAudit | None:
        return next((each for each in self.versions if each.version.active), None)


def audit_report(project: Project) -> AuditReport:
    sample = db.scores.random_sample.random_sample(project.store)
    return AuditReport(
        threshold=project.threshold,
        sampled=int(sample.sampled.sum()),
        waiting=sample.waiting,
        skipped=sample.skipped,
        audit_every=project.audit_every,
        versions=[
            _version_audit(project, version, sample)
            for version in db.versions.registry.history(project.store)
        ],
    )


def _version_audit(project: Project, version: Version, sample: RandomSample) -> VersionAudit:
    threshold = project.threshold
    held_out, stored = held_out_predictions(project, version, sample.image_ids)
    said, scores = np.fmax(held_out, stored), sample.values / 10
    passing, good, told = passes(said, threshold), passes(scores, threshold), ~np.isnan(said)
    rows = sample.sampled & told
    return VersionAudit(
        version=version,
        audit=auditing.audit(
            said[rows],
            scores[rows],
            threshold,
            sides=_sides(project, version.id, threshold),
            known=(int((passing & ~good).sum()), int((told & ~passing & good).sum())),
        ),
        unpredicted=int((sample.sampled & ~told).sum()),
    )


def _sides(project: Project, version_id: int, threshold: float) -> tuple[int, int]:
    """How many fine images pass by prediction, and fail; kept until images come or go, or there are
    other predictions.
    """
    store = project.store
    batches = db.versions.predictions.prediction_batches(store, version_id)
    return project.cache.get(
        "passing counts",
        (version_id, threshold),
        (batches, db.images.counts.image_stamp(store)),
        lambda: db.scores.random_sample.passing_counts(store, version_id, least_passing(threshold)),
        newest=256,
    )
