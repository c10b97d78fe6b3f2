"""The Score page: keys and buttons score the image that is on the screen, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect

import db.scores.hand_scores
import db.scores.queue_queries
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from tests.support.browsers import Window
from tests.support.collection import add_version, draw_pictures, make_collection
from tests.support.live import App, until
from tests.support.score_page import (
    current,
    going_on,
    kept,
    press,
    seen,
    stored,
    unsaved,
    wait_ready,
)

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=x onerror=window.injected=1>.png",
    "![](http:⁄⁄203.0.113.1⁄x.png).png",
    "<script>window.injected=1<⁄script>.png",
    "$(touch x) `id` 'quoted\" & more.png",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_collection(tmp_path_factory.mktemp("score"), images=290, scored=4)
    made.set_repeat_every(0)  # each key meets an image of its own here
    return made


@pytest.fixture
def score_page(window: Window, app: App) -> Page:
    return going_on(window, app)


def test_each_key_scores_the_next_image_and_what_was_scored_long_ago_is_not_named_to_the_server(
    score_page: Page, project: Project
) -> None:
    """What was passed by is named, so that it isn't offered again."""
    before = stored(project)
    asked: list[set[int]] = []

    def note(request: Request) -> None:
        if "/api/queue" in request.url:
            named = parse_qs(urlsplit(request.url).query).get("exclude", [""])[0]
            asked.append({int(part) for part in named.split(",") if part})

    passed_by = current(score_page)
    score_page.keyboard.press("ArrowRight")
    wait_ready(score_page)
    score_page.on("request", note)
    keys = "0123456789t" * 6 + "01234567"
    for key in keys:
        wait_ready(score_page)
        score_page.keyboard.press(key)
    scores = seen(score_page, keys)
    assert len(asked) > 1 and next(iter(scores)) not in asked[-1]
    assert passed_by in asked[-1]
    assert kept(project, scores)
    assert stored(project) == before | scores
    unsaved(score_page, 0)


def test_an_order_goes_on_though_only_images_that_were_seen_are_offered_for_once(
    score_page: Page, project: Project
) -> None:
    asked: list[str] = []
    first: list[Any] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 2:
            return route.fulfill(json=first[0])
        told = route.fetch()
        first.append(told.json())
        return route.fulfill(response=told)

    score_page.route("**/api/queue?*", answer)
    score_page.reload()
    wait_ready(score_page, 8)
    keys = "789" * 15  # beyond the forty of the first answer
    for key in keys:
        wait_ready(score_page)
        score_page.keyboard.press(key)
    assert kept(project, seen(score_page, keys))
    again = {str(item["id"]) for item in first[0]["items"]}
    named = parse_qs(urlsplit(asked[2]).query)["exclude"][0].split(",")
    assert again <= set(named)
    score_page.unroute("**/api/queue?*")


def test_ten_has_keys_of_its_own_and_a_button(score_page: Page, project: Project) -> None:
    for key in ("t", "Minus", "NumpadAdd"):
        image_id = current(score_page)
        score_page.keyboard.press(key)
        assert kept(project, {image_id: 10.0})
        wait_ready(score_page)
    image_id = current(score_page)
    score_page.get_by_role("button", name="10: high quality").click()
    assert kept(project, {image_id: 10.0})
    wait_ready(score_page)
    image_id = current(score_page)
    score_page.keyboard.press("4")  # after a click, keys still mean scores
    assert kept(project, {image_id: 4.0})


def test_undo_goes_back_one_score_at_a_time(score_page: Page, project: Project) -> None:
    start = current(score_page)
    press(score_page, "123")
    scores = seen(score_page, "123")
    assert kept(project, scores)
    for key, left in (("Backspace", 2), ("u", 1), ("Control+z", 0)):
        score_page.keyboard.press(key)
        until(lambda n=left: len(scores.keys() & stored(project).keys()) == n, "not undone")
    assert current(score_page) == start
    wait_ready(score_page)
    score_page.keyboard.press("8")
    assert kept(project, {start: 8.0})


def test_undo_and_looking_back_survive_a_reload(score_page: Page, project: Project) -> None:
    press(score_page, "46")
    first, second = seen(score_page, "46")
    assert kept(project, {first: 4.0, second: 6.0})
    score_page.reload()
    wait_ready(score_page)
    score_page.keyboard.press("u")
    until(lambda: second not in stored(project), "the last score was not undone")
    assert current(score_page) == second
    score_page.keyboard.press("ArrowLeft")
    wait_ready(score_page)
    assert current(score_page) == first
    score_page.keyboard.press("9")
    assert kept(project, {first: 9.0})
    rows = [
        row for row in db.scores.hand_scores.history(project.store, first) if row.undone_at is None
    ]
    assert [(row.value, row.why) for row in rows] == [(4.0, "first"), (9.0, "revision")]


def test_skipped_images_get_no_score_and_come_last(score_page: Page, project: Project) -> None:
    image_id = current(score_page)
    score_page.keyboard.press("s")
    wait_ready(score_page)
    assert current(score_page) != image_id
    unsaved(score_page, 0)
    waiting = db.scores.queue_queries.unscored(project.store, order="random", limit=1000)
    assert waiting[-1].id == image_id
    assert waiting[-1].hand_score is None
    score_page.keyboard.press("u")
    unsaved(score_page, 0)
    assert current(score_page) == image_id


def test_only_keys_meant_for_the_picture_are_scores(score_page: Page, project: Project) -> None:
    before, image_id = stored(project), current(score_page)
    press_and_hold = (
        "(key) => document.dispatchEvent(new KeyboardEvent('keydown', {key, repeat: true}))"
    )
    score_page.evaluate(press_and_hold, "5")
    score_page.keyboard.press("Control+5")
    score_page.keyboard.press("Alt+5")
    score_page.keyboard.press("z")
    score_page.locator("dialog.zoom img").wait_for()
    score_page.keyboard.press("5")
    score_page.keyboard.press("Escape")
    expect(score_page.locator("dialog.zoom")).to_have_count(0)
    assert current(score_page) == image_id
    score_page.keyboard.press("3")
    assert kept(project, {image_id: 3.0})
    assert stored(project) == before | {image_id: 3.0}


def test_scored_images_can_be_revised(score_page: Page, project: Project) -> None:
    score_page.get_by_label("Order of the images").select_option("revise")
    wait_ready(score_page, 2)
    image_id = current(score_page)
    assert image_id in stored(project)
    changed = 10.0 - stored(project)[image_id] if stored(project)[image_id] != 5 else 4.0
    score_page.keyboard.press("t" if changed == 10 else str(int(changed)))
    assert kept(project, {image_id: changed})


def test_filling_thin_brackets_needs_a_version_and_begins_when_there_is_one(
    score_page: Page, project: Project
) -> None:
    score_page.get_by_label("Order of the images").select_option("thin")
    expect(score_page.locator(".stage-words")).to_contain_text("train a first version")
    add_version(project, 0.1)  # the page looks again by itself
    wait_ready(score_page)
    assert current(score_page) not in stored(project)


def test_the_page_survives_going_to_another_page_and_back(
    score_page: Page, project: Project
) -> None:
    score_page.get_by_role("link", name="Explore").click()
    score_page.locator(".labeler.score").wait_for(state="detached")
    score_page.get_by_role("link", name="Score", exact=True).click()
    wait_ready(score_page, 3)
    before = stored(project)
    score_page.keyboard.press("7")
    scores = seen(score_page, "7")
    assert kept(project, scores)
    assert stored(project) == before | scores  # one listener, one score


@pytest.fixture(scope="module")
def odd_app(tmp_path_factory: pytest.TempPathFactory, serve: Callable[[Path], App]) -> App:
    """Three images: two with hostile names, one whose picture is lost altogether."""
    folder = tmp_path_factory.mktemp("odd")
    project = Project.create(folder / "project", encoder="lite")
    for path, name in zip(draw_pictures(folder / "pictures", 4), HOSTILE, strict=True):
        path.rename(path.with_name(name))
    import_paths(project, [folder / "pictures"], source="<b>odd</b>", workers=1)
    return serve(project.folder)


def test_file_names_stay_text(page: Page, odd_app: App) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(odd_app.url)
    names = set()
    for _ in HOSTILE:
        wait_ready(page)
        names.add(page.locator(".labeler.score .name").inner_text())
        page.keyboard.press("ArrowRight")
    assert names == set(HOSTILE)
    assert page.evaluate("window.injected") is None
    foreign = [url for url in asked if not url.startswith((odd_app.url, "blob:", "data:"))]
    assert [url for url in foreign if "203.0.113" in url] == []


def test_a_lost_picture_can_only_be_skipped(page: Page, odd_app: App) -> None:
    project = Project.open(odd_app.project)
    lost = db.scores.queue_queries.unscored(project.store, order="random", limit=1)[0]
    Path(lost.path).unlink()
    for folder in (project.previews, project.thumbnails):
        for file in list(folder.rglob(f"{lost.content_hash}*")):  # small ones have no thumbnail
            file.unlink()
    page.goto(odd_app.url)
    page.locator(f".labeler.score[data-image='{lost.id}'][data-state=broken]").wait_for()
    page.keyboard.press("5")
    expect(page.locator(".stage-words")).to_contain_text("can't be shown")
    assert current(page) == lost.id
    page.keyboard.press("s")
    wait_ready(page)
    unsaved(page, 0)
    assert stored(project) == {}
