"""What must hold of a project after a kill: the store is sound, and every hand score is in it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

SCRATCH = ("*.part", "*.partial")


@dataclass(frozen=True)
class Given:
    """A hand score that the store has acknowledged: which picture (by content), and the score."""

    event: str
    content: str
    value: float


def acknowledged(store: Path) -> list[Given]:
    """All hand scores in the store, oldest first."""
    query = (
        "SELECT event_id, coalesce(content_hash, images.id), value FROM hand_scores JOIN images "
        "ON images.id = image_id WHERE undone_at IS NULL ORDER BY hand_scores.id"
    )
    with closing(sqlite3.connect(store)) as connection:
        return [Given(*row) for row in connection.execute(query)]


def check_store(store: Path, given: Sequence[Given]) -> None:
    """The file is sound, and each of `given` is there once, on its picture; the last one counts.

    Opened as SQLite does it, so that a store of an earlier schema stays one.
    """
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        effective = dict(
            connection.execute("SELECT coalesce(content_hash, id), hand_score FROM images")
        )
    found = acknowledged(store)
    assert sorted(found, key=repr) == sorted({*found}, key=repr), "a score is there twice"
    assert set(given) <= set(found), f"lost: {sorted(set(given) - set(found), key=repr)[:5]}"
    last = {one.content: one.value for one in found}
    wrong = {name: value for name, value in last.items() if effective[name] != value}
    assert not wrong, f"these count otherwise than was said last: {wrong}"


def files_below(folder: Path) -> Iterator[Path]:
    """All files but the store's own and what is scratch by its name."""
    for path in sorted(folder.rglob("*")):
        scratch = any(path.match(pattern) for pattern in SCRATCH)
        if path.is_file() and not scratch and ".sqlite" not in path.name:
            yield path


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file below, by its relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files_below(folder)
    }


def scratch_below(*folders: Path) -> list[Path]:
    """What a killed process has left unfinished."""
    return [path for folder in folders for one in SCRATCH for path in folder.rglob(one)]


def check_whole(found: Mapping[str, str], whole: Mapping[str, str]) -> None:
    """Every file that has the name of a finished one is that, byte for byte."""
    torn = [name for name, digest in found.items() if whole.get(name, digest) != digest]
    assert not torn, f"half-written: {torn[:5]}"
    odd = sorted(found.keys() - whole.keys())
    assert not odd, f"files that a finished command doesn't make: {odd[:5]}"
