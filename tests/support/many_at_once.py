"""Several people at one project: how each scores over HTTP as the page does, and what must be kept.

A person asks for images, scores them one by one, and sends the scores in batches, some of them
twice, as a page does that did not hear the answer.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx2
from sqlalchemy import select

from db.jobs import request_stop
from db.records import Run
from db.store.schema import HandScoreRow
from labeler.core.jobs.runner import FOLLOW_SECONDS, follow, start_run
from labeler.core.project import Project

PEOPLE = ("ann", "ben", "cleo", "dan")
MOST_AT_ONCE = 12  # scores in a batch
SENT_TWICE = 0.1  # of all batches
AHEAD = 40  # images asked for at a time, as the page does


class Given(NamedTuple):
    """A score as the person who gave it knows it: acknowledged, so it must be kept."""

    scorer: str
    image_id: int
    value: float


class Person:
    """Somebody who scores; `client` has the app's address and what its own pages send."""

    def __init__(self, name: str, client: httpx2.Client, seed: int, order: str = "random") -> None:
        self.name, self.order = name, order
        self.client = client
        self.given: list[Given] = []
        self.waits: list[float] = []  # seconds for each answer
        self._random = random.Random(f"{seed} {name}")
        self._ahead: list[int] = []
        self._unsent: list[dict[str, Any]] = []

    def score(self, count: int) -> None:
        for _ in range(count):
            if not self._ahead:
                self._ahead = self.handed()
            image_id, value = self._ahead.pop(0), self._random.randrange(11)
            event = {"event": str(uuid.uuid4()), "kind": "score", "queue": "score"}
            self._unsent.append(event | {"image": image_id, "score": value, "scorer": self.name})
            if len(self._unsent) >= self._random.randint(1, MOST_AT_ONCE):
                self.send()
        self.send()

    def handed(self) -> list[int]:
        """Images to score, without those whose score is not sent yet."""
        held = ",".join(str(event["image"]) for event in self._unsent)
        query = {"order": self.order, "limit": AHEAD, "scorer": self.name, "exclude": held}
        answer = self._timed(lambda: self.client.get("/api/queue", params=query))
        items = answer["items"]
        assert items, f"nothing is left for {self.name}"
        return [item["id"] for item in items]

    def send(self) -> None:
        batch, self._unsent = self._unsent, []
        if not batch:
            return
        for _ in range(1 + (self._random.random() < SENT_TWICE)):
            answer = self._timed(lambda: self.client.post("/api/events", json={"events": batch}))
            refused = [each for each in answer["receipts"] if not each["accepted"]]
            assert not refused, refused
        self.given += [Given(self.name, each["image"], each["score"]) for each in batch]

    def _timed(self, ask: Callable[[], httpx2.Response]) -> Any:
        began = time.perf_counter()
        response = ask()
        self.waits.append(time.perf_counter() - began)
        assert response.status_code == 200, response.text
        return response.json()


def all_at_once(tasks: Iterable[Callable[[], object]]) -> None:
    """Each in a thread of its own, started at the same moment; raises what the first one raised."""
    waiting, failures = list(tasks), list[BaseException]()
    together = threading.Barrier(len(waiting))

    def run(task: Callable[[], object]) -> None:
        together.wait()
        try:
            task()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in waiting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


@contextmanager
def always_running(
    project: Project, work: dict[str, Callable[[], dict[str, Any]]]
) -> Iterator[Counter[str]]:
    """Background runs, as the app starts them, of each kind one after the other all the time.

    `work` makes the params of the next run of a kind. Yields how many are through so far; at the
    end the last ones are asked to stop.
    """
    through: Counter[str] = Counter()
    over = threading.Event()
    failures: list[BaseException] = []

    def keep_going(kind: str) -> None:
        while not over.is_set():
            ended = _followed(project, start_run(project, kind, work[kind]()).id, over)
            assert ended.state == "done" or over.is_set(), ended.message
            through[kind] += ended.state == "done"

    tasks = [lambda kind=kind: keep_going(kind) for kind in work]
    running = threading.Thread(target=lambda: _noting(failures, lambda: all_at_once(tasks)))
    running.start()
    try:
        yield through
    finally:
        over.set()
        running.join()
    assert not failures, failures


def _followed(project: Project, run_id: int, over: threading.Event) -> Run:
    """The run as it ended; asked to stop as soon as it is `over`."""

    def pause() -> None:
        if over.wait(FOLLOW_SECONDS):
            request_stop(project.store, run_id)
            time.sleep(FOLLOW_SECONDS)

    return follow(project, run_id, pause=pause)


def _noting(failures: list[BaseException], task: Callable[[], object]) -> None:
    try:
        task()
    except BaseException as error:
        failures.append(error)


def kept(project: Project, people: Sequence[str]) -> Counter[Given]:
    """Every score of these people that the store holds."""
    query = select(HandScoreRow.scorer, HandScoreRow.image_id, HandScoreRow.value)
    with project.store.reading() as session:
        rows = session.execute(query.where(HandScoreRow.scorer.in_(people))).all()
    return Counter(Given(*row) for row in rows)


def lost_and_twice(project: Project, given: Iterable[Given]) -> tuple[int, int]:
    """How many of `given` are not kept as they were given, and how many are kept that were not."""
    expected = Counter(given)
    found = kept(project, sorted({each.scorer for each in expected}))
    return (expected - found).total(), (found - expected).total()


def scored_by_two(given: Iterable[Given]) -> int:
    """How many images more than one person has scored."""
    scorers = Counter(image_id for _, image_id in {(each[0], each[1]) for each in given})
    return sum(count > 1 for count in scorers.values())


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]
