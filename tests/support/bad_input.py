"""Hostile files on their way through the program, in processes whose time and memory are watched.

Run as a script it is such a process: `python bad_input.py look|read PROJECT FOLDER OUT`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_MB = 1000
MOST_SECONDS = 10.0  # for one file
SCORED = 30


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended; `peak` is the most memory it had, in MB."""

    code: int
    output: str
    peak: int


# In between, because a process counts the memory of the one that it was forked from as its own.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as peak:
    peak.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code if code >= 0 else 128 - code)  # a signal's number, as a shell tells it
"""


def watched(*arguments: str | Path, limit: float = 500) -> Ended:
    """Run Python in a process of its own and wait for its end; killed after `limit` seconds."""
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)]
    with tempfile.TemporaryFile() as output, tempfile.NamedTemporaryFile() as peak:
        command = ["timeout", "-s", "KILL", f"{limit:g}", sys.executable, *map(str, arguments)]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, peak.name, *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "2"},
            check=False,
        )
        output.seek(0)
        said = output.read().decode(errors="replace")
        return Ended(done.returncode, said, peak_mb(int(peak.read())))


def peak_mb(kilobytes: int) -> int:
    return kilobytes >> (20 if sys.platform == "darwin" else 10)


def command(project: Path, *arguments: str | Path) -> Ended:
    """A command of the program, in a process of its own."""
    return watched("-X", "faulthandler", "-m", "labeler.cli", "--project", project, *arguments)


def child(what: str, project: Path, folder: Path, out: Path) -> Ended:
    return watched("-X", "faulthandler", __file__, what, project, folder, out)


def write_all(folder: Path, files: Iterable[tuple[str, bytes]]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, data in files:
        (folder / name).write_bytes(data)
        count += 1
    return count


def states(project_folder: Path) -> dict[str, tuple[str, str]]:
    """By the name of a file: its state in the store, and the reason of it."""
    import db.images.locations
    import db.images.lookup
    from labeler.core.project import Project

    project = Project.open(project_folder)
    try:
        ids = db.images.locations.ids_by_path(project.store)
        held = {
            one.id: one for one in db.images.lookup.by_ids(project.store, sorted(set(ids.values())))
        }
        return {
            Path(path).name: (held[image_id].state, held[image_id].reason or "")
            for path, image_id in ids.items()
        }
    finally:
        project.close()


def make_project(folder: Path) -> Path:
    """A project with some scored pictures and a version that knows bright from dark."""
    import db.images.lookup
    import db.scores.events
    from db.records import Event
    from labeler.collection.importing import import_paths
    from labeler.core.project import Project
    from labeler.versions.train import train
    from model.training.quick import Quick
    from tests.support.shades import Brightness, draw_shades

    project = Project.create(folder / "project", encoder="lite")
    paths = draw_shades(folder / "shades", SCORED)
    import_paths(project, [folder / "shades"], workers=1)
    ids = db.images.locations.ids_by_path(project.store)
    at = datetime(2025, 3, 1, 12, tzinfo=UTC)
    events = [
        Event(f"e{n}", "score", ids[str(path)], at, value=float(n * 10 // SCORED))
        for n, path in enumerate(paths)
    ]
    db.scores.events.record(project.store, events)
    train(project, encoder=Brightness(), recipe=Quick(12, features=8, hidden=64, folds=2))
    project.close()
    return folder / "project"


def _look(project_folder: Path, folder: Path) -> dict[str, object]:
    """Each file alone through what reads pictures: how long each takes, and what becomes of it."""
    import db.images.lookup
    from labeler.app.routes.images import _full_response
    from labeler.collection.previews import preview_of, thumbnail_of
    from labeler.core.project import Project
    from labeler.embedding.embed import embed, prepare_file
    from labeler.prediction.inference_worker.predict_one import predict_one
    from labeler.prediction.predict_files import predict_paths
    from labeler.versions.activate import version_named
    from model.errors import UnreadableImage
    from tests.support.shades import Brightness

    project = Project.open(project_folder)
    encoder, base = Brightness(), _peak()
    version = version_named(project, None)
    slowest, outcomes = (0.0, ""), Counter[str]()
    ids = db.images.locations.ids_by_path(project.store)
    for path in sorted(folder.iterdir()):
        started = time.perf_counter()
        image = db.images.lookup.get(project.store, ids.get(str(path), 0))
        steps = [
            lambda path=path: prepare_file(encoder, path),
            lambda path=path: predict_one(project, version, encoder, path.read_bytes(), path.name),
        ]
        if image is not None and image.content_hash is not None:
            kept = (project, image.content_hash, path)
            steps += [
                lambda kept=kept: thumbnail_of(*kept),
                lambda kept=kept: preview_of(*kept),
                lambda image=image: _full_response(image),
            ]
        for step in steps:
            try:
                step()
                outcomes["read"] += 1
            except UnreadableImage:
                outcomes["refused"] += 1
        slowest = max(slowest, ((time.perf_counter() - started) / len(steps), path.name))
    embedded = embed(project, encoder=encoder)
    predicted = predict_paths(project, [folder], encoder=encoder)
    project.close()
    return {
        "outcomes": outcomes,
        "slowest": slowest,
        "base": base,
        "peak": _peak(),
        "embedded": embedded.embedded,
        "predicted": len(predicted.images),
        "unpredicted": len(predicted.unreadable),
    }


def readers(path: Path) -> list[list[str | Path]]:
    """The commands that a person might give such a file to."""
    name = path.name.lower()
    if name.endswith((".npy", ".npz")):
        return [["import-embeddings", path, "--encoder", "lite"], ["import", path]]
    if name.endswith((".pth", ".pt", ".safetensors", ".config.json")):
        return [["versions", "add", path]]
    if name.endswith((".tar", ".zip")):
        return [["import", path]]
    taking: list[list[str | Path]] = [["label", "--from", path, "--dry-run"]]
    if name.endswith(".parquet"):
        embeddings: list[list[str | Path]] = [
            ["import-embeddings", path, "--encoder", "lite"],
            ["import", path],
        ]
        return taking + embeddings
    if name.endswith(".csv"):
        return [*taking, ["label", "--from", path, "--kind", "history"], ["tag", path]]
    return taking


def read_all(project: Path, folder: Path) -> dict[str, object]:
    """Every table, array, head and archive by the commands that take such."""
    from click.testing import CliRunner

    from labeler.cli.main import labeler

    base, slowest, outcomes = _peak(), (0.0, ""), Counter[str]()
    broken = []
    for path in sorted(folder.iterdir()):
        for arguments in readers(path):
            started = time.perf_counter()
            told = ["--project", str(project), *map(str, arguments)]
            result = CliRunner().invoke(labeler, told)
            slowest = max(slowest, (time.perf_counter() - started, path.name))
            if result.exception and not isinstance(result.exception, SystemExit):
                broken.append(f"{path.name}: {arguments[0]}: {result.exception!r}")
            elif result.exit_code and not result.output.strip():
                broken.append(f"{path.name}: {arguments[0]} says nothing")
            outcomes["taken" if result.exit_code == 0 else "refused"] += 1
    return {
        "outcomes": outcomes,
        "slowest": slowest,
        "base": base,
        "peak": _peak(),
        "broken": broken,
    }


def _peak() -> int:
    import resource

    return peak_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    what, project, folder, out = sys.argv[1:]
    work = {"look": _look, "read": read_all}[what]
    Path(out).write_text(json.dumps(work(Path(project), Path(folder))))
