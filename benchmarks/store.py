"""How long the pages wait for the store, with a million images and predictions of five versions.

Run: python benchmarks/store.py [--images N] [--scored S] [--versions V] [--width W] [--repeats K]
    [--project DIR] [--only score review explore similar other]

Makes its own project (4.8 GB and two minutes for a million images; DIR keeps it for the next run)
and asks for what the pages show, in the server's own code. Where there is a plain way to the same
answer, it is taken in the same run: SQL that goes through the rows, or cosines with all embeddings.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from large_project import make_large  # noqa: E402
from measuring import machine, table, timed  # noqa: E402

import db.images.counts  # noqa: E402
import db.images.embeddings  # noqa: E402
import db.scores.hand_scores  # noqa: E402
import db.versions.registry  # noqa: E402
from labeler.core.project import Project  # noqa: E402
from labeler.core.status import read_status  # noqa: E402
from labeler.embedding.nearest import cosine  # noqa: E402
from labeler.review.pages import review_page  # noqa: E402
from labeler.review.what_if import what_if  # noqa: E402
from labeler.scoring.events import record_events  # noqa: E402
from labeler.scoring.queue import ORDERS, next_images  # noqa: E402
from labeler.scoring.stats import score_stats  # noqa: E402
from labeler.versions import browse  # noqa: E402
from labeler.versions.browse import Band  # noqa: E402
from labeler.versions.evaluation import compare  # noqa: E402

CARDS = 40
ON_SCREEN = 80
QUEUES = ("mistake", "false-positive", "false-negative", "hand-score")
PER_PAGE = 60


ONE_SOURCE = """
    SELECT image_id, score FROM predictions
    WHERE version_id = (SELECT id FROM versions WHERE active) AND image_id IN
    (SELECT id FROM images WHERE source_id = 2) ORDER BY score DESC, image_id DESC LIMIT 60
"""


@dataclass(frozen=True)
class Row:
    what: str
    seconds: list[float]
    target_ms: float | None = None
    first: float | None = None  # seconds of the first time, where that is another
    plain: float | None = None  # seconds of the plain way

    def cells(self) -> list[str]:
        middle, longest = statistics.median(self.seconds), max(self.seconds)
        target = "" if self.target_ms is None else f"{self.target_ms:g}"
        ratio = "" if self.target_ms is None else f"{1000 * middle / self.target_ms:.2f}"
        first = "" if self.first is None else f"{1000 * self.first:,.0f}"
        times = [f"{1000 * each:,.1f}" for each in (middle, longest)]
        plain = ["", ""]
        if self.plain is not None:
            plain = [f"{1000 * self.plain:,.0f}", f"{middle / self.plain:.3f}"]
        return [self.what, first, *times, target, ratio, *plain]


HEAD = (
    "what",
    "first, ms",
    "median, ms",
    "longest, ms",
    "target, ms",
    "of target",
    "plain way, ms",
    "of it",
)


def asked(
    what: str,
    ask: Callable[[], Any],
    repeats: int,
    target_ms: float | None = None,
    plain: Callable[[], Any] | None = None,
) -> Row:
    """The first answer of the process, and the next ones."""
    first, _ = timed(ask)
    plainly = None if plain is None else timed(plain)[0]
    return Row(what, [timed(ask)[0] for _ in range(repeats)], target_ms, first, plainly)


def sql(project: Project, statement: str) -> Callable[[], Any]:
    def run() -> Any:
        with project.store.reading() as session:
            return session.connection().exec_driver_sql(statement).all()

    return run


def scored(project: Project, image_id: int, queue: str = "score", **more: Any) -> None:
    event = {"event": uuid.uuid4().hex, "kind": "score", "image": image_id, "score": 3}
    (receipt,) = record_events(project, [event | {"queue": queue} | more])
    assert receipt.accepted, receipt


def score_page(project: Project, repeats: int) -> Iterator[Row]:
    orders = [name for name, _ in ORDERS] + ["source-2"]
    for order in orders:
        ask = partial(next_images, project, order, limit=1, exclude=())
        yield asked(f"next image, order {order}", ask, repeats, 20)
    for order in orders:
        taken = next_images(project, order, limit=40, exclude=()).images
        exclude = {image.id for image in taken[:20]}
        ask = partial(next_images, project, order, limit=40, exclude=exclude)
        yield asked(f"queue of 40 behind 20, order {order}", ask, repeats)
    yield asked("counts beside the picture", partial(score_stats, project), repeats)
    ids = iter([image.id for image in next_images(project, "random", limit=200, exclude=()).images])
    yield asked("keeping a hand score", lambda: scored(project, next(ids)), repeats)


def review_pages(project: Project, repeats: int) -> Iterator[Row]:
    for queue in QUEUES:
        shown: list[int] = []

        def following(queue: str = queue, shown: list[int] = shown) -> None:
            page = review_page(project, queue, limit=CARDS, exclude=shown[-ON_SCREEN:])
            shown += sorted(page.image_ids())

        yield asked(f"next review page of {CARDS}, {queue}", following, repeats, 150)
    for queue in QUEUES:
        seconds = []
        for _ in range(repeats):
            page = review_page(project, queue, limit=CARDS)
            card = page.cards[0]
            scored(project, card.image.id, card.queue, version=page.version)
            seconds.append(timed(partial(review_page, project, queue, limit=CARDS))[0])
        yield Row(f"a page right after a score, {queue}", seconds, 150)
    moves = partial(
        what_if, project, sorted(review_page(project, "mistake", limit=CARDS).image_ids())
    )
    yield asked("what the round's scores would move", moves, repeats)


def explore_page(project: Project, repeats: int) -> Iterator[Row]:
    active = db.versions.registry.active(project.store)
    name = active.name if active else None
    bands: dict[str, tuple[Band, int]] = {
        "all, highest first": (Band(name), 1),
        "all, lowest first": (Band(name, descending=False), 1),
        "40–60 %": (Band(name, 0.4, 0.6), 1),
        "40–60 %, page 1,000": (Band(name, 0.4, 0.6), 1000),
        "all, the last page": (Band(name), -1),
        "top 500": (Band(name, top=500), 1),
        "top 500, its last page": (Band(name, top=500), 9),
        "scored": (Band(name, scored=True), 1),
        "unscored": (Band(name, scored=False), 1),
        "unscored, page 1,000": (Band(name, scored=False), 1000),
        "one source": (Band(name, source="photos"), 1),
        "one source, page 1,000": (Band(name, source="photos"), 1000),
        "one source, scored": (Band(name, source="photos", scored=True), 1),
        "one source, unscored, 90–100 %": (Band(name, 0.9, 1, source="photos", scored=False), 1),
        "hand scores": (Band(None, 0, 10), 1),
        "hand scores 5–10 of one source": (Band(None, 5, 10, source="photos"), 1),
        "without a hand score": (Band(None, 0, 10, scored=False), 1),
        "without a hand score, page 1,000": (Band(None, 0, 10, scored=False), 1000),
        "without a hand score, one source": (Band(None, scored=False, source="photos"), 1),
    }
    for what, (band, page) in bands.items():
        last = -(-browse.browse(project, band).total // PER_PAGE) if page < 0 else page
        ask = partial(browse.browse, project, band, page=last, per_page=PER_PAGE)
        plain = sql(project, ONE_SOURCE) if what == "one source" else None
        yield asked(f"band: {what}", ask, repeats, 150, plain)


def alike(project: Project, repeats: int) -> Iterator[Row]:
    most = sum(db.images.counts.by_state(project.store).values())
    ids = (number % most + 1 for number in range(12_345, 10**9, 9973))
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    assert encoder is not None
    own = db.images.embeddings.get(project.store, encoder.id, [1])[1][0]

    def exhaustive() -> None:
        for start in range(1, most + 1, 8192):
            some = range(start, start + 8192)
            cosine(db.images.embeddings.get(project.store, encoder.id, some)[1], own)

    yield asked(
        "top 50 of the similar images",
        lambda: browse.similar(project, next(ids), limit=50),
        repeats,
        300,
        exhaustive,
    )
    yield asked("an image's story", lambda: browse.image_details(project, next(ids)), repeats)


def other_pages(project: Project, repeats: int) -> Iterator[Row]:
    store, versions = project.store, db.versions.registry.history(project.store)
    yield asked(
        "histogram of the hand scores",
        partial(db.images.counts.by_hand_score, store),
        repeats,
        300,
    )
    yield asked("images by state (every page)", partial(db.images.counts.by_state, store), repeats)
    yield asked("status", partial(read_status, project), repeats, 1000)
    if len(versions) > 1:
        ask = partial(compare.moved_most, project, versions[-1], versions[-2], limit=24)
        yield asked("moved most", ask, repeats)
    waiting = partial(
        db.scores.hand_scores.since_version, store, versions[-1].id if versions else None
    )
    yield asked("scores since the version", waiting, repeats)


def resident() -> str:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = found.get("RssAnon", peak)
    return (
        f"memory of the process: {own / 1024:,.0f} MiB of its own, at most {peak / 1024:,.0f} MiB"
    )


PARTS = {
    "score": score_page,
    "review": review_pages,
    "explore": explore_page,
    "similar": alike,
    "other": other_pages,
}


def measure(project: Project, repeats: int, parts: list[str]) -> None:
    rows = []
    for name in parts:
        rows += [row.cells() for row in PARTS[name](project, repeats)]
        print(f"after {name}: {resident()}", file=sys.stderr, flush=True)
    print(table(HEAD, rows))
    print(f"\n{resident()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--scored", type=int, default=20_000)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--project", type=Path, help="A project made by an earlier run, or to keep."
    )
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.project or Path(scratch) / "project"
        if not folder.exists():
            seconds, project = timed(
                lambda: make_large(
                    folder,
                    options.images,
                    options.scored,
                    options.width,
                    versions=options.versions,
                    thumbnails=0,
                )
            )
            project.close()
            print(f"made in {seconds:.0f} s", file=sys.stderr)
        print(machine())
        measure(Project.open(folder), options.repeats, options.only)


if __name__ == "__main__":
    main()
