"""How quickly a head scores embeddings: in memory, out of the store, out of files.

OPENBLAS_NUM_THREADS=1 python benchmarks/scoring.py   (as the product sets it for itself)

The bare head is the published network in torch and nothing else, on the same embeddings in memory:
the best of float32 and bfloat16, if that agrees within 0.005, of several batch sizes, and of both
cores in each layer or a batch for each core. Everything is measured in turn, the least of several
runs counts. Each job runs in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from embedded import Job, add_version, in_process, make_files, make_project, work
from measuring import best, machine, table, timed
from training import collection

import db.images.embeddings
import db.images.locations
import db.versions.predictions
import db.versions.registry
from labeler.core.files.tables import growing_table
from labeler.core.project import Project
from labeler.prediction.predict_embeddings import predict_embeddings
from labeler.prediction.selection import COLUMNS, rows_of, select_blocks
from labeler.versions import inference
from labeler.versions.activate import predict_stored
from model.heads.head import Head
from model.heads.inference import AGREEMENT, BatchPredictor
from model.training.original import plain_recipe
from model.training.quick import Quick
from model.training.recipe import TrainingData

BATCHES = (1024, 4096, 8192)


def heads(width: int, scored: int) -> dict[str, Head]:
    """A head full of weights of its own, as the recipes plain and original make it, and a quick."""
    embeddings, scores = collection(scored, width, 0)
    data = TrainingData(embeddings, scores, np.arange(scored))
    return {
        "plain": plain_recipe().train(data).head,
        "quick": Quick().train(data).head,
    }


class Bare:
    """The published network on embeddings in memory."""

    def __init__(self, head: Head, vectors: np.ndarray) -> None:
        self.vectors = torch.from_numpy(vectors)
        self.head = head
        exact = self._said(head, self.vectors[:2000])
        low = copy.deepcopy(head).bfloat16()
        difference = (self._said(low, self.vectors[:2000].bfloat16()) - exact).abs().max()
        self.kind = "bfloat16" if difference <= AGREEMENT else "float32"
        if self.kind == "bfloat16":
            self.head, self.vectors = low, self.vectors.bfloat16()

    def _said(self, head: Head, rows: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return head(rows).float()

    def rate(self, rows: int) -> float:
        """Embeddings a second, the best of all ways."""
        ways = [lambda b=batch: self._whole(rows, b) for batch in BATCHES]
        ways += [lambda b=batch: self._halves(rows, b) for batch in BATCHES]
        return rows / min(best(way, 2) for way in ways)

    def _whole(self, stop: int, batch: int, start: int = 0) -> None:
        with torch.inference_mode():
            for place in range(start, stop, batch):
                self.head(self.vectors[place : min(place + batch, stop)])

    def _halves(self, rows: int, batch: int) -> None:
        count = torch.get_num_threads()

        def one(part: int) -> None:
            torch.get_num_threads()
            torch.set_num_threads(1)
            self._whole(rows * (part + 1) // count, batch, rows * part // count)

        threads = [threading.Thread(target=one, args=(part,)) for part in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        torch.set_num_threads(count)


def from_store(folder: Path, name: str, parts: str) -> dict[str, Any]:
    """Rates of `name` over all that is stored: the head, with the opinion, and with rows kept."""
    project = Project.open(folder)
    version = next(one for one in db.versions.registry.history(project.store) if one.name == name)
    record = db.images.embeddings.encoder(project.store, version.encoder)
    assert record is not None
    loaded = inference.load_version(project, version)
    if parts == "kept":
        seconds, count = timed(lambda: predict_stored(project, version))
        return {"rate": count / seconds}
    if parts == "head":
        loaded = replace(loaded, opinion=None)
    waiting = db.versions.predictions.without_prediction(project.store, version.id, record.id)

    def score() -> int:
        return sum(map(len, inference.predict_in_batches(project, loaded, record, waiting)))

    return {"rate": len(waiting) / best(score)}


def reading(folder: Path) -> dict[str, Any]:
    """Rates of reading all that is stored and doing nothing with it."""
    project = Project.open(folder)
    record = db.images.embeddings.encoder(project.store, "lite")
    assert record is not None
    ids = sorted(db.images.locations.ids_by_path(project.store).values())

    def walk() -> int:
        return sum(
            len(db.images.embeddings.get(project.store, record.id, ids[start : start + 2048])[0])
            for start in range(0, len(ids), 2048)
        )

    return {"rate": walk() / best(walk)}


def from_files(folder: Path, laion: Path, name: str, out: str) -> dict[str, Any]:
    """Rate of `name` over embedding files, their rows written to a file or only counted."""
    project = Project.open(folder)
    db.versions.registry.activate(project.store, name)

    def score() -> int:
        result = predict_embeddings(project, [laion], "lite")
        if out == "-":
            return sum(len(block) for block in result.blocks)
        with growing_table(Path(out), COLUMNS, Path(out).suffix[1:]) as write:
            for block in select_blocks(result.blocks):
                write(rows_of(block, result.version))
        return result.predicted

    return {"rate": score() / best(score, 1)}


JOBS: dict[str, Job] = {
    "store": lambda folder, name, parts: from_store(Path(folder), name, parts),
    "reading": lambda folder: reading(Path(folder)),
    "files": lambda folder, laion, name, out: from_files(Path(folder), Path(laion), name, out),
}


def _row(what: str, rate: float, bare: float | None, target: str, peak: float | None) -> list[str]:
    ratio = "" if bare is None else f"{100 * rate / bare:.0f} %"
    memory = "" if peak is None else f"{peak:,.0f} MB"
    return [what, f"{rate:,.0f}", ratio, target, memory]


def score_rows(folder: Path, asked: argparse.Namespace) -> None:
    """Tables of the head in memory, out of the store and out of files."""
    made = heads(asked.width, asked.scored)
    project, _ = make_project(folder / "raw", asked.images, asked.width)
    foreign, _ = make_project(folder / "unit", 0, asked.width, normalised=True)
    make_files(folder / "laion", asked.rows, asked.width)
    sample = collection(asked.memory, asked.width, 9)[0]
    head_line = ("what", "embeddings/s", "of the bare head", "target", "peak memory")
    for name, head in made.items():
        # Unit vectors are what the other project's head reads: the same work, other numbers.
        for one in (project, foreign):
            add_version(one, head, name, asked.scored if one is project else 0)
        bare = Bare(head, sample)
        rate = bare.rate(asked.memory)
        tuned = BatchPredictor(head).tuned(sample[:512])
        memory = asked.memory / best(lambda: BatchPredictor(head).predict_all(sample), 3)  # noqa: B023
        rate = max(rate, bare.rate(asked.memory))
        out = in_process(__file__, "store", str(project.folder), name, "head")
        opinion = in_process(__file__, "store", str(project.folder), name, "opinion")
        rows = in_process(__file__, "store", str(project.folder), name, "kept")
        files = in_process(__file__, "files", str(foreign.folder), str(folder / "laion"), name, "-")
        listed = [
            (
                kind,
                in_process(
                    __file__, "files", str(foreign.folder), str(folder / "laion"), name, path
                ),
            )
            for kind in ("csv", "parquet", "jsonl")
            for path in [str(folder / f"list.{kind}")]
        ]
        rate = max(rate, bare.rate(asked.memory))
        print(f"\nHead by `{name}`: {str(tuned.format).split('.')[1]}, the bare one {bare.kind}\n")
        lines = [
            _row("bare head, in memory", rate, rate, "", None),
            _row("from memory", memory, rate, "≥ 85 %", None),
            _row(f"{asked.images:,} out of the store", out["rate"], rate, "≥ 70 %", out["peak_mb"]),
            _row("… and second opinion", opinion["rate"], rate, "", opinion["peak_mb"]),
            _row("… and rows kept", rows["rate"], rate, "", rows["peak_mb"]),
            _row(f"{asked.rows:,} out of files", files["rate"], rate, "≥ 70 %", files["peak_mb"]),
        ]
        lines += [
            _row(f"… to .{k}", f["rate"], rate, "< 1,500 MB", f["peak_mb"]) for k, f in listed
        ]
        print(table(head_line, lines))
    alone = in_process(__file__, "reading", str(project.folder))
    print(f"\nReading the store alone, in one thread: {alone['rate']:,.0f} embeddings/s")
    for one in (project, foreign):
        one.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000, help="in the store")
    parser.add_argument("--memory", type=int, default=100_000, help="in memory")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in files")
    parser.add_argument("--scored", type=int, default=3080)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--folder", type=Path, help="where the data are made, else a scratch one")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        work(JOBS, asked.job)
        return
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="scoring-", dir=asked.folder))
    try:
        score_rows(folder, asked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
