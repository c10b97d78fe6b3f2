"""The app as others reach it: our page asks for the token, and behind it everything works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from collection import make_collection
from live import PATIENCE, ROOT, App, until
from playwright.sync_api import Page, expect
from score_page import WATCH, kept, opened, seen, stored

from labeler.app.door import WRONG
from labeler.project import Project

pytestmark = pytest.mark.browser

SOON = PATIENCE * 1000  # milliseconds
TOKEN = "sixteen letters & more"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_collection(tmp_path_factory.mktemp("token"), images=30, scored=0)


class Reachable(App):
    """The app with --host 0.0.0.0."""

    def start(self, *, ours: bool = True, wait: bool = False) -> None:
        command = ["labeler", "app", "--no-browser", "--host", "0.0.0.0", "--port", str(self.port)]
        told = {"LABELER_PROJECT": str(self.project), "PYTHONPATH": str(ROOT)}
        with self.logs.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=os.environ | told | {"LABELER_TOKEN": TOKEN},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.listens, f"the app did not start: {self.logs}")


@pytest.fixture(scope="module")
def reachable(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = Reachable(project.folder, tmp_path_factory.mktemp("app") / "log.txt")
    app.start()
    yield app
    app.kill()


def give(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Open").click()


def test_who_has_the_token_gets_in_and_scores(page: Page, reachable: App, project: Project) -> None:
    page.add_init_script(WATCH)
    page.goto(f"{reachable.url}/?page=1")
    give(page, "a wrong token, long enough")
    expect(page.get_by_role("alert")).to_have_text(WRONG)
    give(page, TOKEN)
    opened(page, reachable)
    page.keyboard.press("7")
    assert kept(project, seen(page, "7"))
    assert set(stored(project).values()) == {7.0}


def test_the_address_with_the_token_lets_in_and_shows_it_no_longer(
    page: Page, reachable: App
) -> None:
    page.goto(f"{reachable.url}/explore?token={TOKEN.replace(' ', '%20').replace('&', '%26')}")
    expect(page.get_by_role("heading", name="Explore")).to_be_visible(timeout=SOON)
    assert page.url == f"{reachable.url}/explore"
    assert page.evaluate("document.cookie.includes('labeler')") is False


def test_a_link_on_another_site_leads_who_is_in_past_the_form(page: Page, reachable: App) -> None:
    page.goto(reachable.url)
    give(page, TOKEN)
    expect(page.locator(".labeler.score")).to_be_visible(timeout=SOON)
    link = f'<a href="{reachable.url}/explore">there</a>'
    page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(body=link, content_type="text/html"),
    )
    page.goto("http://elsewhere.example/")
    page.get_by_text("there").click()
    expect(page.get_by_role("heading", name="Explore")).to_be_visible(timeout=SOON)
