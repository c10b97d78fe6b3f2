"""How quickly predictions are kept in a large project, and how long somebody who scores waits.

python benchmarks/keeping.py
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from embedded import Job, add_version, in_process, make_project, work
from measuring import machine, table, timed

import db.images.counts
import db.versions.predictions
import db.versions.registry
from db.records import Predictions
from labeler.core.project import Project
from model.heads.head import Head

WAIT_SECONDS = 0.03  # between two scores of the person who scores meanwhile


def kept(folder: Path, rows: int) -> dict[str, Any]:
    """Seconds to keep `rows` predictions, and how long somebody who scores meanwhile waits."""
    project = Project.open(folder)
    version = db.versions.registry.history(project.store)[-1]
    draw = np.random.default_rng(2)
    exceed = np.sort(draw.random((rows, 10), dtype=np.float32), axis=1)[:, ::-1]
    # Those of a new version one after the other, replaced ones all over the images.
    apart = (
        1
        if version.name == "new"
        else sum(db.images.counts.by_state(project.store).values()) // rows
    )
    ids = np.arange(rows) * apart + 1
    new = Predictions(ids, draw.random(rows, dtype=np.float32), exceed)
    command = [sys.executable, __file__, "--job", json.dumps(["scoring", str(project.store.path)])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as person:  # type: ignore[call-overload]
        person.stdout.readline()
        seconds, _ = timed(
            lambda: db.versions.predictions.put_predictions(project.store, version.id, new)
        )
        told, _ = person.communicate("end")
    return {"seconds": seconds} | json.loads(told)


def scoring(path: str) -> dict[str, Any]:
    """Somebody who writes a row every 30 ms until something comes in; how long each write took."""
    waits = []
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        print("ready", flush=True)
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        while not ended.wait(WAIT_SECONDS):
            start = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO settings VALUES ('waited', '1')")
            connection.execute("COMMIT")
            waits.append(time.perf_counter() - start)
    return {"writes": len(waits), "worst": max(waits, default=0.0)}


JOBS: dict[str, Job] = {"kept": lambda folder, rows: kept(Path(folder), rows), "scoring": scoring}


def keep_rows(folder: Path, asked: argparse.Namespace) -> None:
    """A table of keeping predictions, in a project that has some of five versions."""
    project, _ = make_project(folder / "kept", asked.images, 1)
    head, draw = Head(1, 16), np.random.default_rng(3)
    ids = np.arange(1, asked.images + 1)
    for number in range(5):
        version = add_version(project, head, f"v1.{number}")
        exceed = np.full((len(ids), 10), 0.5, dtype=np.float32)
        made = Predictions(ids, draw.random(len(ids), dtype=np.float32), exceed)
        db.versions.predictions.put_predictions(project.store, version.id, made)
    again = in_process(__file__, "kept", str(project.folder), asked.kept)
    seconds, waiting = timed(
        lambda: db.versions.predictions.without_prediction(project.store, version.id, 1)
    )
    assert not len(waiting)
    version = add_version(project, head, "new")
    first = in_process(__file__, "kept", str(project.folder), asked.kept)
    left, waiting = timed(
        lambda: db.versions.predictions.without_prediction(project.store, version.id, 1)
    )
    project.close()
    print(f"\n{asked.images:,} images with predictions of 5 versions\n")
    told = [
        [what, f"{found['seconds']:.2f} s", "≤ 2 s", f"{1000 * found['worst']:.0f} ms", "≤ 100 ms"]
        for what, found in (("new", first), ("replaced, all over the version", again))
    ]
    print(
        table((f"{asked.kept:,} predictions", "kept in", "target", "longest wait", "target"), told)
    )
    print(
        f"\nImages without a prediction: none found in {1000 * seconds:.0f} ms, "
        f"{len(waiting):,} in {1000 * left:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--kept", type=int, default=100_000)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.kept > asked.images:
        parser.error("--kept can't be more than --images")
    if asked.job:
        work(JOBS, asked.job)
        return
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="keeping-"))
    try:
        keep_rows(folder, asked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
