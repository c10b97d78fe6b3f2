"""What two windows do with the same picture: each learns of the other's score, none is replaced
without a word, undo brings back what stood before, and every page shows what the store has."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import db.scores.events
import db.scores.queue_queries
from db.records import Event
from labeler.core.project import Project
from tests.support.collection import make_collection
from tests.support.live import PATIENCE, App, until
from tests.support.score_page import current, kept, opened, press, stored, unsaved

pytestmark = pytest.mark.browser

SOON = PATIENCE * 1000  # milliseconds, at most: the machine may be busy


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_collection(tmp_path_factory.mktemp("windows"), images=30, scored=4)


def test_a_tab_learns_what_another_one_of_the_browser_did(
    page: Page, app: App, project: Project
) -> None:
    opened(page, app, ready=3)
    other = page.context.new_page()
    opened(other, app, ready=3)
    first = current(page)
    assert current(other) == first
    press(page, "7")
    expect(other.locator(".given")).to_have_text("scored 7", timeout=SOON)
    expect(other.locator(".news")).to_contain_text(
        "scored 7 by now, in another window", timeout=SOON
    )
    second = current(page)
    press(page, "6")
    press(other, "s")  # on: past what the other tab has scored meanwhile
    until(lambda: current(other) not in (first, second), "it shows what has a score")
    other.keyboard.press("ArrowLeft")
    expect(other.locator(".given")).to_have_text("scored 6", timeout=SOON)
    press(page, "u")
    expect(other.locator(".given")).to_be_hidden(timeout=SOON)
    unsaved(page, 0)
    assert kept(project, {first: 7.0})
    assert second not in stored(project)


def test_a_replaced_score_is_told_and_undo_brings_it_back(
    browser: Browser, page: Page, app: App, project: Project
) -> None:
    opened(page, app, ready=3)
    elsewhere = browser.new_context(viewport={"width": 1280, "height": 800})
    elsewhere.set_default_timeout(SOON)
    other = opened(elsewhere.new_page(), app, ready=3)
    image_id = current(page)
    assert current(other) == image_id
    press(page, "7")
    assert kept(project, {image_id: 7.0})
    press(other, "3")
    assert kept(project, {image_id: 3.0})
    expect(other.locator(".news")).to_contain_text("was scored 7 meanwhile", timeout=SOON)
    expect(other.locator(".news")).to_contain_text("it is 3 now", timeout=SOON)
    press(other, "u")
    assert kept(project, {image_id: 7.0})
    assert current(other) == image_id
    expect(other.locator(".given")).to_have_text("scored 7", timeout=SOON)
    # Undo tells what the store has, also where the page itself knew of nothing before.
    press(page, "u")
    until(lambda: image_id not in stored(project), "it was not taken back")
    unsaved(page, 0)
    elsewhere.close()


def test_at_the_end_missing_files_are_said_to_be_missing(
    page: Page, app: App, project: Project
) -> None:
    *rest, first, second = db.scores.queue_queries.unscored(project.store, order="random", limit=30)
    at = datetime(2025, 3, 1, tzinfo=UTC)
    db.scores.events.record(
        project.store, [Event(f"rest-{i.id}", "score", i.id, at, value=5.0) for i in rest]
    )
    for image in (first, second):
        Path(image.path).unlink()
        for file in (*project.previews.rglob("*.jpg"), *project.thumbnails.rglob("*.jpg")):
            if file.name.startswith(image.content_hash):
                file.unlink()
    page.goto(app.url)
    page.locator(".labeler.score[data-missing='2']").wait_for()
    press(page, "s")
    words = page.locator(".stage-words")
    expect(words).to_contain_text("2 files are missing: import the folder", timeout=SOON)
    expect(words).not_to_contain_text("left without a score", timeout=SOON)
