"""`labeler app` from its first moment: a page opened before the app is there works like any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from labeler.core.project import Project
from tests.support.collection import make_collection
from tests.support.live import App
from tests.support.score_page import WATCH, kept, opened, seen, stored, wait_ready

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_collection(tmp_path_factory.mktemp("opening"), images=30, scored=0)


@pytest.fixture
def base() -> str:
    return ""


@pytest.fixture
def starting(project: Project, tmp_path: Path, base: str) -> Iterator[App]:
    app = App(project.folder, tmp_path / "log.txt", base)
    app.start(ours=True, wait=False)
    yield app
    app.kill()


def test_a_page_opened_while_the_app_starts_takes_scores(
    page: Page, starting: App, project: Project
) -> None:
    page.add_init_script(WATCH)
    opened(page, starting)
    page.keyboard.press("7")
    assert kept(project, seen(page, "7"))
    assert set(stored(project).values()) == {7.0}


@pytest.mark.parametrize("base", ["", "/taste"])
def test_each_module_of_the_page_is_asked_for_once(page: Page, starting: App) -> None:
    asked: list[tuple[str, int]] = []
    page.on("response", lambda answer: asked.append((answer.url, answer.status)))
    opened(page, starting, ready=1)
    modules = [each for each in asked if "/assets/" in each[0]]
    assert all(url.startswith(f"{starting.url}/assets/") and code == 200 for url, code in modules)
    assert any(url.endswith("/score/score.js") for url, _ in modules)
    assert len(modules) == len(set(modules))


def test_a_page_says_that_it_is_loading_until_the_browser_has_its_code(
    page: Page, starting: App
) -> None:
    scripts = "**/static/js/*.js"
    page.route(scripts, lambda route: route.abort())
    page.goto(starting.url)
    loading = page.get_by_role("status")
    expect(loading).to_have_text("Loading …")
    page.unroute(scripts)
    page.reload()
    wait_ready(page)
    expect(loading.filter(has_text="Loading")).to_have_count(0)
