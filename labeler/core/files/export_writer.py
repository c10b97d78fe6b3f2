"""Files that an export writes: they replace what an earlier export left there, and nothing else.

What was written is remembered by its size and content, not by its name: an export that was moved or
renamed is still known, one that a person has edited since is theirs. A stranger's record can name
only files that the stranger has, too. A record in the file itself would say nothing about edits,
and CSV has no place for one.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from db.errors import StoreError
from labeler.core.errors import BadInput
from labeler.core.files.atomic import atomic_write
from labeler.core.project import Project
from model.files.bounded import TooLarge, open_plain
from model.files.bounded_json import parse_json

MOST = 2000  # files that a project remembers, the newest
_SETTING = "exported_files"


class Record(Protocol):
    """What earlier exports wrote, by `fingerprint`."""

    def knows(self, file: Path) -> bool:
        """Return whether an earlier export wrote the file as it is."""
        ...

    def keep(self, written: str) -> None:
        """Record the fingerprint of a written file."""
        ...


class NoneYet:
    """Where nothing was exported before."""

    def knows(self, file: Path) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def keep(self, written: str) -> None:
        """Record nothing."""


class ExportedFiles:
    """The files that were exported from a project, kept in its store."""

    def __init__(self, project: Project) -> None:
        self._store = project.store

    def knows(self, file: Path) -> bool:
        """Return whether an export of this project wrote the file as it is."""
        fingerprints = set(self._kept())
        size = file.stat(follow_symlinks=False).st_size
        # A person's own file of many GB is not read just to be refused.
        return (
            any(one.startswith(f"{size} ") for one in fingerprints)
            and fingerprint(file) in fingerprints
        )

    def keep(self, written: str) -> None:
        """Record the fingerprint of a written file in the project."""
        kept = [one for one in self._kept() if one != written]
        # An export is as good where the store can't be written; the next one will ask.
        with suppress(StoreError):
            self._store.set_setting(_SETTING, json.dumps([*kept, written][-MOST:]))

    def _kept(self) -> list[str]:
        try:
            kept = parse_json(self._store.setting(_SETTING) or "[]")
        except ValueError:
            return []
        return [one for one in kept if isinstance(one, str)] if isinstance(kept, list) else []


class ExportWriter:
    """Writer of an export's files; with `force` it also replaces files of others."""

    def __init__(self, record: Record, *, force: bool = False) -> None:
        self._record, self.force = record, force

    @classmethod
    def of(cls, project: Project, *, force: bool = False) -> ExportWriter:
        """Return a writer that may replace what was exported from the project before."""
        return cls(ExportedFiles(project), force=force)

    def check(self, *files: Path) -> None:
        """Raise `BadInput` for the first of `files` that must not be replaced."""
        for file in files:
            if not may_replace(file, self._record, force=self.force):
                raise BadInput(refusal(file))

    @contextmanager
    def whole(self, file: Path) -> Iterator[Path]:
        """`atomic_write`, for a file that may be replaced; raises `BadInput` for others."""
        self.check(file)
        with atomic_write(file) as scratch:
            yield scratch
            # Before the file has its name: whoever is killed in between has written one of ours.
            self._record.keep(fingerprint(scratch))
            self.check(file)  # Hours may have passed.

    def write(self, file: Path, data: bytes) -> None:
        """Write one file, replacing only what `check` allows."""
        with self.whole(file) as scratch:
            scratch.write_bytes(data)

    def write_all(self, files: Mapping[Path, bytes]) -> None:
        """Write all files; raises `BadInput` before the first if one must not be replaced."""
        self.check(*files)
        for file, data in files.items():
            self.write(file, data)


def fingerprint(file: Path) -> str:
    """Return size and hash of a plain file, or the target of a link; "" for anything else.

    Also for a file that is almost all holes, which no export has left.
    """
    status = file.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return link_fingerprint(file.readlink())
    if not stat.S_ISREG(status.st_mode):
        return ""
    try:
        with open_plain(file, follow=False) as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except TooLarge:
        return ""
    return file_fingerprint(status.st_size, digest)


def file_fingerprint(size: int, digest: str) -> str:
    """Return the fingerprint of a plain file of this size (bytes) and SHA-256 (hexadecimal)."""
    return f"{size} {digest[:32]}"


def link_fingerprint(to: Path) -> str:
    """Return the fingerprint of a link whose target is `to`."""
    text = os.fsencode(to)
    return f"{len(text)} link {hashlib.sha256(text).hexdigest()[:32]}"


def may_replace(file: Path, record: Record, *, force: bool = False) -> bool:
    """Return whether nothing is lost that a person may want.

    So if there is nothing, an empty file, or what `record` knows; by `force` any plain file or
    link, never a folder, pipe or device.
    """
    try:
        status = file.stat(follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return True
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        return False
    empty = stat.S_ISREG(status.st_mode) and status.st_size == 0
    return force or empty or record.knows(file)


def refusal(file: Path) -> str:
    """Return the message for a file that must not be replaced."""
    if not (file.is_file() or file.is_symlink()):
        return f"{file} is no plain file; choose another name."
    return (
        f"{file} is there already and is not, or no longer, as an export left it; choose another "
        'name, or replace it: --force (in the app: "Replace files that are there")'
    )
