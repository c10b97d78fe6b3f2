"""Import of pictures: finds the files, hashes and decodes each once, and records them.

A file whose time and size have not changed is not opened again, except an unreadable one. Files are
recorded in batches of one transaction each: an import after an interrupted one continues behind the
last batch. The first batch is small, so that scoring can start at once.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import db.images.locations
import db.images.lookup
import db.images.sources
import db.importing.files
from db.images.sources import with_pictures
from db.images.states import missing_ids
from db.importing.removal import remove_unneeded
from db.records import FileOutcome, ImportedFile
from labeler.collection.carry_over import carry_overs
from labeler.collection.discovery import FoundFile, find_images
from labeler.collection.import_summary import ImportSummary
from labeler.collection.missing_files import NO_DISK, MissingFiles, is_absent
from labeler.collection.outside_links import links_for
from labeler.collection.phantoms import match_phantoms
from labeler.collection.previews import delete_previews
from labeler.collection.reader import FileReader, StoredFile
from labeler.collection.recognition import recognise
from labeler.collection.tags import tag_from_texts
from labeler.core.archives.archives import may_be_archive
from labeler.core.errors import BadInput
from labeler.core.files.names import readable_name
from labeler.core.images.sources import band_of, source_for
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.core.text import count_of

FIRST_BATCH, BATCH = 16, 500  # files that are recorded together
BATCH_SECONDS = 2.0  # on a slow machine a batch is recorded after this time, however small it is


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

    `source` is the name of their source; by default each folder is a source with the folder's name.
    `expect` is the band (low, high), 0–10, in which the source's hand scores are expected. With
    `follow_links`, links to files outside a folder are followed; without, only links that this
    program made. `workers` is the number of threads, by default one per core, at most 8. Raises
    `BadInput` for a missing path or an invalid band; an unreadable file does not stop the import.
    If `progress` raises `Stopped`, or on Ctrl-C, the files read so far are recorded and the
    exception is raised.
    """
    resolved = [_resolve(project, Path(path)) for path in paths]
    _check_band(expect)
    were_missing = missing_ids(project.store)
    run = _ImportRun(project, _stored_files(project), follow_links=follow_links)
    for path in resolved:
        owner, moves = source_for(project.store, path, resolved, source, expect)
        run.scan(path, owner.id, forced=moves)
    run.summary.closed += [(readable_name(root), NO_DISK) for root in sorted(run.absence.away)]
    run.read_queued(progress, workers)
    run.count_replaced()
    if run.summary.new:
        run.summary.met = match_phantoms(project)
    run.drop_vanished_unreadable()
    for content in remove_unneeded(project.store):
        delete_previews(project, content)
    run.summary.missing = len(missing_ids(project.store) - were_missing)
    run.report_expectations()
    db.images.sources.remove_empty_sources(project.store)
    run.tag(progress)
    return run.summary


class _ImportRun:
    """One import: `scan` queues the files of each folder that need it, `read_queued` reads them."""

    def __init__(
        self, project: Project, stored: dict[str, StoredFile], *, follow_links: bool = False
    ) -> None:
        self.project = project
        self.stored = stored
        self.links = links_for(project, follow=follow_links, is_stored=self._is_stored)
        self.summary = ImportSummary()
        self.seen: set[str] = set()
        self.sources = {source.id: source for source in db.images.sources.sources(project.store)}
        self.absence = MissingFiles(source.root for source in self.sources.values() if source.root)
        self.moves: Counter[tuple[int, int]] = Counter()  # files by (old, new source id)
        self.queue: list[tuple[FoundFile, int]] = []  # with the source id
        self.without_pixels: list[tuple[FoundFile, int]] = []  # recorded without a hash of pixels
        self.changed: set[int] = set()  # ids of images that took a replaced picture's file
        self.texts: dict[str, list[str]] = {}  # text files beside images, by the image's path
        self.paths_by_hash: dict[str | None, list[str]] = defaultdict(list)
        self.paths_by_image: dict[int, list[str]] = defaultdict(list)
        for path, place in stored.items():
            self.paths_by_hash[place.content_hash].append(path)
            self.paths_by_image[place.image_id].append(path)

    def scan(self, path: Path, source_id: int, *, forced: bool) -> None:
        """Queue the files under `path`, and mark the stored files that are gone as missing.

        A file keeps the source that it was first imported with, unless `forced`.
        """
        result = find_images(path, self.links)
        self.summary.other_files += result.other_files
        self.summary.in_archives += result.in_archives
        self.summary.closed += [*result.closed, *result.noted]
        self.summary.passed_over += result.passed_over
        self.texts |= result.texts
        for file in result.files:
            if file.path in self.seen:
                continue
            self.seen.add(file.path)
            self.summary.found += 1
            place = self.stored.get(file.path)
            kept = source_id if forced or place is None else place.source_id
            if place is not None and kept != place.source_id:
                self.moves[place.source_id, kept] += 1
            if not file.storable:
                self.summary.unreadable.append((readable_name(file.path), file.problem or ""))
            elif place is not None and place.source_id == kept and place.is_still(file):
                if place.pixel_hash is None:
                    self.without_pixels.append((file, kept))
                else:
                    self.summary.known += 1
            else:
                self.queue.append((file, kept))
        if path.is_dir() or may_be_archive(path):
            self._mark_vanished(path)

    def _is_stored(self, path: str, mtime_ns: int, size: int) -> bool:
        """Return whether the store has a record of this file with this time and size."""
        place = self.stored.get(path)
        return place is not None and (place.mtime_ns, place.size_bytes) == (mtime_ns, size)

    def _mark_vanished(self, folder: Path) -> None:
        prefix = f"{folder}{os.sep}".replace(os.sep * 2, os.sep)
        unseen = [path for path in self.stored if path.startswith(prefix) and path not in self.seen]
        self._mark_missing([path for path in unseen if self.absence.is_gone(path, self.seen)])

    def _mark_missing(self, gone: list[str]) -> None:
        if gone:
            db.importing.files.mark_missing(self.project.store, None, gone)

    def read_queued(self, progress: Progress, workers: int | None) -> None:
        """Read the queued files in parallel and record them in batches, in the order found."""
        fine = {
            place.content_hash
            for place in self.stored.values()
            if place.state == "fine" and place.pixel_hash is not None
        }
        reader = FileReader(self.project, fine)
        # Last, for they need it only once, after an upgrade, and an import may be stopped.
        queue = [*self.queue, *self.without_pixels]
        total = len(queue)
        progress(0, total, "importing")
        batches = Batches()
        try:
            for done, file in enumerate(reader.files(queue, workers), start=1):
                if full := batches.add(file):
                    self._record(full)
                progress(done, total, "importing")
        finally:
            self._record(batches.rest())

    def drop_vanished_unreadable(self) -> None:
        """Mark the unreadable files that are gone as missing; they have no hash to be found by.

        A file on a disk that is not connected is kept, unless its source has no pictures left.
        """
        alive = with_pictures(self.project.store)
        gone = [
            image.path
            for image in db.images.lookup.unreadable(self.project.store)
            if is_absent(image.path)
            and (image.source_id not in alive or self.absence.is_gone(image.path))
        ]
        self._mark_missing(gone)

    def count_replaced(self) -> None:
        """Count the scored images whose file holds another picture since this import."""
        if self.changed:
            replaced = [each for each in carry_overs(self.project) if each.new.id in self.changed]
            self.summary.replaced = len(replaced)
            self.summary.near = sum(each.near for each in replaced)

    def report_expectations(self) -> None:
        """Note which images moved to a source with another expected band of scores."""
        sources = {source.id: source for source in db.images.sources.sources(self.project.store)}
        for (before, after), count in sorted(self.moves.items()):
            old, new = self.sources.get(before), sources[after]
            old_band, new_band = band_of(old) if old else None, band_of(new)
            if old is None or old_band is None or old_band == new_band:
                continue
            expected = (
                f"expected {new_band[0]:g} to {new_band[1]:g}"
                if new_band
                else "nothing is expected there"
            )
            self.summary.no_more_expected.append(
                f"{count_of(count, 'image')} went from {old.name} (expected {old_band[0]:g} to "
                f"{old_band[1]:g}) to {new.name} ({expected}); change it with --expect LOW:HIGH."
            )

    def tag(self, progress: Progress) -> None:
        """Record the tags in the text files beside the images."""
        if self.texts:
            self.summary.tagged = tag_from_texts(self.project, self.texts, progress)

    def _record(self, batch: list[ImportedFile]) -> None:
        for part in _split_by_picture(batch):
            files = self._recognised(part)
            self._notice_moves(files)
            for file, outcome in zip(
                files, db.importing.files.record_files(self.project.store, files), strict=True
            ):
                self._count(file, outcome)
                if outcome.outcome == "changed":
                    self.changed.add(outcome.image_id)
                if outcome.former is not None:
                    delete_previews(self.project, outcome.former)

    def _recognised(self, batch: list[ImportedFile]) -> list[ImportedFile]:
        return recognise(
            self.project.store,
            batch,
            {
                file.path: place.image_id
                for file in batch
                if (place := self.stored.get(file.path)) is not None
            },
        )

    def _notice_moves(self, batch: list[ImportedFile]) -> None:
        """Mark files as missing whose picture the batch has at another path.

        These may lie in folders that this import does not scan.
        """
        elsewhere = {
            path
            for file in batch
            for path in (
                *(self.paths_by_hash.get(file.content_hash, ()) if file.content_hash else ()),
                *(self.paths_by_image.get(file.same_as, ()) if file.same_as else ()),
            )
            if path not in self.seen
        }
        self._mark_missing(sorted(filter(is_absent, elsewhere)))

    def _count(self, file: ImportedFile, outcome: FileOutcome) -> None:
        if outcome.outcome == "unreadable":
            self.summary.unreadable.append((file.path, file.reason or ""))
        elif outcome.outcome == "duplicate":
            self.summary.duplicates += 1
        else:
            if outcome.outcome == "moved":
                for path in self.paths_by_image[outcome.image_id][:1]:
                    self.moves[self.stored[path].source_id, file.source_id] += 1
            setattr(self.summary, outcome.outcome, getattr(self.summary, outcome.outcome) + 1)


class Batches:
    """Groups files into batches of FIRST_BATCH, then of BATCH; smaller ones after BATCH_SECONDS.

    `clock` returns seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._size = FIRST_BATCH
        self._files: list[ImportedFile] = []
        self._due = clock() + BATCH_SECONDS

    def add(self, file: ImportedFile) -> list[ImportedFile]:
        """Return the batch that `file` completes; empty as long as it isn't complete."""
        self._files.append(file)
        if len(self._files) < self._size and self._clock() < self._due:
            return []
        self._size, self._due = BATCH, self._clock() + BATCH_SECONDS
        return self.rest()

    def rest(self) -> list[ImportedFile]:
        """Return the files that no batch was returned with yet."""
        batch, self._files = self._files, []
        return batch


def _split_by_picture(batch: list[ImportedFile]) -> Iterator[list[ImportedFile]]:
    """Yield the batch in parts such that files of a part with equal pixels have equal bytes, too.

    Then each file is compared with all that were recorded before it.
    """
    part: list[ImportedFile] = []
    shown: dict[str, str | None] = {}
    for file in batch:
        pixels = file.pixels.pixel_hash if file.pixels else ""
        if pixels and shown.setdefault(pixels, file.content_hash) != file.content_hash:
            yield part
            part, shown = [], {pixels: file.content_hash}
        part.append(file)
    if part:
        yield part


def _stored_files(project: Project) -> dict[str, StoredFile]:
    """Return what the store has of every file, by path."""
    return {
        path: StoredFile(
            source.id,
            place.image_id,
            place.mtime_ns,
            place.size_bytes,
            place.state,
            place.content_hash,
            place.pixel_hash,
        )
        for source in db.images.sources.sources(project.store)
        for path, place in db.images.locations.known_locations(project.store, source.id).items()
    }


def _resolve(project: Project, path: Path) -> Path:
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
