"""The app as it is by itself, and as others reach it: the token, and what works behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from labeler.app.security.token_gate import TOKEN_WRONG
from labeler.core.project import Project
from tests.support.collection import make_collection
from tests.support.live import PATIENCE, App, until
from tests.support.score_page import WATCH, current, kept, opened, seen, stored, wait_ready

pytestmark = pytest.mark.browser

SOON = PATIENCE * 1000  # milliseconds
TOKEN = "sixteen letters & more"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_collection(tmp_path_factory.mktemp("token"), images=30, scored=0)


class Asking(App):
    """`labeler app` as it is by itself, with more `options`, and the token stated or its own.

    Without `fork`, in a process that imports all by itself.
    """

    def __init__(
        self, project: Path, logs: Path, *options: str, token: str = "", fork: bool = True
    ) -> None:
        super().__init__(project, logs)
        self.options, self.token, self.fork = options, token, fork

    def start(self, *, ours: bool = True, wait: bool = False) -> None:
        arguments = ["app", "--no-browser", "--port", str(self.port), *self.options]
        self.logs.write_text("")
        self.launch("labeler.cli", arguments, fork=self.fork, LABELER_TOKEN=self.token)
        until(self.listens, f"the app did not start: {self.logs}")

    def shown(self) -> str:
        """The address that the terminal shows."""
        found = until(lambda: re.search(r"open at (\S+)", self.logs.read_text()), "no address")
        return str(found[1])


@pytest.fixture(scope="module")
def reachable(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    log = tmp_path_factory.mktemp("app") / "log.txt"
    app = Asking(project.folder, log, "--host", "0.0.0.0", token=TOKEN, fork=False)
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
    expect(page.get_by_role("alert")).to_have_text(TOKEN_WRONG)
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


def test_a_page_left_open_over_a_new_start_loses_nothing(
    page: Page, project: Project, tmp_path: Path
) -> None:
    """Also on this machine the token is another one then."""
    app = Asking(project.folder, tmp_path / "log.txt")
    app.start()
    try:
        page.goto(app.shown())
        wait_ready(page)
        before = app.shown()
        app.kill()
        app.start()
        assert app.shown() != before
        given = {current(page): 9.0}
        page.keyboard.press("9")
        badge = page.locator(".saving")
        expect(badge).to_contain_text("not yet saved", timeout=SOON)
        expect(badge).to_contain_text("The token is missing", timeout=SOON)
        page.goto(app.url)
        expect(page.get_by_text("1 score is not yet saved.")).to_be_visible(timeout=SOON)
        page.goto(app.shown())
        assert kept(project, given)
    finally:
        app.kill()


def test_below_a_path_of_another_server_everything_is_found(
    page: Page, project: Project, tmp_path: Path
) -> None:
    app = Asking(project.folder, tmp_path / "log.txt", "--base-path", "taste/")
    app.start()
    failed: list[str] = []
    page.on("response", lambda got: failed.append(got.url) if got.status >= 400 else None)
    try:
        page.goto(app.shown())
        wait_ready(page)
        assert page.url.startswith(f"{app.url}/taste/")
        given = {current(page): 8.0}
        page.keyboard.press("8")
        assert kept(project, given)
        for name in ("Explore", "Review", "Export"):
            page.get_by_role("link", name=name).click()
            expect(page.get_by_role("heading", name=name).first).to_be_visible(timeout=SOON)
            page.wait_for_load_state("networkidle")
            assert page.url.startswith(f"{app.url}/taste/")
        for link in page.locator("a[download]").all():
            assert link.evaluate("link => link.href").startswith(f"{app.url}/taste/api/")
        page.reload()
        expect(page.get_by_role("heading", name="Export").first).to_be_visible(timeout=SOON)
        # Streamlit finds out by trying where its own parts lie.
        assert [url for url in failed if "/_stcore/" not in url] == []
    finally:
        app.kill()
