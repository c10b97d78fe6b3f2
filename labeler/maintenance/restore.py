"""Restoring a project from a backup: all of it or nothing, after checks; the old store is kept.

A backup may come from anybody. From a .tar only plain files are restored whose names a backup can
have; nothing is written outside the project's folder, and an existing file that is replaced is
kept under another name.
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
from labeler.maintenance.backup import KEPT_FOLDERS, ByteProgress
from labeler.maintenance.project_files import remove_sketches
from model.files.bounded import open_plain

CHECKING, WRITING = "checking the backup", "MB restored"
MOST_FILES = 200_000
_MODEL_FILES = (".safetensors", ".config.json", ".npz")
_SQLITE = b"SQLite format 3\0"
_CHUNK = 1 << 20
_MB = 1_000_000
_LONGEST_NAME, _DEEPEST = 255, 8


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What `folder` holds after restoring, and where the files that were replaced are kept."""

    folder: Path
    hand_scores: int
    files: int  # beside the store
    kept: Path | None  # the previous store
    aside: list[Path]  # other previous files

    def sentence(self) -> str:
        """Return what was restored and kept, as text."""
        files = f" and {self.files:,} files" if self.files else ""
        message = f"Restored {self.folder}: {self.hand_scores:,} hand scores{files}."
        if self.kept is not None:
            message += f" The store that was there is kept as {self.kept.name} beside it."
        if self.aside:
            names = ", ".join(path.name for path in self.aside[:3])
            more = f" and {len(self.aside) - 3:,} more" if len(self.aside) > 3 else ""
            message += f" Other files that had the same names are kept as {names}{more}."
        return message


def restore(backup: Path, folder: Path, *, progress: Progress = silent) -> RestoreResult:
    """Restore the project in `folder` to its state when `backup` was written.

    Raises `BadInput` for a file that is no backup, `StoreError` if its store is damaged or newer or
    another process has the project open, `LabelerError` if the disk is too small, and `OSError`;
    then the folder is unchanged. After a kill, a second run completes the work.
    """
    backup, folder = backup.expanduser().absolute(), folder.expanduser().resolve()
    store = folder / STORE_FILE
    if not backup.is_file():
        raise BadInput(f"{backup} is not there, or no file; name a backup (.sqlite or .tar).")
    _check_backup(backup, store)
    check_store_files(store)
    try:
        with ExitStack() as stack:
            created_paths = stack.enter_context(_removed_on_error())
            for name in SUBFOLDERS:
                subfolder_path = folder / name
                created_paths.extend(_missing_paths(subfolder_path))
                subfolder_path.mkdir(parents=True, exist_ok=True)
            lock_file = stack.enter_context(scratch_beside(store))
            new = lock_file.with_name(f"{lock_file.name}.sqlite")
            _remove(new)  # left by a restoration that was killed
            stack.callback(_remove, new)
            file = stack.enter_context(open_plain(backup))
            members = _members(file, backup)
            _check_places(folder, members)
            _check_room(folder, sum(member.size for member in members.values()))
            byte_progress = ByteProgress(
                sum(member.size for member in members.values()), progress, WRITING
            )
            os.close(created(new, _mode_of(store)))
            _copy(file, members.pop(STORE_FILE), new, byte_progress)
            progress(0, 0, CHECKING)
            db.store.restore.check_backup(new, str(backup))
            db.store.restore.mark_anew(new)
            return _replace(store, new, file, members, byte_progress)
    except OSError as error:
        if error.filename is None:
            error.filename = str(folder)
        raise


def drop_log(store: Path, keep_as: Path) -> None:
    """Replace the store by a copy without its log; keep the old file and log as `keep_as`.

    Used when the log belongs to another store. Raises `StoreError` if another process has it open.
    """
    with scratch_beside(store) as lock_file:
        new = lock_file.with_name(f"{lock_file.name}.sqlite")
        _remove(new)
        try:
            check_store_files(store)
            os.close(created(new, _mode_of(store)))
            shutil.copyfile(store, new)
            with suppress(StoreError):  # the recovery reads a damaged store later
                db.store.restore.mark_anew(new)
            db.store.restore.exchange(store, new, keep_as)
        finally:
            _remove(new)


def _replace(
    store: Path, new: Path, file: BinaryIO, members: dict[str, Member], byte_progress: ByteProgress
) -> RestoreResult:
    """Write the backup's files and put the new store in place.

    Files that replace nothing come first, then the store, then those that replace one: a kill
    leaves either the old project or the new one.
    """
    now = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    others: dict[str, Member] = {}
    keep_as = dated(store, "before-restore")
    with _removed_on_error() as created_paths:
        for name, member in members.items():
            target = _target(store.parent, name)
            if not target.exists():
                created_paths.extend(_missing_paths(target))
                _write(file, member, target, byte_progress)
            elif not _is_same(file, member, target):
                others[name] = member
        try:
            was_there = db.store.restore.exchange(store, new, keep_as)
        except BaseException:
            if not new.exists():  # the new store is in place, and the files belong to it
                created_paths.clear()
            raise
    aside = []
    for name, member in others.items():
        target = _target(store.parent, name)
        old = target.with_name(f"{target.name}.before-restore-{now}")
        target.rename(old)
        aside.append(old)
        _write(file, member, target, byte_progress)
    db.store.restore.sync_folder(store.parent)
    project = Project.open(store.parent)
    try:
        remove_sketches(project)
        scored = db.images.counts.by_hand_score(project.store).scored
    finally:
        project.close()
    return RestoreResult(store.parent, scored, len(members), keep_as if was_there else None, aside)


@contextmanager
def _removed_on_error() -> Iterator[list[Path]]:
    """Yield a list for paths that are about to be created; an exception removes them.

    After a kill they stay: they replace nothing, and the next restoration uses them.
    """
    paths: list[Path] = []
    try:
        yield paths
    except BaseException:
        for path in sorted(paths, reverse=True):  # contents before their folder
            with suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        raise


def _missing_paths(path: Path) -> list[Path]:
    """Return the paths that creating `path` creates: itself and its missing parents."""
    return [each for each in (path, *path.parents) if not each.exists()]


def _check_places(folder: Path, members: Iterable[str]) -> None:
    """Check that every file can be written at its target; raises `BadInput`."""
    for name in members:
        if name == STORE_FILE:
            continue
        target = _target(folder, name)
        refuse_store(target)
        if target.is_dir():
            raise BadInput(f"{target} is a folder, and the backup has a file there; move it away.")
        for parent in target.parents:
            if parent == folder:
                break
            if parent.exists() and not parent.is_dir():
                raise BadInput(f"{parent} is no folder, and the backup has one; move it away.")


def _check_backup(backup: Path, store: Path) -> None:
    """Check that `backup` is not the store itself and has no log; raises `BadInput`."""
    if store.exists() and backup.samefile(store):
        raise BadInput(f"{backup} is the store that would be replaced; name a backup of it.")
    log = log_of(backup)
    if log.exists() and log.stat().st_size:
        raise BadInput(
            f"{backup} is open in a program, or was copied while it was ({log.name} lies beside "
            "it), so alone it is not whole; take a backup of that project with: labeler backup FILE"
        )


def _mode_of(store: Path) -> int:
    """Return the file mode for a store that replaces this one."""
    return stat.S_IMODE(store.stat().st_mode) if store.is_file() else PRIVATE


def _remove(store: Path) -> None:
    for end in ("", *db.store.restore.BESIDE):
        store.with_name(f"{store.name}{end}").unlink(missing_ok=True)


def _members(file: BinaryIO, backup: Path) -> dict[str, Member]:
    """Return {name in the project: position in the backup} of the store and the other files.

    Raises `BadInput` for a file that is no backup.
    """
    size = os.fstat(file.fileno()).st_size
    if file.read(len(_SQLITE)) == _SQLITE:
        return {STORE_FILE: Member(0, size)}
    index = index_tar(file)
    if index.problem is not None:
        raise BadInput(f"{backup} can't be restored. {index.problem}")
    if len(index.members) > MOST_FILES:
        raise BadInput(f"{backup} holds more than {MOST_FILES:,} files, which no backup does.")
    members: dict[str, Member] = {}
    tops = set()
    for name, member in index.members.items():
        top, _, inside = name.partition("/")
        if not _is_backup_name(inside):
            raise BadInput(
                f"{backup} holds {name!r}, which is in no backup of a project; nothing was "
                "restored."
            )
        tops.add(top)
        members[inside] = member
    if STORE_FILE not in members or len(tops) != 1:
        raise BadInput(f"{backup} is no backup: it holds not one {STORE_FILE}.")
    for name in members:
        if conflict := next(
            (str(each) for each in PurePosixPath(name).parents if str(each) in members), None
        ):
            raise BadInput(
                f"{backup} holds {conflict!r} as a file and as a folder, which no backup does; "
                "nothing was restored."
            )
    return members


def _is_backup_name(name: str) -> bool:
    """Return whether a backup may hold a file of this name; it is then within the project."""
    if name == STORE_FILE:
        return True
    path = PurePosixPath(name)
    folder = path.parts[0] if path.parts else ""
    if folder not in KEPT_FOLDERS or not 2 <= len(path.parts) <= _DEEPEST or str(path) != name:
        return False
    if folder == "models" and not name.endswith(_MODEL_FILES):
        return False
    return all(_is_valid_part(part) for part in path.parts) and path.name.lower() not in STORE_FILES


def _is_valid_part(part: str) -> bool:
    """Return whether a path component is safe on every system: no dot first, no separator."""
    fits = len(os.fsencode(part)) <= _LONGEST_NAME
    return fits and not part.startswith(".") and not set("\0\\:") & set(part)


def _target(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`; raises `BadInput` if it passes through a link."""
    target = folder / name
    for each in (target, *target.parents):
        if each == folder:
            return target
        if each.is_symlink():
            raise BadInput(f"{each} is a link; nothing is restored through it. Remove it first.")
    raise BadInput(f"{name} is outside {folder}.")


def _check_room(folder: Path, needed: int) -> None:
    """Check that the disk has `needed` bytes free; raises `LabelerError`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LabelerError(
            f"The disk of {folder} has {free / _MB:,.1f} MB left, and what is restored takes "
            f"{needed / _MB:,.1f} MB; make room first."
        )


def _write(file: BinaryIO, member: Member, target: Path, byte_progress: ByteProgress) -> None:
    with atomic_write(target) as scratch:
        _copy(file, member, scratch, byte_progress)


def _copy(file: BinaryIO, member: Member, to: Path, byte_progress: ByteProgress) -> None:
    with to.open("wb") as output:
        for data in _chunks(file, member):
            output.write(data)
            byte_progress.add(len(data))
        output.flush()
        os.fsync(output.fileno())


def _is_same(file: BinaryIO, member: Member, target: Path) -> bool:
    if not target.is_file() or target.stat().st_size != member.size:
        return False
    with target.open("rb") as existing:
        return all(existing.read(len(data)) == data for data in _chunks(file, member))


def _chunks(file: BinaryIO, member: Member) -> Iterator[bytes]:
    file.seek(member.offset)
    remaining = member.size
    while remaining:
        data = file.read(min(remaining, _CHUNK))
        if not data:
            raise BadInput("The backup became shorter while it was read; run this again.")
        remaining -= len(data)
        yield data
