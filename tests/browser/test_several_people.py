"""Two people in two browsers: each gets other pictures, keeps their own scores, and takes back only
what they did themselves; two tabs of one person are one person."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

import db.scores.hand_scores
from labeler.core.project import Project
from tests.support.collection import make_collection
from tests.support.live import PATIENCE, App
from tests.support.many_at_once import Given, lost_and_twice
from tests.support.score_page import (
    WATCH,
    current,
    kept,
    opened,
    press,
    seen,
    stored,
    unsaved,
    wait_ready,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_collection(tmp_path_factory.mktemp("several"), images=140, scored=0)
    made.set_repeat_every(0)  # no image is shown twice here
    return made


@pytest.fixture
def pages(browser: Browser, app: App) -> Iterator[dict[str, Page]]:
    """Each person's Score page, in a browser context of their own."""
    found = {}
    for name in ("ann", "ben"):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENCE * 1000)
        context.add_init_script(f"localStorage.setItem('labeler:scorer', '{name}'); {WATCH}")
        found[name] = opened(context.new_page(), app)
    yield found
    for page in found.values():
        page.context.close()


def test_each_gets_other_pictures_and_takes_back_their_own(
    pages: dict[str, Page], project: Project
) -> None:
    keys = {"ann": "37105", "ben": "26948"}
    for ann, ben in zip(*keys.values(), strict=True):
        press(pages["ann"], ann)
        press(pages["ben"], ben)
    scores = {name: seen(page, keys[name]) for name, page in pages.items()}
    assert not scores["ann"].keys() & scores["ben"].keys()
    assert kept(project, scores["ann"] | scores["ben"])
    given = [Given(who, i, value) for who, each in scores.items() for i, value in each.items()]
    assert lost_and_twice(project, given) == (0, 0)

    pages["ann"].reload()  # ben was the last to score
    wait_ready(pages["ann"])
    press(pages["ann"], "u")
    unsaved(pages["ann"], 0)
    last = list(scores["ann"])[-1]
    assert current(pages["ann"]) == last
    assert last not in stored(project)
    assert kept(project, scores["ben"])


def test_a_card_open_in_two_tabs_keeps_both_scores_and_undo_takes_one(
    pages: dict[str, Page], app: App, project: Project
) -> None:
    first, second = pages["ann"], opened(pages["ann"].context.new_page(), app)
    image_id = current(first)
    assert current(second) == image_id
    press(first, "3")
    assert kept(project, {image_id: 3.0})
    press(second, "8")
    assert kept(project, {image_id: 8.0})
    press(first, "u")
    unsaved(first, 0)
    history = db.scores.hand_scores.history(project.store, image_id)
    assert [(row.scorer, row.value, row.undone_at is None) for row in history[-2:]] == [
        ("ann", 3.0, False),
        ("ann", 8.0, True),
    ]
    assert stored(project)[image_id] == 8.0
