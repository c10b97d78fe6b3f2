"""A real server on a free port and a real browser: the fixtures that these tests stand on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from labeler.core.project import Project
from tests.support.live import PATIENCE, App

# The one first that has no window to draw and does a third less for the same page.
BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


def browser_path() -> str | None:
    """A Chromium on the PATH; None means the build that Playwright has downloaded."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], App]]:
    """Serve a project folder; every app is stopped when the module's tests are through."""
    apps: list[App] = []

    def start(project: Path) -> App:
        apps.append(App(project, tmp_path_factory.mktemp("app") / "log.txt"))
        apps[-1].start()
        return apps[-1]

    yield start
    for app in apps:
        app.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE * 1000)  # the machine may be busy
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def app(project: Project, serve: Callable[[Path], App]) -> App:
    """The app on the module's own `project`."""
    return serve(project.folder)


@contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    """A page with a storage of its own; any uncaught error in it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with new_page(browser) as page:
        yield page


class Window:
    """A page that goes from test to test of a module; after a failure the next gets a new one.

    What opening it costs, seconds of parsing and of first drawing, is spent once. It is for tests
    that begin at whatever comes next in it, and that leave no route, clock or script behind.
    """

    def __init__(self, browser: Browser, session: pytest.Session) -> None:
        self._browser, self._session = browser, session
        self._closing = ExitStack()
        self._failed = session.testsfailed
        self._page: Page | None = None

    def page(self) -> Page:
        """The page as it was left, or a blank one."""
        if self._failed != self._session.testsfailed:
            self._failed = self._session.testsfailed
            with suppress(AssertionError, Error):  # which has been told, or says the same again
                self.close()
        if self._page is None:
            self._page = self._closing.enter_context(new_page(self._browser))
        return self._page

    def close(self) -> None:
        self._page = None
        self._closing.close()


@pytest.fixture(scope="module")
def window(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Window]:
    window = Window(browser, request.session)
    yield window
    window.close()
