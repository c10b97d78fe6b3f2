"""Stores that are copied, replaced or overwritten while a process of its own writes to them.

A writer scores as fast as its scores are kept and tells each that was acknowledged. What is done to
its files meanwhile is what people and their tools do: `cp`, `mv`, rsync with and without --inplace,
a copied folder put back, a log removed. Afterwards it is told what was acknowledged and what is
there.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import db.scores.events
from db.errors import StoreError
from db.store.snapshot import copy_store
from db.store.store import Store
from tests.support.store_rows import NOON, add_images, empty_store, event

NAME = "labeler.sqlite"
FILES = (NAME, f"{NAME}-wal", f"{NAME}-shm")
ROOT = Path(__file__).resolve().parents[2]
IMAGES = 200

# As the app does it.
WRITER = """
import select, sys, time
from contextlib import closing
from pathlib import Path
import db.scores.events
from db.errors import StoreError
from db.store.store import Store
from labeler.app.server.log_checkpoint import checkpoint_when_idle
from tests.support.store_rows import event

store = Store.open(Path(sys.argv[1]))
checkpoint_when_idle(store)
first, most, pause = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
refusals = 0
with closing(store):
    for number in range(first, first + most):
        if select.select([sys.stdin], [], [], 0)[0]:
            break  # nobody listens any more
        told = event(f"e{number}", "score", 1 + number % 200, value=number % 11)
        try:
            db.scores.events.record(store, [told])
        except Exception as error:
            print("refused", type(error).__name__, str(error).replace(chr(10), " "), flush=True)
            refusals += 1
            if refusals == 3:
                break
        else:
            print("kept", f"e{number}", time.monotonic_ns(), flush=True)
        if pause:
            time.sleep(pause)
    sys.stdin.read()  # open to the end, as an app is
"""


@dataclass
class Writer:
    """The process, and what it has said."""

    process: subprocess.Popen[str]
    kept: dict[str, int] = field(default_factory=dict)  # and when, by the monotonic clock
    refusals: list[str] = field(default_factory=list)

    def read(self, number: int = 1) -> bool:
        """Wait for so many more answers; False where none comes any more."""
        assert self.process.stdout is not None
        for _ in range(number):
            line = self.process.stdout.readline()
            if not line:
                return False
            word, _, rest = line.strip().partition(" ")
            if word == "kept":
                name, _, at = rest.partition(" ")
                self.kept[name] = int(at)
            else:
                self.refusals.append(rest)
        return True

    def read_on(self, moment: int, most: int) -> list[str]:
        """Read until it is refused, or has kept so many after the moment; returns those."""
        late: list[str] = []
        while not self.refusals and len(late) < most and self.read():
            late = [name for name, at in self.kept.items() if at > moment]
        return late

    def end(self, kill: bool) -> None:
        if kill:
            self.process.kill()
        assert self.process.stdin is not None
        self.process.stdin.close()
        while self.read():
            pass
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_writer(path: Path, first: int = 0, most: int = 100_000, pause: float = 0) -> Writer:
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(most), str(pause)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return Writer(subprocess.Popen(command, text=True, env=environment, **pipes))  # type: ignore[call-overload]


def make_store(folder: Path, first: str = "first", number: int = 300, filler: int = 0) -> Path:
    """A store with some hand scores and so many bytes of something else, closed."""
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(empty_store())
    with closing(Store.open(folder / NAME)) as store:
        add_images(store, IMAGES)
        if filler:
            store.set_setting("filler", "x" * filler)
        told = [
            event(f"{first}{n}", "score", 1 + n % IMAGES, value=n % 11, at=NOON)
            for n in range(number)
        ]
        db.scores.events.record(store, told)
    return folder / NAME


def over_it(source: Path, target: Path) -> None:
    """As `cp` does: the file that is there is emptied and written."""
    target.write_bytes(b"") if not target.exists() else None
    with source.open("rb") as new, target.open("wb") as file:
        shutil.copyfileobj(new, file)


def in_place(source: Path, target: Path) -> None:
    """As `rsync --inplace` does: bit by bit, cut off at the end."""
    data = source.read_bytes()
    with target.open("r+b", buffering=0) as file:
        for at in range(0, len(data), 1 << 15):
            file.write(data[at : at + (1 << 15)])
        file.truncate(len(data))


def instead(source: Path, target: Path) -> None:
    """As `mv` and rsync do: another file gets the name."""
    new = target.with_name("new")
    shutil.copy(source, new)
    new.replace(target)


Way = Callable[[Path, Path, Path, random.Random], None]  # store, backup, copied folder


def _of_all(how: Callable[[Path, Path], None]) -> Way:
    def put(path: Path, _backup: Path, copied: Path, rng: random.Random) -> None:
        names = [name for name in FILES[:2] if (copied / name).exists()]
        rng.shuffle(names)
        for name in names:
            how(copied / name, path.with_name(name))

    return put


def _cut(path: Path, _backup: Path, _copied: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(0, path.stat().st_size // 2))


def _cut_log(path: Path, *_: object) -> None:
    os.truncate(path.with_name(FILES[1]), 0)


def _gone(path: Path, *_: object) -> None:
    path.unlink()


def _without_log(path: Path, *_: object) -> None:
    path.with_name(FILES[1]).unlink()


WAYS: dict[str, Way] = {
    "backup by cp": lambda path, backup, _copied, _rng: over_it(backup, path),
    "backup by mv": lambda path, backup, _copied, _rng: instead(backup, path),
    "backup by rsync --inplace": lambda path, backup, _copied, _rng: in_place(backup, path),
    "older file by cp": lambda path, _backup, copied, _rng: over_it(copied / NAME, path),
    "older folder by cp": _of_all(over_it),
    "older folder by rsync": _of_all(instead),
    "file cut off": _cut,
    "file removed": _gone,
    "log cut off": _cut_log,
    "log removed": _without_log,
}


@dataclass
class Result:
    """What came of one exchange.

    `late` scores were acknowledged after it, `lost` of them are not there. `whole` is whether the
    store opens and passes its check, or says in a sentence why not.
    """

    way: str
    late: int
    lost: int
    whole: bool
    refusal: str
    told: str


def play(folder: Path, way: str, rng: random.Random, *, kill: bool, most: int = 100) -> Result:
    """Exchange the files of a store under its writer, who writes on until it is refused."""
    path = make_store(folder / "project")
    copied, backup = folder / "copied", folder / "backup.sqlite"
    copied.mkdir()
    copy_store(path, backup)
    writer = start_writer(path)
    writer.read(rng.randrange(5, 60))
    for name in FILES[:2]:
        shutil.copy(path.with_name(name), copied / name)
    writer.read(rng.randrange(5, 200))
    WAYS[way](path, backup, copied, rng)
    late = writer.read_on(time.monotonic_ns(), most)
    writer.end(kill)
    refusal = writer.refusals[0] if writer.refusals else ""
    ids, told = what_is_there(path)
    return Result(
        way,
        len(late),
        len(set(late) - (ids or set())),
        bool(told) or ids is not None,
        refusal,
        told,
    )


def copy_while(path: Path, to: Path, rng: random.Random, pause: float = 0) -> None:
    """As copying tools do: one file after the other, in any order, piece by piece."""
    to.mkdir()
    names = [name for name in FILES if path.with_name(name).exists()]
    rng.shuffle(names)
    for name in names:
        with (
            suppress(FileNotFoundError),
            path.with_name(name).open("rb") as source,
            (to / name).open("wb") as target,
        ):
            while data := source.read(1 << 17):
                target.write(data)
                time.sleep(pause)


WHOLE, FEWER, TOLD, BROKEN = "whole", "without some scores", "refused with a sentence", "broken"


def state_of_copy(path: Path, acknowledged: set[str]) -> str:
    """What a copy is worth that was begun when these scores had been acknowledged."""
    ids, told = what_is_there(path)
    if ids is None:
        return TOLD if told else BROKEN
    return WHOLE if acknowledged <= ids else FEWER


def what_is_there(path: Path) -> tuple[set[str] | None, str]:
    """The events of a store that opens and passes its check, else None, and what was said."""
    try:
        Store.open(path, patience=2).close()
    except StoreError as error:
        return None, str(error)
    try:
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return None, ""
            return {row[0] for row in connection.execute("SELECT event_id FROM hand_scores")}, ""
    except sqlite3.DatabaseError:
        return None, ""


def event_ids(path: Path) -> set[str] | None:
    """The events of the store; None where it doesn't open or is broken."""
    return what_is_there(path)[0]
