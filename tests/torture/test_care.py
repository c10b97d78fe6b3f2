"""A backup and the doctor with a million images: who waits, and how much memory they take."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import db.scores.events
from db.records import Event
from labeler.core.project import Project
from labeler.maintenance.backup import write_backup

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from large_project import make_large  # noqa: E402

IMAGES, WIDTH, VERSIONS = 1_000_000, 256, 2
MOST_MS = 250
MOST_MB = 1000
Figures = Callable[[str, str], None]

DOCTOR = """
import sys

from embedded import peak_megabytes

from labeler.cli.main import labeler

try:
    labeler()
finally:
    print(peak_megabytes(), file=sys.stderr)
"""
WRONG = (
    "UPDATE images SET width = 400, height = 300",  # such pictures need no preview
    "UPDATE images SET hand_score = 3 WHERE id % 1000 = 7",
    "UPDATE image_counts SET images = images + 1",
    "UPDATE embeddings SET vector = x'0000c07f' WHERE id % 100000 = 3",
    "UPDATE predictions SET score = -1 WHERE image_id % 100000 = 9",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("large") / "project"
    make_large(place, IMAGES, 20_000, WIDTH, versions=VERSIONS, thumbnails=0).close()
    return place


def test_nobody_waits_for_a_backup(folder: Path, tmp_path: Path, figures: Figures) -> None:
    project = Project.open(folder)
    over, waits = threading.Event(), []

    def score() -> None:
        image_id = 0
        while not over.is_set():
            image_id += 1
            began = time.perf_counter()
            event = Event(uuid.uuid4().hex, "score", image_id, datetime.now(UTC), value=4)
            assert db.scores.events.record(project.store, [event])[0].accepted
            waits.append(1000 * (time.perf_counter() - began))
            time.sleep(0.03)

    person = threading.Thread(target=score)
    person.start()
    began = time.perf_counter()
    try:
        done = write_backup(project, tmp_path / "taste.sqlite")
    finally:
        over.set()
        person.join()
    took = time.perf_counter() - began
    project.close()
    waits.sort()
    middle, p95 = statistics.median(waits), waits[int(0.95 * len(waits))]
    figures(
        f"backup of {done.size / 1e9:.1f} GB, read again, while {len(waits)} scores came",
        f"{took:.0f} s; a score waited {middle:.0f} ms, p95 {p95:.0f}, longest {waits[-1]:.0f}",
    )
    assert p95 <= MOST_MS


def doctor(folder: Path, *arguments: str) -> tuple[dict[str, object], float, float]:
    """What it said, the seconds it took and the MB that it held at most."""
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", DOCTOR, "--project", str(folder), "doctor", "--json", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "benchmarks")))},
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - began
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout), took, float(ended.stderr.splitlines()[-1])


def test_the_doctor_goes_through_a_million_images(folder: Path, figures: Figures) -> None:
    project = Project.open(folder)
    with project.store.transaction() as session:
        for statement in WRONG:
            session.connection().exec_driver_sql(statement)
    project.close()
    told, took, memory = doctor(folder)
    wrong = {each["name"] for each in told["findings"] if each["repairable"]}  # type: ignore[attr-defined]
    assert {"hand scores", "counts", "embeddings", "predictions"} <= wrong
    figures("doctor, 1,000,000 images", f"{took:.0f} s, {memory:.0f} MB at most")
    assert memory <= MOST_MB
    told, took, memory = doctor(folder, "--repair")
    left = {
        each["name"]
        for each in told["findings"]  # type: ignore[attr-defined]
        if not each["mended"] and not each["note"]
    }
    # Its pictures and heads were never there.
    assert left <= {"previews", "heads"}
    figures("doctor --repair, 1,000,000 images", f"{took:.0f} s, {memory:.0f} MB at most")
    assert memory <= MOST_MB
