"""Backups: a project as it is now in one file, while the app goes on.

A file is a copy of the store, with all that a person has done; one that ends in .tar is the
project's folder, as far as it can't be made again. Previews and the like are left out, and so are
the pictures of the sources, which stay where they are.
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
# What else in the project's folder can't be made again: heads, and pictures that came as bytes.
KEPT_FOLDERS = ("models", uploads.FOLDER)
COPYING, PACKING, CHECKING = "MB copied", "MB packed", "checking the copy"
_MB = 1_000_000
# How the file of a store of ours begins, and where it says whose it is: sqlite.org/fileformat.html.
_SQLITE, _OURS = b"SQLite format 3\0", slice(68, 72)


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What was written where; `hand_scores` images had one."""

    place: Path
    size: int  # bytes
    files: int  # beside the store
    hand_scores: int
    restoring: str

    def sentences(self) -> str:
        """What became of it and how to restore it, as lines of text."""
        beside = f" and {self.files:,} files" if self.files else ""
        size = f"{self.size / _MB:,.1f} MB"
        return (
            f"Wrote {self.place} ({size}): the store with {self.hand_scores:,} hand scores{beside},"
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
    """Write a backup to `place`, whole or not at all, and read it again.

    The project remembers it as its last one if `remembered`.
    Raises `BadInput` for a place that won't do (a file that is there already without `force`, or
    that is no backup), `LabelerError` where there is not the room, `StoreError` for a damaged
    store, `OSError`. What `progress` raises passes through; nothing is left then.
    """
    place = place.expanduser().absolute()
    _check_place(project, place, force)
    files = list(_kept_files(project)) if _is_tar(place) else []
    _check_room(project, place, files)
    with atomic_write(place, private=True) as scratch:
        if _is_tar(place):
            with scratch_beside(place.with_suffix(STORE), private=True) as copy:
                _copy(project, copy, progress)
                # Looked for anew: a version that is in the copy has its files by now.
                files = list(_kept_files(project))
                _pack(project, copy, files, scratch, progress)
        else:
            _copy(project, scratch, progress)
    done = BackupResult(
        place,
        place.stat().st_size,
        len(files),
        db.images.counts.by_hand_score(project.store).scored,
        _restoring(project, place),
    )
    if remembered:
        _remember(project, done)
    return done


def last_backup(project: Project) -> LastBackup | None:
    """The last one that was written from here, wherever it is now.

    `None` if there was none, or where what is kept of it makes no sense: the doctor tells that.
    """
    try:
        return LAST_BACKUP.read(project.store)
    except LabelerError:
        return None


def usual_place(project: Project) -> Path:
    """Beside the project's folder, named after it and the day."""
    return project.folder.parent / f"{_dated_name(project)}{TAR}"


def _dated_name(project: Project) -> str:
    return f"{project.folder.name or 'project'}-{datetime.now().astimezone():%Y-%m-%d}"


def _check_place(project: Project, place: Path, force: bool) -> None:
    store = project.store.path
    if place.is_dir():
        raise BadInput(f"{place} is a folder; name a file in it, such as {place / 'backup.tar'}.")
    taken = [store, *(store.with_name(f"{store.name}{end}") for end in ("-wal", "-shm"))]
    if os.path.realpath(place) in {os.path.realpath(each) for each in taken}:
        raise BadInput(f"{place} is the store itself; choose another place.")
    if place.exists() and place.samefile(store):  # by a second name; opening it drops its locks
        raise BadInput(f"{place} is the store itself; choose another place.")
    refuse_store(place)
    if place.suffix.lower() not in (TAR, STORE):
        raise BadInput(
            f"A backup is a .tar (the project) or a .sqlite (the store alone) and is not packed: "
            f"end {place.name} in one of these."
        )
    if os.path.lexists(place):
        # Whoever may write a backup may not therefore replace what else the account owns.
        if not _is_backup(place):
            raise BadInput(f"{place} is there already and is no backup; choose another name.")
        if not force:
            raise BadInput(f"{place} is there already; choose another name, or replace it: --force")


def _is_tar(place: Path) -> bool:
    return place.suffix.lower() == TAR


def _is_backup(place: Path) -> bool:
    """Whether the file looks like one that was written here, by its first bytes."""
    if not place.is_file():
        return False
    with place.open("rb") as file:
        head = file.read(_OURS.stop)
        if head.startswith(_SQLITE):
            return head[_OURS] == APPLICATION_ID.to_bytes(4, "big")
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                first = tar.next()
        except (tarfile.TarError, ValueError, EOFError):
            return False
    return first is not None and first.isreg() and Path(first.name).name == STORE_FILE


def _check_room(project: Project, place: Path, files: list[Path]) -> None:
    """A disk that can't hold it is refused before anything is written."""
    store = project.store.path
    needed = store.stat().st_size
    if _is_tar(place):
        needed = 2 * needed + sum(file.stat().st_size for file in files)
    there = next(folder for folder in place.parents if folder.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise LabelerError(
            f"The disk of {there} has {free / _MB:,.1f} MB left, and {place.name} takes "
            f"{needed / _MB:,.1f} MB while it is written; make room or choose another disk."
        )


def _copy(project: Project, to: Path, progress: Progress) -> None:
    store = project.store.path

    def copied(done: int, pages: int) -> None:
        size = store.stat().st_size
        progress(done * size // (pages or 1) // _MB, size // _MB, COPYING)

    copy_store(store, to, copied)
    progress(0, 0, CHECKING)
    problems = problems_of(to, lambda *_: progress(0, 0, CHECKING), resting=True)
    if problems:
        raise StoreError(
            f"{store} is damaged ({problems[0]}), so no backup was made of it; keep the backups "
            "that there are and run: labeler doctor"
        )


def _kept_files(project: Project) -> Iterator[Path]:
    for name in KEPT_FOLDERS:
        for folder, _, names in os.walk(project.folder / name):
            for each in sorted(names):
                path = Path(folder, each)
                # A link would pack what lies elsewhere.
                own = is_plain(path, project.folder)
                if own and not is_scratch(path) and path.suffix != ".part":
                    yield path


def _pack(project: Project, copy: Path, files: list[Path], to: Path, progress: Progress) -> None:
    """One tar that unpacks into a folder that is a project."""
    top = _dated_name(project)
    members = [(copy, STORE_FILE), *((f, str(f.relative_to(project.folder))) for f in files)]
    told = _Told(sum(path.stat().st_size for path, _ in members), progress)
    with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as tar:
        for path, name in members:
            with open_plain(path, follow=False) as file:
                member = tar.gettarinfo(arcname=f"{top}/{name}", fileobj=file)
                # Whoever unpacks it owns it.
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mode = 0o600
                tar.addfile(member, _Watched(file, told))


class _Told:
    """Adds up the bytes that were packed."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def more(self, count: int) -> None:
        self._done += count
        self._progress(self._done // _MB, self._total // _MB, PACKING)


class _Watched:
    """An open file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], told: _Told) -> None:
        self._file, self._told = file, told

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._told.more(len(data))
        return data


def _restoring(project: Project, place: Path) -> str:
    """How this backup becomes a project again."""
    quoted, folder = shlex.quote(str(place)), shlex.quote(str(project.folder))
    restored = f"To restore it, close the app and run: labeler --project {folder} restore"
    if _is_tar(place):
        return f"{restored} {quoted} (or labeler restore {quoted} NEWFOLDER)"
    return f"{restored} {quoted}"


def _remember(project: Project, done: BackupResult) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    kept = {"place": str(done.place), "at": at, "hand_scores": done.hand_scores}
    try:
        project.store.set_setting(LAST_BACKUP.name, json.dumps(kept))
    except StoreError:
        return  # The backup is good, also of a store that can't be written.
