"""What goes wrong under the open page: it says so in a sentence, keeps every score, and goes on by
itself when that is put right. Pictures that are gone are said to be missing and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

import db.images.locations
import db.images.lookup
import db.scores.hand_scores
import db.scores.queue_queries
from db.records import Image
from labeler.core.project import Project
from tests.support.browsers import Window
from tests.support.collection import add_version, make_collection
from tests.support.live import PATIENCE, App, until
from tests.support.score_page import (
    WATCH,
    current,
    going_on,
    kept,
    opened,
    press,
    seen,
    stored,
    unsaved,
    wait_ready,
)

pytestmark = pytest.mark.browser

SOON = PATIENCE * 1000  # milliseconds, at most: the machine may be busy


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_collection(tmp_path_factory.mktemp("faults"), images=70, scored=20)
    project.set_repeat_every(0)  # no image is shown twice here
    add_version(project, 0.3)
    return project


@pytest.fixture
def score_page(window: Window, app: App) -> Page:
    return going_on(window, app)


@pytest.fixture
def away(project: Project) -> Iterator[Callable[[bool], None]]:
    """Moves the project's folder away, and back."""
    elsewhere = project.folder.with_name("away")

    def move(gone: bool) -> None:
        project.store.close()
        project.folder.rename(elsewhere) if gone else elsewhere.rename(project.folder)

    yield move
    if elsewhere.exists():
        move(False)


def lose(project: Project, images: list[Image], *, previews: bool = True) -> None:
    for image in images:
        Path(image.path).unlink()
        for folder in (project.previews, project.thumbnails) if previews else ():
            for file in list(folder.rglob(f"{image.content_hash}*")):
                file.unlink()


def test_scores_wait_while_the_project_is_away_and_are_sent_when_it_is_back(
    score_page: Page, project: Project, away: Callable[[bool], None]
) -> None:
    away(True)
    press(score_page, "73")
    scores = seen(score_page, "73")
    expect(score_page.locator(".saving.stuck")).to_contain_text("2 not yet saved, kept in this")
    expect(score_page.locator(".saving.stuck")).to_contain_text("Bring it back")
    away(False)
    assert kept(project, scores)
    unsaved(score_page, 0)
    expect(score_page.locator(".saving")).to_have_text("all saved")


def test_a_page_opened_meanwhile_says_what_is_wrong_and_comes_by_itself(
    score_page: Page, away: Callable[[bool], None]
) -> None:
    away(True)
    score_page.reload()
    expect(score_page.get_by_text("is not there any more: it was moved")).to_be_visible()
    away(False)
    wait_ready(score_page)


def test_a_clock_set_back_does_not_change_the_order_of_what_waits(
    page: Page, app: App, project: Project
) -> None:
    page.add_init_script(WATCH)
    opened(page, app)
    noon = datetime.now(UTC)
    page.clock.set_fixed_time(noon)
    page.route("**/api/events", lambda route: route.abort())
    image_id = current(page)
    press(page, "2")
    page.clock.set_fixed_time(noon - timedelta(hours=1))
    press(page, "u9u8")
    page.unroute("**/api/events")
    page.reload()
    assert kept(project, {image_id: 8.0})
    values = [
        (row.value, row.undone_at is None)
        for row in db.scores.hand_scores.history(project.store, image_id)
    ]
    assert values == [(2.0, False), (9.0, False), (8.0, True)]


def test_a_score_for_a_picture_that_is_another_one_by_now_is_said_and_dropped(
    page: Page, app: App, project: Project
) -> None:
    page.add_init_script(WATCH)
    opened(page, app)
    image_id = current(page)
    image = db.images.lookup.get(project.store, image_id)
    assert image is not None

    def holds(content: str | None) -> None:
        with project.store.transaction() as session:
            command = "UPDATE images SET content_hash = ? WHERE id = ?"
            session.connection().exec_driver_sql(command, (content, image_id))

    holds("another")
    press(page, "73")
    scores = seen(page, "73")
    sentence = "1 not taken: That picture is another one now; reload the page"
    expect(page.locator(".labeler.score .saving")).to_have_text(sentence)
    del scores[image_id]
    assert kept(project, scores)
    assert image_id not in stored(project)
    left = "Object.keys(localStorage).filter((key) => key.startsWith('labeler:event:'))"
    assert page.evaluate(left) == []
    holds(image.content_hash)


def test_scores_given_in_review_say_for_which_picture_they_are(
    page: Page, app: App, project: Project
) -> None:
    page.goto(f"{app.url}/review")
    page.locator(".labeler.review .card.focused").wait_for()
    with page.expect_request("**/api/events") as sent:
        page.keyboard.press("5")
    events = sent.value.post_data_json["events"]
    known = db.images.lookup.content_hashes(project.store, [event["image"] for event in events])
    assert {event["image"]: event["hash"] for event in events} == known


def test_pictures_that_can_not_be_had_just_now_are_not_taken_for_missing(
    page: Page, app: App, project: Project
) -> None:
    first, *away, _ = db.scores.queue_queries.unscored(project.store, order="random", limit=4)
    asked: list[str] = []

    def busy(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, json={"problem": "The store is locked by another program."})

    for image in away:
        page.route(f"**/img/{image.id}/preview?*", busy)
    page.add_init_script(WATCH)
    opened(page, app, ready=1)
    until(lambda: page.title() and len(asked) >= 2 * len(away), "it did not ask why")
    press(page, "8")
    assert kept(project, {first.id: 8.0})
    assert current(page) == away[0].id
    expect(page.locator(".stage-words")).to_contain_text("is tried again")
    expect(page.locator(".labeler.score")).to_have_attribute("data-missing", "0")
    page.unroute_all()
    wait_ready(page)  # by itself
    press(page, "4")
    assert kept(project, {away[0].id: 4.0})


def test_a_picture_that_came_at_the_second_try_is_not_missing_by_the_answer_about_the_first(
    page: Page, app: App, project: Project
) -> None:
    first, late, beyond = db.scores.queue_queries.unscored(project.store, order="random", limit=3)
    tries: list[Route] = []

    def answer(route: Route) -> None:
        tries.append(route)
        if len(tries) == 1:
            route.abort()
        elif len(tries) > 2:  # the second asks why the first failed, and waits
            route.continue_()

    page.route(f"**/img/{late.id}/preview?*", answer)
    page.add_init_script(WATCH)
    opened(page, app, ready=1)
    until(lambda: page.title() and len(tries) == 2, "it did not ask why")
    press(page, "5")
    assert kept(project, {first.id: 5.0})
    wait_ready(page)
    assert current(page) == late.id
    with page.expect_response(lambda response: response.status == 404):
        tries[1].fulfill(status=404, json={"problem": "The file is not there."})
    press(page, "6")
    assert kept(project, {late.id: 6.0})
    until(lambda: current(page) == beyond.id, "it did not go on to the next")
    expect(page.locator(".labeler.score")).to_have_attribute("data-missing", "0")


def test_the_full_size_view_says_that_the_file_is_missing(
    score_page: Page, project: Project
) -> None:
    image = db.images.lookup.get(project.store, current(score_page))
    assert image is not None
    lose(project, [image], previews=False)
    score_page.keyboard.press("z")
    expect(score_page.locator(".zoom-words")).to_contain_text("is missing. The file is not there")
    score_page.keyboard.press("Escape")
    press(score_page, "4")  # its preview is there, so it can be scored
    assert kept(project, {image.id: 4.0})


def test_missing_pictures_are_passed_over_and_scoring_goes_on(
    page: Page, app: App, project: Project
) -> None:
    first, *gone, beyond = db.scores.queue_queries.unscored(project.store, order="random", limit=5)
    lose(project, gone)
    page.add_init_script(WATCH)
    opened(page, app, ready=1)
    expect(page.locator(".labeler.score")).to_have_attribute("data-missing", "3")
    assert current(page) == first.id
    press(page, "6")
    assert kept(project, {first.id: 6.0})
    until(lambda: current(page) == beyond.id, "it did not go on to the next")
    expect(page.locator(".flash")).to_have_text("passed over 3 missing pictures")
    page.keyboard.press("ArrowLeft")  # to look at what is missing
    expect(page.locator(".stage-words")).to_contain_text("import the folder that it lies in now")
    press(page, "5")
    assert not {image.id for image in gone} & stored(project).keys()


def test_small_pictures_wait_for_an_app_that_is_away(page: Page, app: App) -> None:
    page.route("**/img/*/thumbnail*", lambda route: route.abort())
    page.goto(f"{app.url}/review")
    place = page.locator(".card .frame .broken")
    expect(place.first).to_have_text("The app doesn't answer.", timeout=SOON)
    assert "missing" not in "".join(place.all_text_contents())
    page.unroute_all()
    away = place.filter(has_text="The app doesn't answer.")
    expect(away).to_have_count(0, timeout=SOON)  # by itself
    until(
        lambda: page.locator(".card .frame img").first.evaluate("i => i.naturalWidth"),
        "there is no picture",
    )


def test_missing_pictures_are_marked_in_explore_and_review(
    page: Page, app: App, project: Project
) -> None:
    every = db.images.lookup.by_ids(
        project.store, list(db.images.locations.ids_by_path(project.store).values())
    )
    lose(project, [image for image in every if Path(image.path).exists()])
    page.goto(f"{app.url}/explore")
    expect(page.locator(".grid .broken").first).to_contain_text("missing", timeout=SOON)
    page.goto(f"{app.url}/review")
    expect(page.locator(".card .broken").first).to_contain_text("missing: The file is not there")
