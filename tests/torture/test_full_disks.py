"""A disk that is full at any point of any command: a sentence, nothing lost, and with room the same
command comes to the same result. The app says that a score is not taken and keeps it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.ballast import UNSHARE, may_mount
from tests.support.collection import add_version, make_collection
from tests.support.fault_world import COMMANDS, World
from tests.support.live import App, until
from tests.support.read_only import can_be_had, in_read_only
from tests.support.score_page import WATCH, opened, press, seen, unsaved
from tests.support.small_disks import ROOT, Trial, problems, trials

Figures = Callable[[str, str], None]
STEPS = 12  # amounts of room for each command
FINE = {"label": 24, "label-from": 36}  # block by block, log and checkpoint included

mounted = pytest.mark.skipif(not may_mount(), reason="no tmpfs can be mounted here (unshare)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disks")


def count(figures: Figures, name: str, tried: Sequence[Trial]) -> None:
    good = sum(not one.problems for one in tried)
    figures(name, f"{good} of {len(tried)}")
    assert problems(tried) == []


@mounted
def test_every_command_survives_a_full_disk_at_any_point(folder: Path, figures: Figures) -> None:
    tried: list[Trial] = []
    for name in COMMANDS:
        tried += trials(folder, "filling", FINE.get(name, STEPS), name)
    stopped = sum(one.code == 1 for one in tried)
    figures("full disks met by a command", f"{stopped} of {len(tried)}")
    assert len(tried) >= 100
    count(figures, "… told, nothing lost, and finished once there was room", tried)


@mounted
def test_no_acknowledged_score_is_lost_when_the_disk_fills(folder: Path, figures: Figures) -> None:
    tried = trials(folder, "pouring", 16, "label")
    figures("scores acknowledged before the disk was full", f"{sum(one.code for one in tried):,}")
    count(figures, "full disks while scores pour in, the process killed: none lost", tried)


@mounted
def test_a_full_disk_for_scratch_files_stops_nothing(folder: Path, figures: Figures) -> None:
    tried = trials(folder, "untemporary", 1, *COMMANDS)
    count(figures, "commands whose folder for scratch files is full", tried)


@mounted
def test_runs_in_the_background_say_that_the_disk_was_full(folder: Path, figures: Figures) -> None:
    tried = trials(folder, "background", 6, "import")
    count(figures, "imports in the background on a disk that fills", tried)


@pytest.mark.skipif(not can_be_had(), reason="root writes everywhere, and no mount can be made")
def test_in_a_read_only_project_predicting_works(folder: Path, tmp_path: Path) -> None:
    world = World(folder)
    project = world.put(COMMANDS["status"], _made(tmp_path / "disk"))
    shutil.rmtree(project)
    shutil.copytree(world.stage("trained"), project)
    own = ["--project", str(project)]
    commands = [
        [*own, "status"],
        [*own, "review"],
        [*own, "predict", str(world.more), "--out", str(tmp_path / "list.csv")],
        [*own, "predict", str(world.more), "--copy-to", str(tmp_path / "copies")],
        [*own, "export", "model", str(tmp_path / "model")],
        [*own, "export", "python", str(tmp_path / "score.py")],
    ]
    ended = in_read_only(project, commands)
    assert [(one.code, one.told) for one in ended if one.code] == []
    assert len(list((tmp_path / "copies").iterdir())) == 12


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_lock_that_outlasts_all_patience_is_told(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=3, scored=2)
    project.close()
    path = project.folder / "labeler.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "labeler.cli",
                "--project",
                str(project.folder),
                "label",
                "3",
                "7",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{path} is locked by another program; close that one and try again.\n"


class SmallApp(App):
    """The app on a copy of a project that lies on a small disk of its own."""

    def __init__(self, source: Path, disk: Path, logs: Path) -> None:
        super().__init__(disk / "project", logs)
        self.source, self.disk = source, disk

    def start(self, *, ours: bool = True, wait: bool = True) -> None:
        mount = (
            'mount -t tmpfs -o size=8m none "$0" && cp -r "$1" "$0/project" && shift && exec "$@"'
        )
        app = [sys.executable, "-m", "labeler.cli", "app", "--no-browser", "--no-token"]
        app += ["--port", str(self.port)]
        environment = os.environ | {"LABELER_PROJECT": str(self.project), "PYTHONPATH": str(ROOT)}
        with self.logs.open("ab") as log:
            self.process = subprocess.Popen(
                [*UNSHARE, "sh", "-c", mount, str(self.disk), str(self.source), *app],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.answers, f"the app did not start: {self.logs.read_text()}")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Nothing more fits on its disk."""
        assert self.process is not None
        heavy = Path(f"/proc/{self.process.pid}/root{self.disk}/ballast")
        with heavy.open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                pass
        yield
        heavy.unlink()

    def scores(self, page: Page, ids: Sequence[int]) -> dict[int, float]:
        """What the server says of these images."""
        found = {}
        for image_id in ids:
            request = urllib.request.Request(
                f"{self.url}/api/image/{image_id}", headers={"X-Labeler": "1"}
            )
            with urllib.request.urlopen(request) as response:
                found[image_id] = json.load(response)["score"]
        return found


@pytest.fixture
def small_app(tmp_path: Path) -> Iterator[SmallApp]:
    project = make_collection(tmp_path, images=80, scored=20)
    add_version(project, 0.3)
    project.close()
    app = SmallApp(project.folder, _made(tmp_path / "disk"), tmp_path / "log.txt")
    app.start()
    yield app
    app.kill()


@mounted
def test_the_page_keeps_scores_that_find_no_room_and_sends_them_when_there_is(
    small_app: SmallApp, browser: Browser, figures: Figures
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.add_init_script(WATCH)
    opened(page, small_app)
    press(page, "12")
    scores = seen(page, "12")
    unsaved(page, 0)
    with small_app.full():
        press(page, "345678")
        scores |= seen(page, "345678")
        expect(page.locator(".saving.stuck")).to_contain_text("is full; make room on it")
        page.reload()  # small copies of pictures find no room either, and are shown all the same
        opened(page, small_app, ready=4)
        press(page, "901")
        scores |= seen(page, "901")
        expect(page.locator(".saving.stuck")).to_contain_text("kept in this browser")
    unsaved(page, 0)
    assert small_app.scores(page, list(scores)) == scores
    figures("scores given in the app on a full disk, all kept", str(len(scores) - 2))
    context.close()


@mounted
def test_every_page_says_what_is_wrong_on_a_full_disk(
    small_app: SmallApp, browser: Browser
) -> None:
    page = browser.new_page()
    page.goto(small_app.url)
    page.locator(".labeler.score[data-state=ready]").wait_for(timeout=60_000)
    with small_app.full():
        for address in ("review", "train", "progress", "explore", "export", "start"):
            page.goto(f"{small_app.url}/{address}")
            page.locator("[data-testid=stMainBlockContainer]").wait_for(timeout=60_000)
            expect(page.locator("[data-testid=stApp]")).to_have_attribute(
                "data-test-script-state", "notRunning", timeout=60_000
            )
            assert page.locator("[data-testid=stException]").count() == 0, address
    assert "Traceback" not in small_app.logs.read_text()
    page.close()


def test_the_harness_names_every_everyday_command() -> None:
    promised = {"init", "import", "embed", "label", "train", "predict", "export", "status"}
    assert promised <= {command.words.split()[0] for command in COMMANDS.values()}
