"""Scores that pour into the app over HTTP, as the pages' outbox sends them, while it is killed.

Each scorer works on images of its own, keeps every event until the app has acknowledged it, and
sends those that are left again, in order, to the app that comes up next.
"""

from __future__ import annotations

import json
import random
import threading
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

import db.scores.hand_scores
from labeler.core.project import Project
from tests.support.live import App, until

CHUNK = 40
AT = "2025-03-01T12:00:00+00:00"


@dataclass
class Scorer:
    """`sent` is everything that it ever scored, oldest first; `kept` the ids acknowledged."""

    app: App
    images: list[int]
    chance: random.Random
    sent: list[dict[str, Any]] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    pending: list[dict[str, Any]] = field(default_factory=list)

    def press(self) -> None:
        """Score one image, some of them not for the first time."""
        event = {
            "event": str(uuid.UUID(int=self.chance.getrandbits(128))),
            "kind": "score",
            "image": self.chance.choice(self.images),
            "score": self.chance.randint(0, 20) / 2,
            "queue": "score",
            "at": AT,
            "scorer": "ann",
        }
        self.sent.append(event)
        self.pending.append(event)

    def flush(self) -> bool:
        """Send what waits; False where the app didn't answer."""
        while self.pending:
            try:
                receipts = post(self.app, self.pending[:CHUNK])
            except (OSError, ValueError):
                return False
            assert all(receipt["accepted"] for receipt in receipts), receipts
            self.kept |= {receipt["event"] for receipt in receipts}
            self.pending = [one for one in self.pending if one["event"] not in self.kept]
        return True

    def pour(self, over: threading.Event) -> None:
        """Score and send until told to stop, whether or not anybody answers."""
        while not over.wait(self.chance.uniform(0, 0.02)):
            for _ in range(self.chance.choice((1, 1, 2, 5))):
                self.press()
            self.flush()


def post(app: App, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The receipts; raises `OSError` where there is no answer, `ValueError` for half of one."""
    request = urllib.request.Request(
        f"{app.url}/api/events",
        data=json.dumps({"events": events}).encode(),
        headers={"Content-Type": "application/json", "X-Labeler": "1", "Origin": app.url},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["receipts"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.code}: {error.read()[:500]!r}") from error
    except Exception as error:  # cut off in the middle of an answer, in whatever way
        raise OSError(str(error)) from error


def check_scorers(project: Project, scorers: list[Scorer]) -> None:
    """What was acknowledged is there once, on its image; of each image the newest score counts."""
    with project.store.reading() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT event_id, image_id, value FROM hand_scores ORDER BY id"
        )
        stored = [(event, (image, value)) for event, image, value in rows]
    found = dict(stored)
    assert len(found) == len(stored), "an event is there twice"
    ids, values = db.scores.hand_scores.effective(project.store)
    effective = dict(zip(ids.tolist(), values.tolist(), strict=True))
    for scorer in scorers:
        lost = scorer.kept - found.keys()
        assert not lost, f"{len(lost)} acknowledged scores are gone"
        newest: dict[int, float] = {}
        for event in scorer.sent:
            if event["event"] in found:
                said = (event["image"], event["score"])
                assert found[event["event"]] == said, "a score is on another image"
                newest[event["image"]] = event["score"]
        assert {image: effective[image] for image in newest} == newest


def acknowledged(scorers: list[Scorer]) -> int:
    return sum(len(scorer.kept) for scorer in scorers)


def pour_and_kill(
    app: App, project: Project, scorers: list[Scorer], chance: random.Random, longest: float
) -> None:
    """One life of the app: it opens, scores pour in, and it is killed within `longest` seconds.

    They count from the first score that it took in; of every fourth life from when it listened.
    """
    over, before = threading.Event(), acknowledged(scorers)
    threads = [threading.Thread(target=scorer.pour, args=(over,)) for scorer in scorers]
    app.start(ours=True, wait=False)
    for thread in threads:
        thread.start()
    try:
        if chance.random() < 0.75:
            until(lambda: acknowledged(scorers) > before, f"no score was taken: {app.logs}")
        over.wait(chance.uniform(0, longest))
        app.kill()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    check_scorers(project, scorers)
