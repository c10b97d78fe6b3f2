"""Protects the queue of both kinds of mistakes: what dealt each card is kept, answers count for it,
and cards that nobody has seen make room for likelier ones, never those in sight.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import db.images.embeddings
import db.scores.hand_scores
import db.versions.rounds
from labeler.core.project import Project
from labeler.versions.train import train
from model.review import bandit
from tests.support.collection import copied, make_collection
from tests.support.live import App, until

pytestmark = pytest.mark.browser
IMAGES, SCORED = 160, 60


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a version that was really trained: its second opinion learns from the answers."""
    project = make_collection(tmp_path_factory.mktemp("trained"), images=IMAGES, scored=SCORED)
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    vectors = np.random.default_rng(5).normal(size=(IMAGES, encoder.width)).astype(np.float32)
    db.images.embeddings.put(project.store, encoder.id, np.arange(1, IMAGES + 1), vectors)
    train(project)
    project.close()
    return project.folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(trained, tmp_path / "project")


@pytest.fixture
def app(project: Project, serve: object) -> Iterator[App]:
    app = serve(project.folder)  # type: ignore[operator]
    yield app
    app.kill()


def card(page: Page) -> Locator:
    return page.locator(".labeler.review .card.focused:not(.leaving)")


def focused(page: Page) -> int:
    card(page).wait_for()
    return int(page.locator(".labeler.review").get_attribute("data-focused") or 0)


def shown_ids(page: Page) -> list[int]:
    cards = page.locator(".labeler.review .card:not(.leaving)")
    return [int(image) for image in cards.evaluate_all("all => all.map(c => c.dataset.image)")]


def test_both_kinds_are_dealt_and_every_answer_counts_for_what_dealt_it(
    page: Page, app: App, project: Project
) -> None:
    page.goto(f"{app.url}/review")
    card(page).wait_for()
    expect(page.locator(".tab[aria-selected=true]")).to_contain_text("Likely mistakes")
    percents = page.locator(".card .prediction").all_text_contents()
    sides = {int(text.split()[0]) >= 50 for text in percents}
    assert sides == {True, False}
    answered = [focused(page)]
    page.keyboard.press("0")
    answered.append(focused(page))
    page.keyboard.press("t")
    known = lambda: len(db.versions.rounds.answers(project.store)) == 2  # noqa: E731
    until(known, "the answers count for nothing")
    assert {name for name, _ in db.versions.rounds.answers(project.store)} <= set(bandit.PRIORS)
    # One of a 0 and a 10 contradicts the prediction, whatever its side; both are kept.
    assert [db.scores.hand_scores.history(project.store, i)[-1].value for i in answered] == [0, 10]


def test_after_eight_answers_cards_out_of_sight_are_dealt_anew(
    page: Page, app: App, project: Project
) -> None:
    page.set_viewport_size({"width": 900, "height": 500})
    page.goto(f"{app.url}/review")
    card(page).wait_for()
    before = shown_ids(page)
    in_sight = before[:2]
    handled = []
    with page.expect_response(
        lambda answer: (
            "/api/review?" in answer.url and "shown=" in answer.url and "ahead" not in answer.url
        )
    ):
        for _ in range(8):
            handled.append(focused(page))
            page.keyboard.press("1")
    until(lambda: page.locator(".labeler.review").get_attribute("data-handled") == "8", "not 8")
    for image_id in handled:
        assert image_id not in shown_ids(page)
    left = [image_id for image_id in in_sight if image_id not in handled]
    assert set(left) <= set(shown_ids(page))
    assert len(shown_ids(page)) == len(set(shown_ids(page)))
    kept = lambda: all(db.scores.hand_scores.history(project.store, i) for i in handled)  # noqa: E731
    until(kept, "an answer is missing")
