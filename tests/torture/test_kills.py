"""`kill -9` at random moments, more than two hundred times, and nothing is lost.

Import, embed, train, predict, export and migration are killed as whole process groups, while they
work and while they start; background runs as their worker alone; the app while scores pour in over
HTTP, and while somebody presses keys in a real browser. What must hold is in
tests/faults/test_kills.py.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import db.images.locations
import tests.support.kill_works as works
from labeler.core.jobs import runner
from labeler.core.project import STORE_FILE, Project
from tests.support.collection import make_collection
from tests.support.kill_app import Scorer, acknowledged, check_scorers, pour_and_kill
from tests.support.kill_campaign import Campaign
from tests.support.kill_checks import acknowledged as given_in
from tests.support.kill_checks import check_store
from tests.support.kill_ground import Ground
from tests.support.kill_stores import migrating, old_stores
from tests.support.kill_works import Work, assert_same
from tests.support.killing import Commands
from tests.support.live import App, until
from tests.support.score_page import WATCH, kept, opened, press, seen, unsaved, wait_ready

Figures = Callable[[str, str], None]
# In turn; a chain is one command killed so often before it may finish.
CHAINS = (["time"], ["change", "aim"], ["time", "time", "change"], ["aim"], ["real"])


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("killed")
    with Commands(folder) as commands:
        yield Ground(folder, commands)


WORKS: dict[str, tuple[Callable[[Ground], Work], int]] = {
    "import": (lambda ground: works.importing(ground, 1200), 25),
    "embed": (lambda ground: works.embedding(ground, 48), 16),
    "train": (lambda ground: works.training(ground, 80), 25),
    "predict": (lambda ground: works.predicting(ground, 40), 22),
    "dataset": (lambda ground: works.exporting(ground, "dataset", "--with-images"), 12),
    "imagefolder": (lambda ground: works.exporting(ground, "imagefolder"), 12),
    "score-folders": (lambda ground: works.exporting(ground, "score-folders"), 8),
    "label-studio": (lambda ground: works.exporting(ground, "label-studio"), 6),
    "model": (lambda ground: works.exporting(ground, "model"), 8),
    "python": (lambda ground: works.exporting(ground, "python"), 6),
    "migration": (lambda ground: migrating(ground.folder, old_stores()[0], 4000), 12),
    "migration, no log": (
        lambda ground: migrating(ground.folder, old_stores()[-1], 2500, log=False),
        10,
    ),
}


@pytest.mark.parametrize("name", WORKS)
def test_a_command_killed_at_any_moment(
    name: str, ground: Ground, tmp_path: Path, seed: int, figures: Figures
) -> None:
    make, wanted = WORKS[name]
    campaign = Campaign(make(ground), ground.commands, tmp_path, random.Random(seed))
    for number in range(4 * wanted):
        campaign.trial(CHAINS[number % len(CHAINS)])
        if campaign.total >= wanted:
            break
    figures(f"{name} killed and finished", str(campaign))
    assert campaign.total >= wanted


@pytest.mark.parametrize("kind", ["import", "train"])
def test_a_background_run_whose_worker_alone_is_killed(
    kind: str, ground: Ground, tmp_path: Path, seed: int, figures: Figures
) -> None:
    work = works.importing(ground, 400) if kind == "import" else works.training(ground, 40)
    params: dict[str, Any] = {"note": "again"}
    if kind == "import":
        params = {"paths": [work.words[1]], "expect": [0, 3], "embed": False}
    chance, kills = random.Random(seed), 0
    seconds = 0.0
    whole: works.Results = {}
    for number in range(7):
        trial = tmp_path / str(number)
        shutil.copytree(work.start, trial)
        given = given_in(trial / "project" / STORE_FILE)
        project = Project.open(trial / "project")
        began = time.monotonic()
        run = runner.start_run(project, kind, params)
        if number:
            threading.Event().wait(chance.uniform(0, seconds))
            assert run.pid is not None
            with suppress(ProcessLookupError):
                os.kill(run.pid, signal.SIGKILL)
            ended = runner.follow(project, run.id)
            kills += ended.state == "failed"
            check_store(trial / "project" / STORE_FILE, given)
            work.check(trial, whole)
            if ended.state == "failed":
                run = runner.start_run(project, kind, params)
        ended = runner.follow(project, run.id)
        assert ended.state == "done", ended.message
        found = work.results(trial)
        if number:
            assert_same(whole, found, kind)
        whole, seconds = found, seconds or time.monotonic() - began
        check_store(trial / "project" / STORE_FILE, given)
        project.close()
    figures(f"workers of {kind} killed alone", f"{kills} in runs of {seconds:.2f} s")
    assert kills >= 3


def test_the_app_is_killed_while_scores_pour_in(
    tmp_path: Path, seed: int, figures: Figures
) -> None:
    project = make_collection(tmp_path, images=80, scored=4)
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    app = App(project.folder, tmp_path / "log.txt")
    chance = random.Random(seed)
    scorers = [Scorer(app, ids[k::4], random.Random(seed + k)) for k in range(4)]
    lives = 40
    for _ in range(lives):
        pour_and_kill(app, project, scorers, chance, 1.5)
    app.start(ours=True, wait=False)
    try:
        for scorer in scorers:
            until(scorer.flush, f"the app takes no scores: {app.logs}")
    finally:
        app.kill()
    check_scorers(project, scorers)
    count = acknowledged(scorers)
    assert count == sum(len(scorer.sent) for scorer in scorers)
    figures("app killed while scores pour in", f"{lives} kills, {count} scores, none lost or twice")
    project.close()


@pytest.mark.browser
def test_the_app_is_killed_while_keys_are_pressed_in_a_browser(
    page: Page, tmp_path: Path, seed: int, figures: Figures
) -> None:
    project = make_collection(tmp_path, images=150, scored=4)
    app = App(project.folder, tmp_path / "log.txt")
    chance, lives, pressed = random.Random(seed), 12, 0
    page.add_init_script(WATCH)
    try:
        app.start()
        opened(page, app)
        for life in range(lives):
            wait_ready(page, 8)
            keys = "".join(chance.choices("0123456789t", k=6))
            fuse = threading.Timer(chance.uniform(0, 0.4), app.kill)
            fuse.start()
            press(page, keys)
            scores = seen(page, keys)
            fuse.join()
            app.start()
            if life % 3 == 2:  # it is opened anew, with what the browser kept
                page.reload()
            assert kept(project, scores)
            unsaved(page, 0)
            pressed += len(keys)
    finally:
        app.kill()
    check_store(project.folder / STORE_FILE, [])
    figures("app killed while keys are pressed", f"{lives} kills, {pressed} keys, none lost")
    project.close()
