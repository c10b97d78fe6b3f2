"""A damaged store is read into a new one that takes its place; the damaged one stays beside it."""

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
    """Where the damaged store is kept, and how many rows of each table were read from it.

    Nothing led to `from_pages` of the hand scores any more.
    """

    damaged: Path
    kept: dict[str, int]
    cut: list[str]
    from_pages: int

    def sentence(self) -> str:
        told = ", ".join(f"{self.kept.get(name, 0):,} {words}" for name, words in _TOLD.items())
        if self.from_pages:
            told += f". Nothing led to {self.from_pages:,} of the hand scores but their own pages"
        lost = f" Some of {', '.join(self.cut)} could not be read." if self.cut else ""
        return (
            f"Read into a new store: {told}.{lost} The damaged one is kept as {self.damaged}. What "
            "is missing of embeddings and predictions is made anew by: labeler embed"
        )


def recover(path: Path, keep_as: Path, progress: Progress) -> RecoveryResult:
    """Replace the store at `path`, which nobody else may have open, by what can be read of it.

    Raises `StoreError` where nothing can be read, or another program has it open or has written to
    it meanwhile; all is as it was then.
    """
    with scratch_beside(path) as scratch:
        # The new store makes its own file.
        new = scratch.with_name(f"{scratch.name}.sqlite")
        try:
            _remove(new)  # what a killed salvage has left
            found = db.repair.recover_rows.recover_rows(
                path, new, lambda table: progress(0, 0, f"reading {table}")
            )
            db.repair.recover_rows.check_unchanged(path, found)
            new.chmod(stat.S_IMODE(path.stat().st_mode))
            _keep(path, keep_as)
            new.replace(path)
        except OSError as error:
            raise LabelerError(
                f"Can't write beside {path} ({error.strerror}); make room or check its folder's "
                "permissions."
            ) from error
        finally:
            _remove(new)
    return RecoveryResult(keep_as, found.kept, found.cut, found.from_pages)


def _keep(path: Path, keep_as: Path) -> None:
    """Have the store under another name, too; where links can be, it is never without its own."""
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
