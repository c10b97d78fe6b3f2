"""Who is scoring: each browser says it, keeps it over a reload, and every score carries it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import db.scores.hand_scores
from labeler.core.project import Project
from labeler.core.scorers import account_name
from tests.support.collection import make_collection
from tests.support.live import App, until
from tests.support.score_page import WATCH, current, kept, opened, wait_ready

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=window.injected=1>"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_collection(tmp_path_factory.mktemp("who"), images=40, scored=6)


def last_scorer(project: Project, image_id: int) -> str | None:
    return db.scores.hand_scores.history(project.store, image_id)[-1].scorer


def test_the_name_is_kept_by_the_browser_and_goes_with_every_score(
    page: Page, app: App, project: Project
) -> None:
    page.add_init_script(WATCH)
    opened(page, app)
    field = page.get_by_label("Scoring as")
    expect(field).to_have_attribute("placeholder", account_name())
    first = current(page)
    page.keyboard.press("3")
    assert kept(project, {first: 3.0})
    assert last_scorer(project, first) == account_name()

    wait_ready(page)
    field.click()
    page.keyboard.type(f"{HOSTILE} 7")  # the digit is part of the name
    page.keyboard.press("Enter")
    second = current(page)
    page.keyboard.press("4")
    assert kept(project, {second: 4.0})
    assert last_scorer(project, second) == f"{HOSTILE} 7"

    page.reload()
    wait_ready(page)
    expect(page.get_by_label("Scoring as")).to_have_value(f"{HOSTILE} 7")
    third = current(page)
    page.keyboard.press("5")
    assert kept(project, {third: 5.0})
    assert last_scorer(project, third) == f"{HOSTILE} 7"
    assert page.evaluate("window.injected") is None


def test_a_second_person_scores_what_others_did_without_seeing_how(
    page: Page, app: App, project: Project
) -> None:
    page.add_init_script(WATCH)
    opened(page, app)
    page.get_by_label("Scoring as").fill("ben")
    page.keyboard.press("Enter")
    page.get_by_label("Order of the images").select_option("others")
    before = db.scores.hand_scores.by_scorer(project.store)
    others = {image_id for ids, _ in before.values() for image_id in ids.tolist()}
    until(lambda: current(page) in others, "no picture that others scored is offered")
    wait_ready(page)
    image_id = current(page)
    expect(page.locator(".labeler.score .given")).to_be_hidden()
    page.keyboard.press("9")
    until(lambda: last_scorer(project, image_id) == "ben", "the score is not ben's")
    given = db.scores.hand_scores.by_scorer(project.store)
    assert given.pop("ben")[1].tolist() == [9.0]
    assert {name: ids.tolist() for name, (ids, _) in given.items()} == {
        name: ids.tolist() for name, (ids, _) in before.items()
    }
