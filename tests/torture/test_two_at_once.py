"""Trainings, imports and embeddings started at the same instant, from terminals and from the app:
one training runs and the others follow it; imports and embeddings take everything once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

import db.images.embeddings
import db.images.locations
import db.versions.registry
from db.store.schema import RunRow
from labeler.core.jobs.runner import follow, start_run
from labeler.core.project import Project
from tests.support.collection import draw_pictures, make_collection
from tests.support.many_at_once import all_at_once

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
TERMINALS, BUTTONS = 3, 2
PATIENCE = 300
FOLLOWS = "A training runs already; following that one."
Figures = Callable[[str, str], None]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def commands(project: Project, *commands: Sequence[str]) -> list[Ended]:
    """Each in a process of its own, all started before any is waited for."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "labeler.cli", "--project", str(project.folder), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for command in commands
    ]
    outcomes = [process.communicate(timeout=PATIENCE) for process in processes]
    return [Ended(p.returncode, *told) for p, told in zip(processes, outcomes, strict=True)]


def trainings(project: Project) -> list[tuple[int, str, str, str]]:
    """Id, state, start and end of every training, in order."""
    query = select(RunRow.id, RunRow.state, RunRow.started_at, RunRow.finished_at)
    with project.store.reading() as session:
        return [tuple(row) for row in session.execute(query.where(RunRow.kind == "train"))]


def a_round(project: Project) -> tuple[list[Ended], set[str | None]]:
    """Some type the command, others press Retrain; what the ones read, and the others' versions."""
    ended: list[Ended] = []
    versions: list[str | None] = []

    def press() -> None:
        run = start_run(project, "train", {"recipe": "quick", "note": "the button"})
        versions.append(follow(project, run.id).version)

    def type_in() -> None:
        ended.extend(commands(project, *[["train", "--note", "typed"]] * TERMINALS))

    all_at_once([type_in, *[press] * BUTTONS])
    return ended, set(versions)


def test_trainings_started_at_once_are_one(tmp_path: Path, figures: Figures) -> None:
    project = make_collection(tmp_path)
    followed = 0
    for _ in range(ROUNDS):
        before = {version.name for version in db.versions.registry.history(project.store)}
        ended, shown = a_round(project)
        made = {version.name for version in db.versions.registry.history(project.store)} - before
        assert [each.code for each in ended] == [0] * TERMINALS, ended
        told = {re.findall(r"Trained (v[\d.]+) on", each.out)[0] for each in ended}
        assert told | shown == made, "not everybody was told of a version that was made now"
        followed += sum(FOLLOWS in each.err for each in ended)
    runs = trainings(project)
    assert {state for _, state, _, _ in runs} == {"done"}
    assert len(runs) == len(db.versions.registry.history(project.store))
    for (_, _, _, ended_at), (_, _, started_at, _) in pairwise(runs):
        assert ended_at <= started_at, "two trainings ran at the same time"
    assert followed
    asked = ROUNDS * (TERMINALS + BUTTONS)
    figures("trainings asked for at once", f"{asked} in {ROUNDS} rounds: {len(runs)} ran")
    figures("of them two at the same time", "0")
    project.close()


def test_imports_and_embeddings_at_once_take_everything_once(
    tmp_path: Path, figures: Figures
) -> None:
    project = Project.create(tmp_path / "project", encoder="lite")
    folder = tmp_path / "pictures"
    draw_pictures(folder, 60)
    importing = commands(project, *[["import", str(folder)]] * 3)
    assert [(each.code, each.err) for each in importing] == [(0, "")] * 3
    assert len(db.images.locations.ids_by_path(project.store)) == 60
    embedding = commands(project, *[["embed"]] * 3)
    assert [each.code for each in embedding] == [0] * 3
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    assert encoder is not None
    ids = sorted(set(db.images.locations.ids_by_path(project.store).values()))
    found, vectors = db.images.embeddings.get(project.store, encoder.id, ids)
    assert found.tolist() == ids
    assert vectors.shape == (len(ids), encoder.width)
    figures("imports, embeddings of one folder at once", "3, 3: every image once")
    project.close()
