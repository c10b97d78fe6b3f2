"""A command killed again and again, looked at after every kill, and then left to finish.

The moments are drawn over the length of a run that nobody disturbed: any instant of it, any change
that it makes to a file, or as soon as a certain file is there.
"""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import db.scores.events
from db.records import Event
from db.store.store import Store
from labeler.core.project import STORE_FILE
from tests.support.kill_checks import Given, acknowledged, check_store, scratch_below
from tests.support.kill_works import Work, assert_same
from tests.support.killing import Commands, Moment
from tests.support.store_rows import NOON

SORTS = ("time", "change", "aim", "real")


@dataclass
class Campaign:
    """`folder` is where trials take place; `kills` counts by the sort of moment."""

    work: Work
    commands: Commands
    folder: Path
    chance: random.Random
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SORTS, 0))
    finished: int = 0
    scored: int = 0
    real_seconds: float = 0.0

    def __post_init__(self) -> None:
        trial = self._new()
        ended = self.commands(trial / "project", self.work.words_in(trial))
        assert ended.code == 0, ended.said
        assert not self._scratch(trial)
        self.seconds, self.changes = ended.seconds, ended.changes
        self.whole = self.work.results(trial)

    def __str__(self) -> str:
        by_sort = ", ".join(f"{count} by {sort}" for sort, count in self.kills.items() if count)
        return f"{self.total} kills ({by_sort}) in {self.finished} runs of {self.seconds:.2f} s"

    @property
    def total(self) -> int:
        return sum(self.kills.values())

    def trial(self, sorts: list[str]) -> None:
        """Kill once for each of `sorts` in turn, unless the command ends before; then finish it."""
        trial, given = self._new(), acknowledged(self.work.start / "project" / STORE_FILE)
        moments = []
        for sort in sorts:
            moments.append(moment := self._moment(sort, trial))
            with self._told(moments):
                if not self._strike(trial, sort, moment, given):
                    break
        with self._told(moments):
            self._finish(trial, given)
        self.finished += 1

    def _new(self) -> Path:
        """A fresh copy of the start, always at the same place."""
        trial = self.folder / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(self.work.start, trial, symlinks=True)
        return trial

    def _moment(self, sort: str, trial: Path) -> Moment:
        if sort == "change" and self.changes:
            return Moment(change=self.chance.randint(1, self.changes))
        if sort == "aim" and self.work.aims:
            pattern = self.chance.choice(self.work.aims)
            before = set(trial.glob(pattern))
            skipped = self.chance.choice((0, 0, 1, 5))
            return Moment(seen=lambda: len(set(trial.glob(pattern)) - before) > skipped)
        if sort == "real" and not self.real_seconds:
            self.real_seconds = self.commands(
                self._new() / "project", self.work.words_in(trial), real=True
            ).seconds
            self._new()
        return Moment(
            seconds=self.chance.uniform(0, self.real_seconds if sort == "real" else self.seconds)
        )

    def _strike(self, trial: Path, sort: str, moment: Moment, given: list[Given]) -> bool:
        """Run and kill it; whether that came before the command's end."""
        with self._scoring(trial, given):
            ended = self.commands(
                trial / "project", self.work.words_in(trial), moment, real=sort == "real"
            )
        assert ended.killed or ended.code == 0, ended.said
        self.kills[sort] += ended.killed
        check_store(trial / "project" / STORE_FILE, given)
        self.work.check(trial, self.whole)
        return ended.killed

    def _finish(self, trial: Path, given: list[Given]) -> None:
        ended = self.commands(trial / "project", self.work.words_in(trial))
        assert ended.code == 0, ended.said
        check_store(trial / "project" / STORE_FILE, given)
        self.work.check(trial, self.whole)
        assert_same(self.whole, self.work.results(trial), self.work.name)
        assert not self._scratch(trial), self._scratch(trial)

    def _scratch(self, trial: Path) -> list[Path]:
        return scratch_below(*(trial / name for name in self.work.scratch))

    @contextmanager
    def _told(self, moments: list[Moment]) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            killed = ", then ".join(map(str, moments))
            raise AssertionError(f"{self.work.name} killed {killed}: {error}") from error

    @contextmanager
    def _scoring(self, trial: Path, given: list[Given]) -> Iterator[None]:
        """Somebody scores meanwhile, if that leaves the results alone; `given` grows with it."""
        over = threading.Event()
        taken: list[Given] = []
        thread = threading.Thread(target=self._score, args=(trial, over, given, taken))
        if self.work.scores_meanwhile:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if thread.ident is not None:
                thread.join()
        given += taken
        self.scored += len(taken)

    def _score(
        self, trial: Path, over: threading.Event, given: list[Given], taken: list[Given]
    ) -> None:
        contents = sorted({one.content for one in given})
        with closing(Store.open(trial / "project" / STORE_FILE)) as store:
            ids = ids_by_content(store)
            while not over.wait(0.01):
                number = len(given) + len(taken)
                one = Given(
                    f"meanwhile-{number}", contents[number % len(contents)], float(number % 11)
                )
                event = Event(one.event, "score", ids[one.content], NOON, value=one.value)
                if db.scores.events.record(store, [event])[0].accepted:
                    taken.append(one)


def ids_by_content(store: Store) -> dict[str, int]:
    with store.reading() as session:
        rows = session.connection().exec_driver_sql("SELECT content_hash, id FROM images")
        return dict(rows.all())
