"""Backups: the current state of a project in one file, written while the app runs.

A .sqlite backup is a copy of the store with all hand scores; a .tar also holds the files of the
project's folder that can't be computed again. Caches such as previews are left out, and so are the
images of the sources.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import db.images.counts
from db.errors import StoreError
from db.store.regular_files import is_plain
from db.store.schema_check import APPLICATION_ID
from db.store.snapshot import copy_store, problems_of
from labeler.collection import uploads
from labeler.core.errors import BadInput, LabelerError
from labeler.core.files.atomic import atomic_write, is_scratch, refuse_store, scratch_beside
from labeler.core.progress import Progress, silent
from labeler.core.project import STORE_FILE, Project
from labeler.core.settings import LAST_BACKUP, LastBackup
from model.files.bounded import open_plain

TAR, STORE = ".tar", ".sqlite"
# The other folders that can't be computed again: heads, and images that were uploaded.
KEPT_FOLDERS = ("models", uploads.FOLDER)
COPYING, PACKING, CHECKING = "MB copied", "MB packed", "checking the copy"
_MB = 1_000_000
# The header of a SQLite file, and the bytes of its application id: sqlite.org/fileformat.html.
_SQLITE, _OURS = b"SQLite format 3\0", slice(68, 72)


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A backup that was written."""

    place: Path
    size: int  # bytes
    files: int  # beside the store
    hand_scores: int  # images with one
    restoring: str  # how to restore it, as text

    def sentences(self) -> str:
        """Return what was written and how to restore it, as lines of text."""
        files = f" and {self.files:,} files" if self.files else ""
        size = f"{self.size / _MB:,.1f} MB"
        return (
            f"Wrote {self.place} ({size}): the store with {self.hand_scores:,} hand scores{files},"
            f" read again and found whole.\n{self.restoring}"
        )


def write_backup(
    project: Project,
    place: Path,
    *,
    force: bool = False,
    progress: Progress = silent,
    remembered: bool = True,
) -> BackupResult:
    """Write a backup to `place` atomically and verify the copy.

    With `remembered` the project records it as its last backup. Raises `BadInput` for a path that
    can't be used (an existing backup without `force`, or another file), `LabelerError` if the disk
    is too small, `StoreError` for a damaged store, and `OSError`. An exception of `progress` passes
    through; then no file is left.
    """
    place = place.expanduser().absolute()
    _check_path(project, place, force)
    files = list(_kept_files(project)) if _is_tar(place) else []
    _check_room(project, place, files)
    with atomic_write(place, private=True) as scratch:
        if _is_tar(place):
            with scratch_beside(place.with_suffix(STORE), private=True) as copy:
                _copy(project, copy, progress)
                # Listed again, so that a version that is in the copy has its files, too.
                files = list(_kept_files(project))
                _pack(project, copy, files, scratch, progress)
        else:
            _copy(project, scratch, progress)
    result = BackupResult(
        place,
        place.stat().st_size,
        len(files),
        db.images.counts.by_hand_score(project.store).scored,
        _restore_instructions(project, place),
    )
    if remembered:
        _remember(project, result)
    return result


def last_backup(project: Project) -> LastBackup | None:
    """Return the record of the last backup, or None if there is none.

    None also for an unreadable record, which the doctor reports.
    """
    try:
        return LAST_BACKUP.read(project.store)
    except LabelerError:
        return None


def default_path(project: Project) -> Path:
    """Return a path beside the project's folder, named after it and the date."""
    return project.folder.parent / f"{_dated_name(project)}{TAR}"


def _dated_name(project: Project) -> str:
    return f"{project.folder.name or 'project'}-{datetime.now().astimezone():%Y-%m-%d}"


def _check_path(project: Project, place: Path, force: bool) -> None:
    """Check that a backup can be written to `place`; raises `BadInput`."""
    store = project.store.path
    if place.is_dir():
        raise BadInput(f"{place} is a folder; name a file in it, such as {place / 'backup.tar'}.")
    store_files = [store, *(store.with_name(f"{store.name}{end}") for end in ("-wal", "-shm"))]
    if os.path.realpath(place) in {os.path.realpath(file) for file in store_files}:
        raise BadInput(f"{place} is the store itself; choose another place.")
    if place.exists() and place.samefile(store):  # a hard link; opening it would drop its locks
        raise BadInput(f"{place} is the store itself; choose another place.")
    refuse_store(place)
    if place.suffix.lower() not in (TAR, STORE):
        raise BadInput(
            f"A backup is a .tar (the project) or a .sqlite (the store alone) and is not packed: "
            f"end {place.name} in one of these."
        )
    if os.path.lexists(place):
        # Permission to write a backup is no permission to replace any other file.
        if not _is_backup(place):
            raise BadInput(f"{place} is there already and is no backup; choose another name.")
        if not force:
            raise BadInput(f"{place} is there already; choose another name, or replace it: --force")


def _is_tar(place: Path) -> bool:
    return place.suffix.lower() == TAR


def _is_backup(place: Path) -> bool:
    """Return whether the first bytes of the file are those of a backup of this program."""
    if not place.is_file():
        return False
    with place.open("rb") as file:
        header = file.read(_OURS.stop)
        if header.startswith(_SQLITE):
            return header[_OURS] == APPLICATION_ID.to_bytes(4, "big")
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                first = tar.next()
        except (tarfile.TarError, ValueError, EOFError):
            return False
    return first is not None and first.isreg() and Path(first.name).name == STORE_FILE


def _check_room(project: Project, place: Path, files: list[Path]) -> None:
    """Check that the disk can hold the backup; raises `LabelerError`."""
    store = project.store.path
    needed = store.stat().st_size
    if _is_tar(place):
        needed = 2 * needed + sum(file.stat().st_size for file in files)
    existing = next(folder for folder in place.parents if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise LabelerError(
            f"The disk of {existing} has {free / _MB:,.1f} MB left, and {place.name} takes "
            f"{needed / _MB:,.1f} MB while it is written; make room or choose another disk."
        )


def _copy(project: Project, target: Path, progress: Progress) -> None:
    """Copy the store and check the copy; raises `StoreError` if it is damaged."""
    store = project.store.path

    def report(done: int, pages: int) -> None:
        size = store.stat().st_size
        progress(done * size // (pages or 1) // _MB, size // _MB, COPYING)

    copy_store(store, target, report)
    progress(0, 0, CHECKING)
    problems = problems_of(target, lambda *_: progress(0, 0, CHECKING), resting=True)
    if problems:
        raise StoreError(
            f"{store} is damaged ({problems[0]}), so no backup was made of it; keep the backups "
            "that there are and run: labeler doctor"
        )


def _kept_files(project: Project) -> Iterator[Path]:
    """Yield the complete files of `KEPT_FOLDERS`."""
    for name in KEPT_FOLDERS:
        for folder, _, names in os.walk(project.folder / name):
            for file_name in sorted(names):
                path = Path(folder, file_name)
                # Following a link would pack a file of another folder.
                is_own = is_plain(path, project.folder)
                if is_own and not is_scratch(path) and path.suffix != ".part":
                    yield path


def _pack(
    project: Project, copy: Path, files: list[Path], target: Path, progress: Progress
) -> None:
    """Write a tar that unpacks to one folder, a project."""
    top = _dated_name(project)
    members = [(copy, STORE_FILE), *((f, str(f.relative_to(project.folder))) for f in files)]
    byte_progress = ByteProgress(sum(path.stat().st_size for path, _ in members), progress, PACKING)
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path, name in members:
            with open_plain(path, follow=False) as file:
                member = tar.gettarinfo(arcname=f"{top}/{name}", fileobj=file)
                # No owner: the user who unpacks it owns it.
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mode = 0o600
                tar.addfile(member, _CountedFile(file, byte_progress))


class ByteProgress:
    """Reports the number of bytes written so far, in MB, as progress of `phase`."""

    def __init__(self, total: int, progress: Progress, phase: str) -> None:
        self._done, self._total = 0, total
        self._progress, self._phase = progress, phase

    def add(self, count: int) -> None:
        """Add `count` bytes and report the sum."""
        self._done += count
        self._progress(self._done // _MB, self._total // _MB, self._phase)


class _CountedFile:
    """An open file whose reads are counted by `byte_progress`."""

    def __init__(self, file: IO[bytes], byte_progress: ByteProgress) -> None:
        self._file, self._byte_progress = file, byte_progress

    def read(self, size: int = -1) -> bytes:
        """Read as the file does."""
        data = self._file.read(size)
        self._byte_progress.add(len(data))
        return data


def _restore_instructions(project: Project, place: Path) -> str:
    """Return the commands that restore this backup, as text."""
    quoted, folder = shlex.quote(str(place)), shlex.quote(str(project.folder))
    restored = f"To restore it, close the app and run: labeler --project {folder} restore"
    if _is_tar(place):
        return f"{restored} {quoted} (or labeler restore {quoted} NEWFOLDER)"
    return f"{restored} {quoted}"


def _remember(project: Project, result: BackupResult) -> None:
    """Record the backup as the project's last one."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    values = {"place": str(result.place), "at": at, "hand_scores": result.hand_scores}
    try:
        project.store.set_setting(LAST_BACKUP.name, json.dumps(values))
    except StoreError:
        return  # A read-only store can't record its backup, which is complete.
