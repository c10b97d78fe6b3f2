"""Killed at any moment (SIGKILL), nothing is lost and the same command finishes the work.

A few kills of each kind of work with fixed seeds, most just before a file is changed, which doesn't
depend on the machine's speed; `make torture` does it by the hundred. After every kill the store is
sound and has every acknowledged score once on its image, nothing half-written has a final name, and
the command run again makes what an undisturbed one makes and leaves no scratch behind.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import db.images.locations
import tests.support.kill_works as works
from tests.support.collection import make_collection
from tests.support.kill_app import Scorer, check_scorers, pour_and_kill
from tests.support.kill_campaign import Campaign
from tests.support.kill_ground import Ground
from tests.support.kill_stores import migrating, old_stores
from tests.support.kill_works import Work
from tests.support.killing import Commands
from tests.support.live import App, until


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("killed")
    with Commands(folder, tiny=True) as commands:
        yield Ground(folder, commands)


WORKS: list[Callable[[Ground], Work]] = [
    lambda ground: works.importing(ground, 20),
    lambda ground: works.embedding(ground, 20),
    lambda ground: works.training(ground, 30),
    lambda ground: works.predicting(ground, 10),
    lambda ground: works.exporting(ground, "dataset", "--with-images"),
    lambda ground: works.exporting(ground, "imagefolder"),
    lambda ground: works.exporting(ground, "model"),
    lambda ground: migrating(ground.folder, old_stores()[0], 200),
]
NAMES = ["import", "embed", "train", "predict", "dataset", "imagefolder", "model", "migration"]


@pytest.mark.parametrize("work", WORKS, ids=NAMES)
def test_a_killed_command_loses_nothing_and_finishes_when_run_again(
    work: Callable[[Ground], Work], ground: Ground, tmp_path: Path
) -> None:
    campaign = Campaign(work(ground), ground.commands, tmp_path, random.Random(6))
    campaign.trial(["change", "aim", "time"])
    assert campaign.total or not campaign.changes, "before a change of a file it is never too late"


def test_scores_pour_in_while_the_app_is_killed_and_none_is_lost(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=20, scored=4)
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    app = App(project.folder, tmp_path / "log.txt")
    scorers = [Scorer(app, ids[k::2], random.Random(k)) for k in range(2)]
    pour_and_kill(app, project, scorers, random.Random(6), 0.3)
    app.start(ours=True, wait=False)
    try:
        for scorer in scorers:
            until(scorer.flush, f"the app takes no scores: {app.logs}")
    finally:
        app.kill()
    check_scorers(project, scorers)
    assert all(len(scorer.kept) == len(scorer.sent) > 0 for scorer in scorers)
    project.close()
