"""Every score that the Score page showed as taken is in the store, on the image that was shown:
after bursts, reloads, closed tabs and a killed server.

What was on the screen is read from the page before the page itself hears of a key.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeler.core.project import Project
from tests.support.browsers import Window
from tests.support.collection import make_collection
from tests.support.live import App
from tests.support.score_page import WATCH, going_on, kept, opened, press, seen, stored, unsaved

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_collection(tmp_path_factory.mktemp("kept"), images=90, scored=4)
    made.set_repeat_every(0)  # no image is shown twice here
    return made


@pytest.fixture
def score_page(window: Window, app: App) -> Page:
    return going_on(window, app)


@pytest.fixture
def tab(page: Page, app: App) -> Page:
    """A Score page that may be closed."""
    page.add_init_script(WATCH)
    return opened(page, app)


def test_a_burst_of_five_keys_scores_five_images(score_page: Page, project: Project) -> None:
    press(score_page, "73905")
    assert kept(project, seen(score_page, "73905"))


def test_a_reload_right_after_keys_loses_none(score_page: Page, project: Project) -> None:
    press(score_page, "5814")
    scores = seen(score_page, "5814")
    score_page.reload()
    assert kept(project, scores)


def test_scores_that_could_not_be_sent_wait_in_the_browser(
    score_page: Page, project: Project
) -> None:
    score_page.route("**/api/events", lambda route: route.abort())
    press(score_page, "2709")
    scores = seen(score_page, "2709")
    unsaved(score_page, 4)
    assert not scores.keys() & stored(project).keys()
    score_page.unroute("**/api/events")
    score_page.reload()
    assert kept(project, scores)


def test_a_tab_closed_right_after_keys_loses_none(tab: Page, project: Project) -> None:
    press(tab, "61253")
    scores = seen(tab, "61253")
    tab.close()
    assert kept(project, scores)


def test_a_killed_and_restarted_server_gets_every_score(
    score_page: Page, project: Project, app: App
) -> None:
    press(score_page, "317")
    app.kill()
    press(score_page, "8642")
    scores = seen(score_page, "3178642")
    expect(score_page.locator(".saving.stuck")).to_contain_text("not yet saved")
    app.start()
    assert kept(project, scores)
    unsaved(score_page, 0)


def test_a_tab_closed_while_the_server_is_dead_sends_when_opened_again(
    tab: Page, project: Project, app: App
) -> None:
    app.kill()
    press(tab, "951")
    scores = seen(tab, "951")
    context: BrowserContext = tab.context
    tab.close()
    app.start()
    opened(context.new_page(), app)
    assert kept(project, scores)


def test_a_browser_that_keeps_nothing_says_so(page: Page, app: App, project: Project) -> None:
    page.add_init_script(
        WATCH + "Storage.prototype.setItem = () => { throw new DOMException('full'); };"
    )
    opened(page, app)
    page.route("**/api/events", lambda route: route.abort())
    page.keyboard.press("6")
    expect(page.locator(".saving.stuck")).to_contain_text("leave the page open")
    page.unroute("**/api/events")
    assert kept(project, seen(page, "6"))


def test_two_tabs_do_not_lose_each_others_scores(
    score_page: Page, project: Project, app: App
) -> None:
    other = score_page.context.new_page()
    other.add_init_script(WATCH)
    opened(other, app)
    for page in (score_page, other):
        page.route("**/api/events", lambda route: route.abort())
    press(score_page, "12")
    other.keyboard.press("ArrowRight")
    other.keyboard.press("ArrowRight")
    press(other, "34")
    scores = seen(score_page, "12") | seen(other, "34")
    assert len(scores) == 4
    other.close()
    score_page.unroute("**/api/events")
    score_page.reload()
    assert kept(project, scores)
