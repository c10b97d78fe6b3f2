"""Repeats on the Score page: shown as if they were new, kept as such, and undone to what was."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import db.scores.events
import db.scores.hand_scores
from db.scores.repeats import BETWEEN, blind_pairs
from labeler.core.project import Project
from labeler.core.scorers import account_name
from tests.support.collection import make_collection
from tests.support.live import App, until
from tests.support.score_page import current, kept, opened, stored, wait_ready
from tests.support.store_rows import event

pytestmark = pytest.mark.browser
OLD = 20


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Images 1 to 70 were scored 3, in two sittings; 30 wait."""
    made = make_collection(tmp_path_factory.mktemp("repeats"), images=OLD + BETWEEN + 30, scored=0)
    given = {"scorer": account_name(), "queue": "score", "value": 3}
    scores = [event(f"e{i}", "score", i, **given) for i in range(1, OLD + BETWEEN + 1)]
    assert all(receipt.accepted for receipt in db.scores.events.record(made.store, scores))
    made.set_repeat_every(5)
    return made


def test_a_repeat_looks_like_a_new_image_and_is_undone_to_the_earlier_score(
    page: Page, app: App, project: Project
) -> None:
    opened(page, app)
    scored, waiting = len(stored(project)), 30
    count, given = (page.locator(f".labeler.score .{name}") for name in ("count", "given"))
    while (image_id := current(page)) > OLD + BETWEEN:
        page.keyboard.press("8")
        waiting -= 1
        assert kept(project, {image_id: 8.0}) and waiting > 0
        wait_ready(page)
    assert image_id <= OLD
    shows_nothing_of_a_score(page)
    page.keyboard.press("6")
    assert kept(project, {image_id: 6.0})
    expect(count).to_have_text(str(scored + 30 - waiting))  # no image more than before
    assert pairs(project) == [(image_id, 3.0, 6.0)]

    page.reload()
    wait_ready(page)
    page.keyboard.press("u")
    assert kept(project, {image_id: 3.0})
    until(lambda: current(page) == image_id, "undo didn't go back")
    wait_ready(page)
    shows_nothing_of_a_score(page)
    expect(count).to_have_text(str(scored + 30 - waiting))
    assert pairs(project) == []
    page.keyboard.press("4")
    assert kept(project, {image_id: 4.0})
    assert pairs(project) == [(image_id, 3.0, 4.0)]
    page.keyboard.press("ArrowLeft")
    expect(given).to_have_text("scored 4")  # what was said just now is no secret
    expect(page.locator(".labeler.score .news")).to_have_text("")


def shows_nothing_of_a_score(page: Page) -> None:
    expect(page.locator(".labeler.score .given")).to_be_hidden()
    expect(page.locator(".labeler.score .cell.had")).to_have_count(0)
    expect(page.locator(".labeler.score .check")).to_be_hidden()


def pairs(project: Project) -> list[tuple[int, float, float]]:
    found = blind_pairs(project.store).get(account_name())
    return [] if found is None else list(zip(*(each.tolist() for each in found), strict=True))
