"""One key scores a card's near-duplicates with it, and tells at once what the score would move."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import db.images.lookup
import db.scores.hand_scores
import db.versions.rounds
from labeler.core.project import Project
from tests.support.collection import copied, make_collection
from tests.support.live import App, until
from tests.support.reviewing import add, look_alike, scatter

pytestmark = pytest.mark.browser
IMAGES, SCORED = 90, 30
# Predicted to pass, to fail, to pass: the first one leads the queue.
TWINS = {40: 0.5, 41: 0.35, 42: 0.7}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_collection(tmp_path_factory.mktemp("made"), images=IMAGES, scored=SCORED)
    scatter(project)
    look_alike(project, list(TWINS))
    look_alike(project, [3, 8])  # with hand scores of 2 and 7
    generator = np.random.default_rng(1)
    others = {i: float(generator.uniform(0.55, 0.95)) for i in range(45, IMAGES + 1)}
    add(project, others | TWINS)
    project.close()
    return project.folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made, tmp_path / "project")


@pytest.fixture
def app(project: Project, serve: object) -> Iterator[App]:
    app = serve(project.folder)  # type: ignore[operator]
    yield app
    app.kill()


@pytest.fixture
def review(page: Page, app: App) -> Page:
    page.goto(f"{app.url}/review")
    page.locator(".tab[data-queue=false-positive]").click()
    page.locator(".labeler.review[data-queue=false-positive]").wait_for()
    lead(page).wait_for()
    return page


def lead(page: Page) -> Locator:
    return page.locator(".card.focused[data-image='40']:not(.leaving)")


def given(project: Project) -> list[float | None]:
    return [db.images.lookup.get(project.store, image_id).hand_score for image_id in TWINS]


def whys(project: Project) -> list[str]:
    return [db.scores.hand_scores.history(project.store, image_id)[-1].why for image_id in TWINS]


def test_one_key_scores_all_and_one_undo_takes_all_back(review: Page, project: Project) -> None:
    expect(lead(review).locator(".near-duplicates-summary")).to_have_text(
        "2 near-duplicates, scored together"
    )
    review.keyboard.press("3")
    until(lambda: given(project) == [3, 3, 3], "not all were scored")
    # 41 was predicted to fail, and a 3 fails.
    corrected = "correction-false-positive"
    assert whys(project) == [corrected, "confirmation", corrected]
    expect(review.locator(".round")).to_contain_text("3 reviewed, 2 corrected")
    review.keyboard.press("u")
    until(lambda: given(project) == [None] * 3, "not all were taken back")
    lead(review).wait_for()
    expect(review.locator(".round")).to_contain_text("0 reviewed")


def test_undo_takes_all_back_after_a_reload(review: Page, project: Project) -> None:
    review.keyboard.press("3")
    until(lambda: given(project) == [3, 3, 3], "not all were scored")
    review.reload()
    review.locator(".card.focused").wait_for()
    for image_id in TWINS:
        expect(review.locator(f".card[data-image='{image_id}']")).to_have_count(0)
    review.keyboard.press("u")
    until(lambda: given(project) == [None] * 3, "not all were taken back")
    expect(lead(review).locator(".near-duplicate")).to_have_count(2)


def test_confirming_and_skipping_mean_all_of_them(review: Page, project: Project) -> None:
    review.keyboard.press("s")
    until(
        lambda: db.versions.rounds.history(project.store)[-1].skipped == 3, "not all were skipped"
    )
    review.keyboard.press("u")
    lead(review).wait_for()
    review.keyboard.press("Enter")
    until(lambda: given(project) == [5, 5, 5], "not all were scored")
    # Its own prediction of 35 % was on the other side.
    assert whys(project) == ["confirmation", "correction-false-negative", "confirmation"]
    # Of none of them a number was said.
    rows = [db.scores.hand_scores.history(project.store, image_id)[-1] for image_id in TWINS]
    assert [row.at_least for row in rows] == [5, 5, 5]


def test_an_unticked_near_duplicate_is_left_alone(review: Page, project: Project) -> None:
    lead(review).locator(".near-duplicate[data-image='42']").click()
    expect(lead(review).locator(".near-duplicates-summary")).to_have_text(
        "2 near-duplicates, 1 scored together"
    )
    review.keyboard.press("2")
    until(lambda: given(project) == [2, 2, None], "others were scored")
    review.keyboard.press("u")
    until(lambda: given(project) == [None] * 3, "not all were taken back")
    expect(lead(review).locator(".near-duplicate.out")).to_have_count(1)  # still unticked
    review.keyboard.press("n")
    expect(lead(review).locator(".near-duplicate.out")).to_have_count(0)
    review.keyboard.press("n")
    review.keyboard.press("2")
    until(lambda: given(project) == [2, None, None], "others were scored")


def test_scores_survive_a_server_that_is_gone(review: Page, app: App, project: Project) -> None:
    app.kill()
    review.keyboard.press("1")
    expect(review.locator(".saving")).to_contain_text("3 not yet saved")
    app.start()
    until(lambda: given(project) == [1, 1, 1], "a score was lost")


def test_conflicting_scores_are_solved_by_one_key(review: Page, project: Project) -> None:
    review.locator(".tab[data-queue=hand-score]").click()
    card = review.locator(".labeler.review[data-queue=hand-score] .card.focused")
    expect(card.locator(".reasons .strong")).to_have_text(
        re.compile("^scored [27], its near-duplicate [27]$")
    )
    expect(card.locator(".near-duplicate b")).to_have_text(re.compile("^[27]$"))
    review.keyboard.press("6")
    until(
        lambda: [db.images.lookup.get(project.store, i).hand_score for i in (3, 8)] == [6, 6],
        "not both were scored",
    )


def test_the_page_tells_what_a_score_would_move(review: Page, project: Project) -> None:
    expect(review.locator(".what-if")).to_have_text("")
    review.locator(".near-duplicate[data-image='42']").click()
    review.keyboard.press("0")
    until(lambda: given(project) == [0, 0, None], "not scored")
    words = "By these scores 1 of the 47 waiting images would change sides"
    expect(review.locator(".what-if")).to_contain_text(words)
    review.reload()  # 42 comes by itself now, and what would move it is still known
    moved = review.locator(".card[data-image='42'] .prediction.moved")
    expect(moved).to_have_text(re.compile(r"^70 % → \d+ %now fails$"))
    expect(review.locator(".what-if")).to_contain_text(words)
    review.keyboard.press("u")
    expect(review.locator(".what-if")).to_have_text("")
