"""The Score page outlives its app: once a new one answers, all is as if nothing had been."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from labeler.core.project import Project
from tests.support.collection import make_collection
from tests.support.live import App
from tests.support.score_page import WATCH, kept, opened, press, seen, unsaved, wait_ready

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_collection(tmp_path_factory.mktemp("killed"), images=60, scored=4)
    made.set_repeat_every(0)  # no image is shown twice here
    return made


def test_pictures_that_failed_while_the_app_was_dead_are_made_ready_again(
    page: Page, app: App, project: Project
) -> None:
    page.add_init_script(WATCH)
    opened(page, app, ready=12)
    app.kill()
    press(page, "12345678")
    scores = seen(page, "12345678")
    app.start()
    assert kept(project, scores)
    unsaved(page, 0)
    wait_ready(page, 12)
