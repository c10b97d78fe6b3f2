"""Take pictures into the project: find, hash, decode once, preview, record.

Importing again is cheap and safe: a file whose time and size have not changed is not opened
(unreadable ones are tried again), and whatever stopped the last import, this one goes on from the
files that were recorded. Files are recorded a batch at a time, each batch in one transaction.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from db import images
from db.records import ImportedFile
from labeler.archives import lies_there, may_be_archive
from labeler.errors import BadInput
from labeler.finding import Found, FoundFile, find_images, readable_name
from labeler.intake import Intake, Known
from labeler.outside_links import links_for
from labeler.progress import Progress, silent
from labeler.project import Project
from labeler.sourcing import source_for
from labeler.tags import tag_from_texts

BATCH = 500


@dataclass(slots=True)
class ImportSummary:
    """What became of every file: `found` is the sum of the counts up to `unreadable`.

    `unreadable` holds (path, reason), `closed` the same for folders that were not entered and
    archives of which something was left out. `in_archives` are those of the found that lie in
    archives, `missing` images whose last file is gone, `tagged` those with tags in a text file
    beside them; `other_files` were neither pictures nor such texts.
    """

    found: int = 0
    new: int = 0
    known: int = 0
    duplicates: int = 0
    moved: int = 0
    changed: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    missing: int = 0
    tagged: int = 0
    other_files: int = 0
    closed: list[tuple[str, str]] = field(default_factory=list)
    in_archives: int = 0


def import_paths(
    project: Project,
    paths: Sequence[Path | str],
    *,
    source: str | None = None,
    expect: tuple[float, float] | None = None,
    follow_links: bool = False,
    progress: Progress = silent,
    workers: int | None = None,
) -> ImportSummary:
    """Import folders (recursively) and single files.

    `source` names where they come from; without it each folder is a source of its own, named
    after the folder. `expect` is the band (low, high), 0–10, that the source's hand scores are
    expected in. With `follow_links` what links in the folders lead to elsewhere is taken, too;
    without, only what this program linked there. Raises `BadInput` for a path that is not there or
    a band that is none; no file, whatever is wrong with it, stops the import. `progress` may raise
    `Stopped`, like Ctrl-C: the files taken so far are recorded and the exception passes on.
    `workers` is the number of threads, by default one per core.
    """
    resolved = [_existing(project, Path(path)) for path in paths]
    _check_band(expect)
    run = _Import(project, _known(project), follow_links=follow_links)
    for path in resolved:
        owner = source_for(project.store, path, resolved, source, expect)
        run.look_through(path, owner.id, forced=source is not None)
    run.take(progress, workers)
    run.tag(progress)
    return run.summary


class _Import:
    """One run: first all folders are looked through, then the files that need it are taken in."""

    def __init__(
        self, project: Project, known: dict[str, Known], *, follow_links: bool = False
    ) -> None:
        self.project = project
        self.known = known
        self.links = links_for(project, follow=follow_links, known=self._knows)
        self.summary = ImportSummary()
        self.seen: set[str] = set()
        self.left: set[str | None] = set()  # content of the files that turned out gone
        self.waiting: list[tuple[FoundFile, int]] = []
        self.texts: dict[str, list[str]] = {}  # text files beside images, by the image's path
        self.paths_by_hash: dict[str | None, list[str]] = defaultdict(list)
        for path, place in known.items():
            self.paths_by_hash[place.content_hash].append(path)

    def look_through(self, path: Path, source_id: int, *, forced: bool) -> None:
        """Queue what is under `path`, and mark missing what is not there any more.

        A file keeps the source that it was first imported with unless another is `forced`.
        """
        found = find_images(path, self.links)
        self.summary.other_files += found.other_files
        self.summary.in_archives += found.in_archives
        self.summary.closed += [*found.closed, *found.noted]
        self.texts |= found.texts
        for file in found.files:
            if file.path in self.seen:
                continue
            self.seen.add(file.path)
            self.summary.found += 1
            place = self.known.get(file.path)
            kept = source_id if forced or place is None else place.source_id
            if not file.storable:
                self.summary.unreadable.append((readable_name(file.path), file.problem or ""))
            elif place is not None and place.source_id == kept and place.is_still(file):
                self.summary.known += 1
            else:
                self.waiting.append((file, kept))
        if path.is_dir() or may_be_archive(path):
            self._mark_vanished(path, found)

    def _knows(self, path: str, mtime_ns: int, size: int) -> bool:
        """Whether this very file was imported, or tried to, before."""
        place = self.known.get(path)
        return place is not None and (place.mtime_ns, place.size_bytes) == (mtime_ns, size)

    def _mark_vanished(self, folder: Path, found: Found) -> None:
        inside = f"{folder}{os.sep}".replace(os.sep * 2, os.sep)
        closed = tuple(f"{name}{os.sep}" for name, _ in found.closed)
        gone = [
            path
            for path in self.known
            if path.startswith(inside) and path not in self.seen and not path.startswith(closed)
        ]
        self._mark_missing(gone)

    def _mark_missing(self, gone: list[str]) -> None:
        if gone:
            self.left.update(self.known[path].content_hash for path in gone)
            self.summary.missing += images.mark_missing(self.project.store, None, gone)

    def take(self, progress: Progress, workers: int | None) -> None:
        """Read the queued files in parallel and record them in batches, in the order found."""
        fine = {place.content_hash for place in self.known.values() if place.state == "fine"}
        intake = Intake(self.project, fine)
        batch: list[ImportedFile] = []
        total = len(self.waiting)
        progress(0, total, "importing")
        try:
            for done, file in enumerate(intake.files(self.waiting, workers), start=1):
                batch.append(file)
                if len(batch) >= BATCH:
                    full, batch = batch, []
                    self._record(full)
                progress(done, total, "importing")
        finally:
            self._record(batch)

    def tag(self, progress: Progress) -> None:
        """Take the tags from the text files beside the images."""
        if self.texts:
            self.summary.tagged = tag_from_texts(self.project, self.texts, progress)

    def _record(self, batch: list[ImportedFile]) -> None:
        if not batch:
            return
        self._notice_moves(batch)
        for file, outcome in zip(
            batch, images.record_files(self.project.store, batch), strict=True
        ):
            self._count(file, outcome.outcome)

    def _notice_moves(self, batch: list[ImportedFile]) -> None:
        """A picture known elsewhere may have been moved out of a folder not looked through now."""
        elsewhere = {
            path
            for file in batch
            if file.content_hash is not None
            for path in self.paths_by_hash.get(file.content_hash, ())
            if path not in self.seen
        }
        self._mark_missing(sorted(path for path in elsewhere if not lies_there(path)))

    def _count(self, file: ImportedFile, outcome: str) -> None:
        if outcome == "unreadable":
            self.summary.unreadable.append((file.path, file.reason or ""))
        elif outcome == "duplicate":
            self.summary.duplicates += 1
        else:
            if outcome == "moved" and file.content_hash in self.left:
                self.summary.missing -= 1  # Gone from its old place, and found at the new one.
            setattr(self.summary, outcome, getattr(self.summary, outcome) + 1)


def _known(project: Project) -> dict[str, Known]:
    """What the store knows of every file, by path."""
    return {
        path: Known(source.id, place.mtime_ns, place.size_bytes, place.state, place.content_hash)
        for source in images.sources(project.store)
        for path, place in images.known_locations(project.store, source.id).items()
    }


def _existing(project: Project, path: Path) -> Path:
    resolved = Path(os.path.realpath(path.expanduser()))
    if not resolved.exists():
        raise BadInput(f"{readable_name(path)} is not there; check the path.")
    if readable_name(resolved) != str(resolved):
        raise BadInput(f"{readable_name(resolved)} has a name that is not valid UTF-8; rename it.")
    for kept in (project.previews, project.thumbnails):
        if resolved.is_relative_to(kept):
            raise BadInput(f"{kept} holds the project's own copies; import the pictures instead.")
    return resolved


def _check_band(expect: tuple[float, float] | None) -> None:
    if expect is not None and not 0 <= expect[0] <= expect[1] <= 10:
        raise BadInput(
            f"{expect[0]:g}:{expect[1]:g} is not a band of hand scores; give LOW:HIGH within 0 and "
            "10, such as --expect 0:1."
        )
