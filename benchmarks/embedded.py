"""Projects, versions and files full of embeddings, for the benchmarks of scoring and keeping.

And jobs: each is a function of this folder's scripts, run in a process of its own, which tells what
it found and its peak memory.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet
from training import collection

import db.images.embeddings
import db.versions.registry
from db.records import EncoderRecord, NewVersion, Predictions, Version
from labeler.core.project import Project
from model.estimators.kernel_ordinal import fit
from model.estimators.kernels import normalize
from model.heads.head import Head
from model.heads.head_files import save_head

FILE_ROWS = 250_000
Job = Callable[..., dict[str, Any]]


def make_project(
    folder: Path, images: int, width: int, *, normalised: bool = False
) -> tuple[Project, EncoderRecord]:
    """A project with as many embedded images."""
    project = Project.create(folder, encoder="lite")
    record = db.images.embeddings.register_encoder(project.store, "lite", width, normalised, {})
    draw = np.random.default_rng(0)
    with closing(sqlite3.connect(project.store.path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("INSERT INTO sources (name, created_at) VALUES ('made', '2025-03-01')")
        connection.executemany(
            "INSERT INTO images (id, size_bytes, state, source_id, shuffle, created_at)"
            " VALUES (?, 9, 'fine', 1, ?, '2025-03-01')",
            ((k, k) for k in range(1, images + 1)),
        )
        for start in range(0, images, 5000):
            vectors = _vectors(draw, min(5000, images - start), width)
            connection.executemany(
                "INSERT INTO embeddings (encoder_id, image_id, vector) VALUES (?, ?, ?)",
                [(record.id, start + k + 1, row.tobytes()) for k, row in enumerate(vectors)],
            )
        connection.commit()
    return project, record


def _vectors(draw: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Raw embeddings (count, width) like those of `training.collection`."""
    return collection(count, width, int(draw.integers(1 << 30)))[0]


def add_version(project: Project, head: Head, name: str, opinion_on: int = 0) -> Version:
    """A version with that head; its second opinion knows `opinion_on` images, 0 for none."""
    save_head(project.models / name, head, name="benchmark", rev=name)
    if opinion_on:
        fit(*collection(opinion_on, head.features, 0)).save(project.models / f"{name}.opinion.npz")
    none = np.zeros(0, dtype=np.int64)
    new = NewVersion(
        name=name,
        parent=None,
        encoder="lite",
        recipe="plain",
        threshold=0.5,
        file=f"{name}.safetensors",
        scored_ids=none,
        scored_values=none.astype(np.float64),
        out_of_fold=Predictions(none, np.zeros(0, dtype=np.float32), folds=none),
    )
    return db.versions.registry.add(project.store, new)


def make_files(folder: Path, rows: int, width: int) -> None:
    """A folder of clip-retrieval: float16 of length 1."""
    draw = np.random.default_rng(1)
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - start)
        vectors = np.empty((count, width), dtype=np.float16)
        for place in range(0, count, 10_000):
            part = _vectors(draw, min(10_000, count - place), width)
            vectors[place : place + len(part)] = normalize(part)
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors)
        names = [f"shard-{number:05}/{k:09}.jpg" for k in range(count)]
        parquet.write_table(
            pyarrow.table({"image_path": names}),
            folder / "metadata" / f"metadata_{number}.parquet",
        )


def in_process(script: str, *job: Any) -> dict[str, Any]:
    """What a job of `script` found, and `peak_mb`."""
    command = [sys.executable, script, "--job", json.dumps(list(job))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def work(jobs: Mapping[str, Job], job: str) -> None:
    """In that process: `job` as it came on the command line."""
    name, *words = json.loads(job)
    found = jobs[name](*words)
    print(json.dumps(found | {"peak_mb": peak_megabytes()}))


def peak_megabytes() -> float:
    """The most that this process ever held; what getrusage tells begins with its parent's."""
    told = Path("/proc/self/status").read_text(encoding="ascii").partition("VmHWM:")[2]
    return int(told.split()[0]) * 1024 / 1e6
