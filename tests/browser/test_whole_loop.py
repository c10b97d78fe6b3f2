"""The loop as a new user walks it, in one browser and with nothing handed in: an empty folder for
the project, a folder of pictures, keys, two trainings with a review between them, a download."""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import db.images.locations
import db.versions.registry
import db.versions.rounds
from labeler.cli.demo.demo import draw_collection
from labeler.core.project import Project
from tests.support.live import App, until
from tests.support.score_page import current, opened, press, stored, unsaved, wait_ready

pytestmark = pytest.mark.browser
PICTURES, SCORED = 96, 60
REVIEWED = 4  # of each queue


def import_folder(page: Page, app: App, pictures: Path, count: int) -> None:
    page.goto(app.url)
    folder = page.get_by_role("textbox", name="Folder with pictures")
    folder.fill(str(pictures))
    folder.press("Enter")
    expect(page.get_by_text(f"Found {count} files.")).to_be_visible()
    page.get_by_text("nothing to download").click()
    page.get_by_role("button", name="Import").click()
    page.get_by_role("button", name="Start scoring", exact=True).click(timeout=180_000)


def score_by_keys(page: Page, taste: dict[int, str], count: int) -> dict[int, float]:
    """Score the next `count` images; what was pressed on each."""
    given = {}
    for _ in range(count):
        wait_ready(page)
        image = current(page)
        press(page, taste[image])
        given[image] = float(taste[image])
    return given


def train(page: Page, app: App, button: str, note: str, version: str) -> None:
    page.goto(f"{app.url}/train")
    page.get_by_role("textbox", name="Note").fill(note)
    page.get_by_role("textbox", name="Note").press("Enter")
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text("Training", exact=True)).to_be_visible()
    page.reload()  # The training doesn't mind.
    expect(page.get_by_text(f"Version {version}")).to_be_visible(timeout=240_000)


def review(page: Page, app: App, project: Project, queue: str, taste: dict[int, str]) -> None:
    """Give the first cards of a queue the person's own scores."""
    page.goto(f"{app.url}/review")
    page.locator(f".tab[data-queue={queue}]").click()
    root = page.locator(f".labeler.review[data-queue={queue}]")
    for _ in range(REVIEWED):
        page.locator(".labeler.review .card.focused:not(.leaving)").wait_for()
        image = int(root.get_attribute("data-focused") or 0)
        press(page, taste[image])
        until(lambda image=image: image in stored(project), f"{image} was not taken")


def test_from_a_folder_to_v1_1_and_out(
    page: Page, serve: Callable[[Path], App], tmp_path: Path
) -> None:
    drawn = draw_collection(tmp_path / "pictures", PICTURES)
    app = serve(tmp_path / "taste")
    import_folder(page, app, tmp_path / "pictures", len(drawn))
    with closing(Project.open(tmp_path / "taste")) as project:
        ids = db.images.locations.ids_by_path(project.store)
        taste = {ids[str(picture.path)]: str(picture.score) for picture in drawn}
        opened(page, app)
        given = score_by_keys(page, taste, SCORED)
        press(page, "uu")
        taken_back = list(given)[-2:]
        unsaved(page, 0)
        until(lambda: len(stored(project)) == SCORED - 2, "undo did not reach the store")
        assert not set(taken_back) & set(stored(project))
        given |= score_by_keys(page, taste, 2)
        unsaved(page, 0)
        assert stored(project) == given
        assert len(given) == SCORED

        train(page, app, f"Train with {SCORED} scores", "first scores", "v1.0")
        review(page, app, project, "false-positive", taste)
        review(page, app, project, "false-negative", taste)
        # A key answers a card, with the near-duplicates that stand on it.
        reviewed = len(stored(project)) - SCORED
        assert reviewed >= 2 * REVIEWED
        [opening] = db.versions.rounds.history(project.store)
        assert opening.corrected + opening.confirmed == reviewed
        train(page, app, f"Retrain with {reviewed} new scores", "after review", "v1.1")
        expect(page.get_by_role("heading", name="v1.1 beside v1.0")).to_be_visible()
        expect(page.get_by_text("after review").first).to_be_visible()
        _first, second = db.versions.registry.history(project.store)
        assert (second.parent, second.scored_count) == ("v1.0", SCORED + reviewed)
        found, by_chance = (
            second.metrics["average_precision"],
            second.metrics["baseline"]["average_precision"],
        )
        assert found["low"] > by_chance["value"]  # It has learnt something.

        page.goto(f"{app.url}/export")
        with page.expect_download() as waiting:
            page.get_by_role("link", name="Download").first.click()
        waiting.value.save_as(tmp_path / "dataset.csv")
        with (tmp_path / "dataset.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(drawn)
        exported = {row["path"]: float(row["score"]) for row in rows if row["score"]}
        assert {ids[path]: score for path, score in exported.items()} == stored(project)
        assert {row["version"] for row in rows} == {"v1.1"}
