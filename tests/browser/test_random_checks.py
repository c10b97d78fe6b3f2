"""Random checks on the Score page: mixed in, quietly marked, and kept as draws."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

import db.scores.random_sample
from db.store.schema import DrawRow, HandScoreRow
from labeler.core.project import Project
from tests.support.browsers import Window
from tests.support.collection import make_collection
from tests.support.live import App, until
from tests.support.score_page import current, going_on, kept, stored, wait_ready

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_collection(tmp_path_factory.mktemp("checks"), images=120, scored=0)
    made.set_audit_every(2)
    made.set_repeat_every(0)
    return made


def drawn(project: Project) -> set[int]:
    query = select(HandScoreRow.image_id).join(DrawRow, DrawRow.hand_score_id == HandScoreRow.id)
    with project.store.reading() as session:
        return set(session.scalars(query))


@pytest.fixture
def page(window: Window, app: App) -> Page:
    return going_on(window, app)


def in_order(page: Page, order: str) -> None:
    page.get_by_label("Order of the images").select_option(order)
    wait_ready(page)


def score_next(page: Page, project: Project) -> int:
    wait_ready(page)
    image_id = current(page)
    page.keyboard.press("6")
    assert kept(project, {image_id: 6.0})
    return image_id


def test_every_other_image_is_a_marked_check_and_kept_as_a_draw(
    page: Page, project: Project
) -> None:
    in_order(page, "newest")
    mark = page.locator(".labeler.score .check")
    checks = set()
    for place in range(8):
        wait_ready(page)
        expect(mark).to_be_visible(visible=place % 2 == 1)
        image_id = score_next(page, project)
        if place % 2:
            checks.add(image_id)
    assert drawn(project) == checks
    found = db.scores.random_sample.random_sample(project.store)
    assert checks <= set(found.image_ids[found.drawn].tolist())


def test_in_the_random_order_nothing_is_marked_and_all_are_draws(
    page: Page, project: Project
) -> None:
    in_order(page, "random")
    before = drawn(project)
    scored = {score_next(page, project) for _ in range(3)}
    expect(page.locator(".labeler.score .check")).to_be_hidden()
    assert drawn(project) == before | scored


def test_the_setting_takes_effect_at_once_and_keys_still_score(
    page: Page, project: Project
) -> None:
    in_order(page, "newest")
    page.get_by_role("combobox", name="Random checks").click()
    page.get_by_role("option", name="none").click()
    until(lambda: project.audit_every == 0, "the setting was not kept")
    page.wait_for_function("document.activeElement === document.body")  # digits are scores again
    count, before = len(stored(project)), drawn(project)
    for _ in range(3):
        wait_ready(page)
        page.keyboard.press("4")
    until(lambda: len(stored(project)) == count + 3, "a key after the choice was not taken")
    assert drawn(project) == before
