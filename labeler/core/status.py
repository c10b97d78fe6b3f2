"""Status of a project: counts of images and hand scores, and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.images.sources
import db.jobs
import db.scores.hand_scores
import db.versions.registry
from db.errors import StoreError
from db.images.states import count_replaced
from db.records import Version
from labeler.core.jobs.liveness import is_dead, mark_dead
from labeler.core.project import Project

ACTIVE_KINDS = ("import", "embed", "train", "adopt")


@dataclass(frozen=True)
class SourceStatus:
    """A source, with the numbers of its images."""

    name: str
    root: str | None
    expect: tuple[float, float] | None  # hand scores, 0–10
    images: int
    scored: int


@dataclass(frozen=True)
class Unreadable:
    """A file that can't be read as an image, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Status:
    """`distribution[k]` is how many images have a hand score of about k, for k = 0..10.

    `embedded` counts for the project's own encoder; `waiting` is how many hand scores differ from
    those that the version `since` was trained on (all of them where there is none). Of the images
    without a file `replaced` are those whose files hold something else now, `missing` the others.
    """

    folder: str
    encoder: str
    threshold: float
    fine: int
    missing: int
    replaced: int
    unreadable: list[Unreadable]
    embedded: int
    scored: int
    unscored: int
    distribution: list[int]
    waiting: int
    sources: list[SourceStatus]
    versions: list[Version]
    running: list[str]

    @property
    def active(self) -> Version | None:
        """Return the active version; None without one."""
        return next((version for version in self.versions if version.active), None)

    @property
    def since(self) -> Version | None:
        """Return the version since which hand scores are new; None without one."""
        return trained_before(self.versions)

    def next_step(self) -> str | None:
        """Return the command to run next; None if the next step is to look at pictures."""
        if not self.fine:
            return "labeler import FOLDER"
        if self.embedded < self.fine:
            return "labeler embed"
        if not self.versions:
            return "labeler train" if self.scored >= 20 else "labeler app"
        return "labeler train" if self.waiting >= 20 else "labeler review"


def read_status(project: Project) -> Status:
    """Return the project's status; runs whose process has died are marked as failed first."""
    store = project.store
    with suppress(StoreError, OSError):  # A store that can't be written can still be looked at.
        mark_dead(project)
    states = db.images.counts.by_state(store)
    replaced = count_replaced(store) if states["missing"] else 0
    versions = db.versions.registry.history(store)
    since = trained_before(versions)
    encoder = db.images.embeddings.encoder(store, project.encoder)
    counted = db.images.counts.by_hand_score(store)
    return Status(
        folder=str(project.folder),
        encoder=project.encoder,
        threshold=project.threshold,
        fine=states["fine"],
        missing=states["missing"] - replaced,
        replaced=replaced,
        unreadable=_unreadable(project),
        embedded=states["fine"] - db.images.counts.not_embedded(store, encoder.id)
        if encoder
        else 0,
        scored=counted.scored,
        unscored=counted.waiting,
        distribution=counted.distribution,
        waiting=db.scores.hand_scores.since_version(store, since.id if since else None),
        sources=_sources(project),
        versions=versions,
        running=[kind for kind in ACTIVE_KINDS if _is_running(project, kind)],
    )


def _is_running(project: Project, kind: str) -> bool:
    run = db.jobs.active(project.store, kind)
    return run is not None and not is_dead(project, run)


def trained_before(versions: Sequence[Version]) -> Version | None:
    """Return the version of `versions` (oldest first) since which hand scores are new.

    It is the active one, or if that was made elsewhere, the last one that was trained here.
    """
    active = next((version for version in versions if version.active), None)
    if active is None or not active.is_foreign:
        return active
    return next((version for version in reversed(versions) if not version.is_foreign), None)


def _unreadable(project: Project) -> list[Unreadable]:
    images = db.images.lookup.unreadable(project.store)
    return [Unreadable(image.path, image.reason or "unknown") for image in images]


def _sources(project: Project) -> list[SourceStatus]:
    return [
        SourceStatus(
            name=count.source.name,
            root=count.source.root,
            expect=_expect(count.source.expect_low, count.source.expect_high),
            images=count.images,
            scored=count.scored,
        )
        for count in db.images.sources.counts_by_source(project.store)
    ]


def _expect(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def as_document(status: Status) -> dict[str, Any]:
    """Return values for JSON; of versions a summary, `labeler versions --json` has the rest."""
    document = asdict(status)
    document["versions"] = [
        {
            "name": version.name,
            "parent": version.parent,
            "active": version.active,
            "scored": version.scored_count,
            "created_at": version.created_at,
        }
        for version in status.versions
    ]
    document["active"] = status.active.name if status.active else None
    return document
