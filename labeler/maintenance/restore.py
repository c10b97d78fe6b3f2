"""Restoring a project from a backup: checked first, whole or not at all, the old one kept beside.

A backup may come from anybody. Of a .tar only the names that a backup holds are taken, plain files
alone, read in place; nothing is unpacked anywhere else, and no file that is there is replaced
without being kept under another name.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import db.images.counts
import db.store.restore
from db.errors import StoreError
from db.store.commit_numbers import log_of
from db.store.regular_files import PRIVATE, check_store_files, created
from labeler.core.archives.tar_index import Member, index_tar
from labeler.core.errors import BadInput, LabelerError
from labeler.core.files.atomic import atomic_write, refuse_store, scratch_beside
from labeler.core.files.names import dated
from labeler.core.progress import Progress, silent
from labeler.core.project import STORE_FILE, STORE_FILES, SUBFOLDERS, Project
from labeler.maintenance.backup import KEPT_FOLDERS
from labeler.maintenance.project_files import remove_sketches
from model.files.bounded import open_plain

CHECKING, WRITING = "checking the backup", "MB restored"
MOST_FILES = 200_000
_MODEL_FILES = (".safetensors", ".config.json", ".npz")
_SQLITE = b"SQLite format 3\0"
_AT_ONCE = 1 << 20
_MB = 1_000_000
_LONGEST_NAME, _DEEPEST = 255, 8


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What is in `folder` now; `kept` is the store that was there, `aside` files that were."""

    folder: Path
    hand_scores: int
    files: int  # beside the store
    kept: Path | None
    aside: list[Path]

    def sentence(self) -> str:
        beside = f" and {self.files:,} files" if self.files else ""
        told = f"Restored {self.folder}: {self.hand_scores:,} hand scores{beside}."
        if self.kept is not None:
            told += f" The store that was there is kept as {self.kept.name} beside it."
        if self.aside:
            shown = ", ".join(path.name for path in self.aside[:3])
            more = f" and {len(self.aside) - 3:,} more" if len(self.aside) > 3 else ""
            told += f" Other files that had the same names are kept as {shown}{more}."
        return told


def restore(backup: Path, folder: Path, *, progress: Progress = silent) -> RestoreResult:
    """Make the project in `folder` what it was when `backup` was written.

    Raises `BadInput` for a file that is no backup, `StoreError` where its store is damaged or
    newer, or somebody has the project open, `LabelerError`, `OSError`. All is as it was then; run
    again after a kill it finishes.
    """
    backup, folder = backup.expanduser().absolute(), folder.expanduser().resolve()
    store = folder / STORE_FILE
    if not backup.is_file():
        raise BadInput(f"{backup} is not there, or no file; name a backup (.sqlite or .tar).")
    _refuse_used(backup, store)
    check_store_files(store)
    try:
        with ExitStack() as opened:
            made = opened.enter_context(_unmade())
            for name in SUBFOLDERS:
                place = folder / name
                made.extend(_absent(place))
                place.mkdir(parents=True, exist_ok=True)
            held = opened.enter_context(scratch_beside(store))
            new = held.with_name(f"{held.name}.sqlite")
            _remove(new)  # what a killed restoring has left
            opened.callback(_remove, new)
            file = opened.enter_context(open_plain(backup))
            members = _members(file, backup)
            _check_places(folder, members)
            _check_room(folder, sum(member.size for member in members.values()))
            told = _Told(sum(member.size for member in members.values()), progress)
            os.close(created(new, _mode_of(store)))
            _copy(file, members.pop(STORE_FILE), new, told)
            progress(0, 0, CHECKING)
            db.store.restore.check_backup(new, str(backup))
            db.store.restore.mark_anew(new)
            return _exchange(store, new, file, members, told)
    except OSError as error:
        if error.filename is None:
            error.filename = str(folder)
        raise


def drop_log(store: Path, keep_as: Path) -> None:
    """Go on with the store's file alone; with the log, which is not its own, it is `keep_as`.

    Raises `StoreError` where somebody has it open.
    """
    with scratch_beside(store) as held:
        new = held.with_name(f"{held.name}.sqlite")
        _remove(new)
        try:
            check_store_files(store)
            os.close(created(new, _mode_of(store)))
            shutil.copyfile(store, new)
            with suppress(StoreError):  # a damaged one is read later, by who can
                db.store.restore.mark_anew(new)
            db.store.restore.exchange(store, new, keep_as)
        finally:
            _remove(new)


def _exchange(
    store: Path, new: Path, file: BinaryIO, members: dict[str, Member], told: _Told
) -> RestoreResult:
    """Files that replace nothing come first, those that do last: a kill leaves either project."""
    now = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    others: dict[str, Member] = {}
    keep_as = dated(store, "before-restore")
    with _unmade() as made:
        for name, member in members.items():
            place = _place(store.parent, name)
            if not place.exists():
                made.extend(_absent(place))
                _put(file, member, place, told)
            elif not _is_same(file, member, place):
                others[name] = member
        try:
            was_there = db.store.restore.exchange(store, new, keep_as)
        except BaseException:
            if not new.exists():  # it has taken the store's place, and the files are its own
                made.clear()
            raise
    aside = []
    for name, member in others.items():
        place = _place(store.parent, name)
        kept = place.with_name(f"{place.name}.before-restore-{now}")
        place.rename(kept)
        aside.append(kept)
        _put(file, member, place, told)
    db.store.restore.sync_folder(store.parent)
    project = Project.open(store.parent)
    try:
        remove_sketches(project)
        scored = db.images.counts.by_hand_score(project.store).scored
    finally:
        project.close()
    return RestoreResult(store.parent, scored, len(members), keep_as if was_there else None, aside)


@contextmanager
def _unmade() -> Iterator[list[Path]]:
    """Takes files and folders that are about to be made, and removes them if anything is raised.

    Not after a kill: they replace nothing, and the next restoring goes on with them.
    """
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for each in sorted(made, reverse=True):  # what lies in a folder comes before it
            with suppress(OSError):
                each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
        raise


def _absent(place: Path) -> list[Path]:
    """What is made with `place`: itself, and the folders that it lies in."""
    return [each for each in (place, *place.parents) if not each.exists()]


def _check_places(folder: Path, members: Iterable[str]) -> None:
    """Raise `BadInput` for what can't be put where it belongs, before anything is."""
    for name in members:
        if name == STORE_FILE:
            continue
        place = _place(folder, name)
        refuse_store(place)
        if place.is_dir():
            raise BadInput(f"{place} is a folder, and the backup has a file there; move it away.")
        for each in place.parents:
            if each == folder:
                break
            if each.exists() and not each.is_dir():
                raise BadInput(f"{each} is no folder, and the backup has one; move it away.")


def _refuse_used(backup: Path, store: Path) -> None:
    if store.exists() and backup.samefile(store):
        raise BadInput(f"{backup} is the store that would be replaced; name a backup of it.")
    log = log_of(backup)
    if log.exists() and log.stat().st_size:
        raise BadInput(
            f"{backup} is open in a program, or was copied while it was ({log.name} lies beside "
            "it), so alone it is not whole; take a backup of that project with: labeler backup FILE"
        )


def _mode_of(store: Path) -> int:
    """The permissions for a store in the place of this one."""
    return stat.S_IMODE(store.stat().st_mode) if store.is_file() else PRIVATE


def _remove(store: Path) -> None:
    for end in ("", *db.store.restore.BESIDE):
        store.with_name(f"{store.name}{end}").unlink(missing_ok=True)


def _members(file: BinaryIO, backup: Path) -> dict[str, Member]:
    """Where the store and the other files lie in the backup, by their names in the project."""
    size = os.fstat(file.fileno()).st_size
    if file.read(len(_SQLITE)) == _SQLITE:
        return {STORE_FILE: Member(0, size)}
    index = index_tar(file)
    if index.problem is not None:
        raise BadInput(f"{backup} can't be restored. {index.problem}")
    if len(index.members) > MOST_FILES:
        raise BadInput(f"{backup} holds more than {MOST_FILES:,} files, which no backup does.")
    found: dict[str, Member] = {}
    tops = set()
    for name, member in index.members.items():
        top, _, inside = name.partition("/")
        if not _is_kept_name(inside):
            raise BadInput(
                f"{backup} holds {name!r}, which is in no backup of a project; nothing was "
                "restored."
            )
        tops.add(top)
        found[inside] = member
    if STORE_FILE not in found or len(tops) != 1:
        raise BadInput(f"{backup} is no backup: it holds not one {STORE_FILE}.")
    for name in found:
        if both := next(
            (str(each) for each in PurePosixPath(name).parents if str(each) in found), None
        ):
            raise BadInput(
                f"{backup} holds {both!r} as a file and as a folder, which no backup does; nothing "
                "was restored."
            )
    return found


def _is_kept_name(name: str) -> bool:
    """Whether a backup holds files of this name, which can't lead out of the project's folder."""
    if name == STORE_FILE:
        return True
    path = PurePosixPath(name)
    folder = path.parts[0] if path.parts else ""
    if folder not in KEPT_FOLDERS or not 2 <= len(path.parts) <= _DEEPEST or str(path) != name:
        return False
    if folder == "models" and not name.endswith(_MODEL_FILES):
        return False
    return all(_is_plain(part) for part in path.parts) and path.name.lower() not in STORE_FILES


def _is_plain(part: str) -> bool:
    fits = len(os.fsencode(part)) <= _LONGEST_NAME
    return fits and not part.startswith(".") and not set("\0\\:") & set(part)


def _place(folder: Path, name: str) -> Path:
    """Raises `BadInput` where a link on the way leads somewhere else."""
    place = folder / name
    for each in (place, *place.parents):
        if each == folder:
            return place
        if each.is_symlink():
            raise BadInput(f"{each} is a link; nothing is restored through it. Remove it first.")
    raise BadInput(f"{name} is outside {folder}.")


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LabelerError(
            f"The disk of {folder} has {free / _MB:,.1f} MB left, and what is restored takes "
            f"{needed / _MB:,.1f} MB; make room first."
        )


class _Told:
    """Adds up the bytes that were written."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def more(self, count: int) -> None:
        self._done += count
        self._progress(self._done // _MB, self._total // _MB, WRITING)


def _put(file: BinaryIO, member: Member, place: Path, told: _Told) -> None:
    with atomic_write(place) as scratch:
        _copy(file, member, scratch, told)


def _copy(file: BinaryIO, member: Member, to: Path, told: _Told) -> None:
    with to.open("wb") as written:
        for data in _pieces(file, member):
            written.write(data)
            told.more(len(data))
        written.flush()
        os.fsync(written.fileno())


def _is_same(file: BinaryIO, member: Member, place: Path) -> bool:
    if not place.is_file() or place.stat().st_size != member.size:
        return False
    with place.open("rb") as there:
        return all(there.read(len(data)) == data for data in _pieces(file, member))


def _pieces(file: BinaryIO, member: Member) -> Iterator[bytes]:
    file.seek(member.offset)
    left = member.size
    while left:
        data = file.read(min(left, _AT_ONCE))
        if not data:
            raise BadInput("The backup became shorter while it was read; run this again.")
        left -= len(data)
        yield data
