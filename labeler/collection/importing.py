"""Take pictures into the project: find, hash, decode once, preview, record.

Importing again is cheap and safe: a file whose time and size have not changed is not opened
(unreadable ones are tried again), and whatever stopped the last import, this one goes on from the
files that were recorded. Files are recorded a batch at a time, each batch in one transaction; the
first one is small, so that scoring can start at once.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import db.images.locations
import db.images.lookup
import db.images.sources
import db.importing.files
from db.images.sources import with_pictures
from db.images.states import missing_ids
from db.importing.removal import remove_unneeded
from db.records import FileOutcome, ImportedFile
from labeler.collection.carry_over import COMMAND as CARRY_OVER
from labeler.collection.carry_over import carry_overs
from labeler.collection.discovery import FoundFile, find_images
from labeler.collection.missing_files import NO_DISK, Absence, is_absent
from labeler.collection.outside_links import links_for
from labeler.collection.phantoms import match_phantoms
from labeler.collection.previews import forget_small_copies
from labeler.collection.reader import Intake, Known
from labeler.collection.recognition import recognise
from labeler.collection.tags import tag_from_texts
from labeler.core.archives.archives import may_be_archive
from labeler.core.errors import BadInput
from labeler.core.files.names import readable_name
from labeler.core.images.sources import band_of, source_for
from labeler.core.progress import Progress, silent
from labeler.core.project import Project

FIRST_BATCH, BATCH = 16, 500  # files that are recorded together
BATCH_SECONDS = 2.0  # on a slow machine a batch is recorded after this time, however small it is
MOST_TOLD = 5


@dataclass(slots=True)
class ImportSummary:
    """What became of every file: `found` is the sum of the counts up to `unreadable`.

    `unreadable` holds (path, reason), `closed` the same for folders that were not entered and
    archives of which something was left out, `passed_over` for what is taken only if named itself.
    `in_archives` are those of the found that lie in archives.
    `rewritten` files show what they showed in other bytes, `turned` ones that another way up; both
    keep hand scores. Of the `changed` ones `replaced` had a hand score and hold another picture
    now, which is `near` the old one for some: labeler.collection.carry_over. `met` are embeddings
    whose pictures came, `missing` images whose last file is gone, `tagged` those with tags in a
    text file beside them; `other_files` were neither pictures nor such texts. `no_more_expected`
    are sentences about pictures that went to a source of which something else is expected, or
    nothing.
    """

    found: int = 0
    new: int = 0
    known: int = 0
    rewritten: int = 0
    turned: int = 0
    duplicates: int = 0
    moved: int = 0
    changed: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    replaced: int = 0
    near: int = 0
    met: int = 0
    missing: int = 0
    tagged: int = 0
    other_files: int = 0
    closed: list[tuple[str, str]] = field(default_factory=list)
    in_archives: int = 0
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    no_more_expected: list[str] = field(default_factory=list)

    def parts(self) -> dict[str, int]:
        """What the found files came to, in the words that people read; together they are `found`.

        Parts without a file are left out.
        """
        counts = {
            "new": self.new,
            "known": self.known,
            "rewritten, showing what they showed": self.rewritten,
            "turned": self.turned,
            "here already under another name": self.duplicates,
            "moved": self.moved,
            "changed": self.changed,
            "unreadable": len(self.unreadable),
        }
        return {name: count for name, count in counts.items() if count}

    def sentences(self) -> list[str]:
        """What became of the files: the parts in the first sentence add up to what was found."""
        parts = ", ".join(f"{count} {name}" for name, count in self.parts().items())
        inside = f" ({self.in_archives:,} in archives)" if self.in_archives else ""
        told = [
            f"Found {_counted(self.found, 'image file')}{inside}: {parts or 'nothing to take'}."
        ]
        if self.missing:
            told.append(f"Missing now: {_counted(self.missing, 'image')} whose last file is gone.")
        if self.replaced:
            told.append(
                f"{_counted(self.replaced, 'scored picture')} replaced in place, {self.near} by "
                "what looks the same (compressed anew, resized, touched up). Their scores are kept "
                f"with the old ones; to carry them over: {CARRY_OVER}"
            )
        told += self.no_more_expected
        if self.met:
            told.append(f"{_counted(self.met, 'embedding')} met their pictures.")
        if self.tagged:
            told.append(f"Tagged {_counted(self.tagged, 'image')} from the text beside.")
        if self.other_files:
            told.append(f"Passed over {_counted(self.other_files, 'file')} of other kinds.")
        return told

    def left_out(self) -> list[str]:
        """Every file and folder that was not taken, with its reason; alike ones at once."""
        alone = [f"{path}: {reason}" for path, reason in [*self.unreadable, *self.closed]]
        by_reason: dict[str, list[str]] = {}
        for path, reason in self.passed_over:
            by_reason.setdefault(reason, []).append(path)
        return alone + [
            f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
            for reason, paths in by_reason.items()
        ]

    def left_out_briefly(self) -> Iterator[str]:
        """Which folders were passed over, in a sentence; files that can't be read have a list."""
        yield from self.left_out()[len(self.unreadable) :][:MOST_TOLD]

    def as_document(self) -> dict[str, object]:
        """All of it, for programs."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        for name in ("unreadable", "closed", "passed_over"):
            plain[name] = [{"path": path, "reason": reason} for path, reason in plain[name]]
        return plain


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
    were_missing = missing_ids(project.store)
    run = _Import(project, _known(project), follow_links=follow_links)
    for path in resolved:
        owner, moves = source_for(project.store, path, resolved, source, expect)
        run.look_through(path, owner.id, forced=moves)
    run.summary.closed += [(readable_name(root), NO_DISK) for root in sorted(run.absence.away)]
    run.take(progress, workers)
    run.notice_replaced()
    if run.summary.new:
        run.summary.met = match_phantoms(project)
    run.forget_unreadable()
    for content in remove_unneeded(project.store):
        forget_small_copies(project, content)
    run.summary.missing = len(missing_ids(project.store) - were_missing)
    run.tell_of_expectations()
    db.images.sources.remove_empty_sources(project.store)
    run.tag(progress)
    return run.summary


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


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
        self.sources = {source.id: source for source in db.images.sources.sources(project.store)}
        self.absence = Absence(source.root for source in self.sources.values() if source.root)
        self.went: Counter[tuple[int, int]] = Counter()  # from one source to another
        self.waiting: list[tuple[FoundFile, int]] = []
        self.unseen: list[tuple[FoundFile, int]] = []  # of which it isn't known what they show
        self.changed: set[int] = set()
        self.texts: dict[str, list[str]] = {}  # text files beside images, by the image's path
        self.paths_by_hash: dict[str | None, list[str]] = defaultdict(list)
        self.paths_by_image: dict[int, list[str]] = defaultdict(list)
        for path, place in known.items():
            self.paths_by_hash[place.content_hash].append(path)
            self.paths_by_image[place.image_id].append(path)

    def look_through(self, path: Path, source_id: int, *, forced: bool) -> None:
        """Queue what is under `path`, and mark missing what is not there any more.

        A file keeps the source that it was first imported with unless another is `forced`.
        """
        found = find_images(path, self.links)
        self.summary.other_files += found.other_files
        self.summary.in_archives += found.in_archives
        self.summary.closed += [*found.closed, *found.noted]
        self.summary.passed_over += found.passed_over
        self.texts |= found.texts
        for file in found.files:
            if file.path in self.seen:
                continue
            self.seen.add(file.path)
            self.summary.found += 1
            place = self.known.get(file.path)
            kept = source_id if forced or place is None else place.source_id
            if place is not None and kept != place.source_id:
                self.went[place.source_id, kept] += 1
            if not file.storable:
                self.summary.unreadable.append((readable_name(file.path), file.problem or ""))
            elif place is not None and place.source_id == kept and place.is_still(file):
                if place.pixel_hash is None:
                    self.unseen.append((file, kept))
                else:
                    self.summary.known += 1
            else:
                self.waiting.append((file, kept))
        if path.is_dir() or may_be_archive(path):
            self._mark_vanished(path)

    def _knows(self, path: str, mtime_ns: int, size: int) -> bool:
        """Whether this very file was imported, or tried to, before."""
        place = self.known.get(path)
        return place is not None and (place.mtime_ns, place.size_bytes) == (mtime_ns, size)

    def _mark_vanished(self, folder: Path) -> None:
        inside = f"{folder}{os.sep}".replace(os.sep * 2, os.sep)
        unseen = [path for path in self.known if path.startswith(inside) and path not in self.seen]
        self._mark_missing([path for path in unseen if self.absence.is_gone(path, self.seen)])

    def _mark_missing(self, gone: list[str]) -> None:
        if gone:
            db.importing.files.mark_missing(self.project.store, None, gone)

    def take(self, progress: Progress, workers: int | None) -> None:
        """Read the queued files in parallel and record them in batches, in the order found."""
        fine = {
            place.content_hash
            for place in self.known.values()
            if place.state == "fine" and place.pixel_hash is not None
        }
        intake = Intake(self.project, fine)
        # Once, after an upgrade, what every picture shows; whoever is in a hurry may stop it.
        waiting = [*self.waiting, *self.unseen]
        total = len(waiting)
        progress(0, total, "importing")
        batches = Batches()
        try:
            for done, file in enumerate(intake.files(waiting, workers), start=1):
                if full := batches.add(file):
                    self._record(full)
                progress(done, total, "importing")
        finally:
            self._record(batches.rest())

    def forget_unreadable(self) -> None:
        """What could not be read is nowhere to be found again: its place alone tells it.

        On a disk that may come back it stays, unless all the pictures of its folder have moved.
        """
        alive = with_pictures(self.project.store)
        gone = [
            image.path
            for image in db.images.lookup.unreadable(self.project.store)
            if is_absent(image.path)
            and (image.source_id not in alive or self.absence.is_gone(image.path))
        ]
        self._mark_missing(gone)

    def notice_replaced(self) -> None:
        """Count the hand scores whose files hold another picture since this import."""
        if self.changed:
            lost = [each for each in carry_overs(self.project) if each.new.id in self.changed]
            self.summary.replaced = len(lost)
            self.summary.near = sum(each.near for each in lost)

    def tell_of_expectations(self) -> None:
        """Say which pictures left what was expected of them."""
        now = {source.id: source for source in db.images.sources.sources(self.project.store)}
        for (before, after), count in sorted(self.went.items()):
            then = self.sources.get(before)
            band, other = band_of(then) if then else None, band_of(now[after])
            if then is None or band is None or band == other:
                continue
            is_now = (
                f"expected {other[0]:g} to {other[1]:g}" if other else "nothing is expected there"
            )
            self.summary.no_more_expected.append(
                f"{_counted(count, 'image')} went from {then.name} (expected {band[0]:g} to "
                f"{band[1]:g}) to {now[after].name} ({is_now}); change it with --expect LOW:HIGH."
            )

    def tag(self, progress: Progress) -> None:
        """Take the tags from the text files beside the images."""
        if self.texts:
            self.summary.tagged = tag_from_texts(self.project, self.texts, progress)

    def _record(self, batch: list[ImportedFile]) -> None:
        for part in _apart(batch):
            files = self._recognised(part)
            self._notice_moves(files)
            for file, outcome in zip(
                files, db.importing.files.record_files(self.project.store, files), strict=True
            ):
                self._count(file, outcome)
                if outcome.outcome == "changed":
                    self.changed.add(outcome.image_id)
                if outcome.former is not None:
                    forget_small_copies(self.project, outcome.former)

    def _recognised(self, batch: list[ImportedFile]) -> list[ImportedFile]:
        return recognise(
            self.project.store,
            batch,
            {
                file.path: place.image_id
                for file in batch
                if (place := self.known.get(file.path)) is not None
            },
        )

    def _notice_moves(self, batch: list[ImportedFile]) -> None:
        """A picture known elsewhere may have been moved out of a folder not looked through now."""
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

    def _count(self, file: ImportedFile, told: FileOutcome) -> None:
        if told.outcome == "unreadable":
            self.summary.unreadable.append((file.path, file.reason or ""))
        elif told.outcome == "duplicate":
            self.summary.duplicates += 1
        else:
            if told.outcome == "moved":
                for path in self.paths_by_image[told.image_id][:1]:
                    self.went[self.known[path].source_id, file.source_id] += 1
            setattr(self.summary, told.outcome, getattr(self.summary, told.outcome) + 1)


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


def _apart(batch: list[ImportedFile]) -> Iterator[list[ImportedFile]]:
    """The batch in parts, in each of which what shows the same picture has the same bytes too."""
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


def _known(project: Project) -> dict[str, Known]:
    """What the store knows of every file, by path."""
    return {
        path: Known(
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
