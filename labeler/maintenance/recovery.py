"""Recovery: the readable rows of a damaged store become a new store; the damaged one is kept."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import db.repair.recover_rows
from labeler.core.errors import LabelerError
from labeler.core.files.atomic import scratch_beside
from labeler.core.progress import Progress

_BESIDE = ("-wal", "-shm")
_TOLD = {
    "hand_scores": "hand scores",
    "images": "images",
    "embeddings": "embeddings",
    "versions": "versions",
    "predictions": "predictions",
}


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """Where the damaged store is kept, and how many rows were read from it."""

    damaged: Path
    kept: dict[str, int]  # rows by table
    cut: list[str]  # tables of which some rows could not be read
    from_pages: int  # hand scores on pages that no index refers to

    def sentence(self) -> str:
        """Return what was read and what is missing, as text."""
        counts = ", ".join(f"{self.kept.get(name, 0):,} {words}" for name, words in _TOLD.items())
        if self.from_pages:
            counts += f". Nothing led to {self.from_pages:,} of the hand scores but their own pages"
        lost = f" Some of {', '.join(self.cut)} could not be read." if self.cut else ""
        return (
            f"Read into a new store: {counts}.{lost} The damaged one is kept as {self.damaged}. "
            "What is missing of embeddings and predictions is made anew by: labeler embed"
        )


def recover(path: Path, keep_as: Path, progress: Progress) -> RecoveryResult:
    """Replace the store at `path` by a new one with the rows that can be read.

    Raises `StoreError` if nothing can be read, or another process has the store open or has written
    to it meanwhile; `LabelerError` if the folder can't be written. Then the store is unchanged.
    """
    with scratch_beside(path) as scratch:
        # The new store makes its own file.
        new = scratch.with_name(f"{scratch.name}.sqlite")
        try:
            _remove(new)  # left by a recovery that was killed
            recovery = db.repair.recover_rows.recover_rows(
                path, new, lambda table: progress(0, 0, f"reading {table}")
            )
            db.repair.recover_rows.check_unchanged(path, recovery)
            new.chmod(stat.S_IMODE(path.stat().st_mode))
            _move_aside(path, keep_as)
            new.replace(path)
        except OSError as error:
            raise LabelerError(
                f"Can't write beside {path} ({error.strerror}); make room or check its folder's "
                "permissions."
            ) from error
        finally:
            _remove(new)
    return RecoveryResult(keep_as, recovery.kept, recovery.cut, recovery.from_pages)


def _move_aside(path: Path, keep_as: Path) -> None:
    """Keep the store and its log as `keep_as`; with hard links it never loses its own name."""
    try:
        keep_as.hardlink_to(path)
    except OSError:
        path.rename(keep_as)
    for end in _BESIDE:
        old = path.with_name(f"{path.name}{end}")
        if old.exists():
            old.rename(keep_as.with_name(f"{keep_as.name}{end}"))


def _remove(store: Path) -> None:
    for end in ("", *_BESIDE):
        store.with_name(f"{store.name}{end}").unlink(missing_ok=True)
