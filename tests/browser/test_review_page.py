"""What was done with a card of the Review page is recorded on its image and can be taken back."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import db.images.embeddings
import db.images.lookup
import db.scores.hand_scores
import db.versions.rounds
from db.records import HandScore
from labeler.core.project import Project
from tests.support.browsers import Window
from tests.support.collection import add_version, make_collection
from tests.support.live import PATIENCE, App, until

pytestmark = pytest.mark.browser
IMAGES, SCORED = 240, 60
SOON = PATIENCE * 1000  # milliseconds, at most: the machine may be busy


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_collection(tmp_path_factory.mktemp("review"), images=IMAGES, scored=SCORED)
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    # Nothing alike: every image may stand on a page with every other.
    vectors = np.random.default_rng(5).normal(size=(IMAGES, encoder.width)).astype(np.float32)
    db.images.embeddings.put(project.store, encoder.id, np.arange(1, IMAGES + 1), vectors)
    add_version(project, 0.2)
    return project


@pytest.fixture
def review_page(window: Window, app: App) -> Page:
    """At the first card of the queue, on the page that the test before has left."""
    page = window.page()
    if page.url == f"{app.url}/review":
        open_queue(page, "hand-score")
    else:
        page.goto(f"{app.url}/review")
        card(page).wait_for()
    open_queue(page, "false-positive")
    return page


def card(page: Page) -> Locator:
    """The focused card."""
    return page.locator(".labeler.review .card.focused:not(.leaving)")


def focused(page: Page) -> int:
    card(page).wait_for()
    return int(page.locator(".labeler.review").get_attribute("data-focused") or 0)


def open_queue(page: Page, queue: str) -> None:
    page.locator(f".tab[data-queue={queue}]").click()
    page.locator(f".labeler.review[data-queue={queue}]").wait_for()
    card(page).wait_for()


def latest(project: Project, image_id: int) -> HandScore | None:
    rows = [
        row
        for row in db.scores.hand_scores.history(project.store, image_id)
        if row.undone_at is None
    ]
    return rows[-1] if rows else None


def scored(project: Project, image_id: int, value: float, why: str) -> HandScore:
    def holds() -> HandScore | None:
        row = latest(project, image_id)
        return row if row is not None and (row.value, row.why) == (value, why) else None

    return until(holds, f"image {image_id} did not get {value} ({why})")


def test_a_digit_corrects_a_false_positive(review_page: Page, project: Project) -> None:
    image_id = focused(review_page)
    review_page.keyboard.press("2")
    row = scored(project, image_id, 2, "correction-false-positive")
    assert row.shown_version == "v1.0"
    assert row.shown_prediction is not None
    assert row.shown_prediction >= 0.5
    assert row.queue == "false-positive"
    assert focused(review_page) != image_id
    expect(review_page.locator(f".card[data-image='{image_id}']")).to_have_count(0)
    expect(review_page.locator(".round")).to_contain_text("1 corrected")


def test_enter_confirms_on_the_models_side(review_page: Page, project: Project) -> None:
    image_id = focused(review_page)
    review_page.keyboard.press("Enter")
    until(lambda: latest(project, image_id), "nothing was recorded")
    row = latest(project, image_id)
    assert row.why == "confirmation"
    assert row.value == max(5, int(row.shown_prediction * 10 + 0.5))
    assert (row.at_least, row.below) == (5, None)  # that it passes, and no number


def test_the_link_to_the_page_does_not_take_its_first_key(
    page: Page, app: App, project: Project
) -> None:
    page.goto(app.url)
    page.get_by_role("link", name="Review").click()
    image_id = focused(page)
    page.keyboard.press("Enter")
    until(lambda: latest(project, image_id), "nothing was recorded")
    assert latest(project, image_id).why == "confirmation"


def test_false_negatives_are_corrected_upwards(review_page: Page, project: Project) -> None:
    open_queue(review_page, "false-negative")
    image_id = focused(review_page)
    review_page.keyboard.press("8")
    scored(project, image_id, 8, "correction-false-negative")
    image_id = focused(review_page)
    review_page.keyboard.press("3")  # still fails: the model was right
    scored(project, image_id, 3, "confirmation")


def test_undo_brings_cards_back_and_takes_scores_back(review_page: Page, project: Project) -> None:
    first = focused(review_page)
    review_page.keyboard.press("1")
    second = focused(review_page)
    review_page.keyboard.press("Enter")
    until(lambda: latest(project, second), "nothing was recorded")
    review_page.keyboard.press("u")
    assert focused(review_page) == second
    review_page.keyboard.press("Backspace")
    assert focused(review_page) == first
    until(
        lambda: not latest(project, first) and not latest(project, second), "scores are still there"
    )
    assert db.images.lookup.get(project.store, first).hand_score is None


def test_undo_survives_a_reload(review_page: Page, project: Project) -> None:
    image_id = focused(review_page)
    review_page.keyboard.press("0")
    scored(project, image_id, 0, "correction-false-positive")
    review_page.reload()
    card(review_page).wait_for()
    review_page.keyboard.press("u")
    until(lambda: latest(project, image_id) is None, "the score is still there")
    review_page.locator(f".card.focused[data-image='{image_id}']").wait_for()


def test_a_skipped_card_leaves_without_a_score(review_page: Page, project: Project) -> None:
    image_id = focused(review_page)
    before = db.versions.rounds.history(project.store)[-1].skipped
    review_page.keyboard.press("s")
    until(
        lambda: db.versions.rounds.history(project.store)[-1].skipped == before + 1, "not skipped"
    )
    assert latest(project, image_id) is None
    review_page.reload()
    card(review_page).wait_for()
    expect(review_page.locator(f".card[data-image='{image_id}']")).to_have_count(0)


def test_hand_scores_can_be_kept_taken_or_set_anew(review_page: Page, project: Project) -> None:
    open_queue(review_page, "hand-score")
    image_id = focused(review_page)
    mine = db.images.lookup.get(project.store, image_id).hand_score
    review_page.keyboard.press("k")
    scored(project, image_id, mine, "confirmation")
    image_id = focused(review_page)
    mine = db.images.lookup.get(project.store, image_id).hand_score
    review_page.keyboard.press("Enter")
    until(lambda: latest(project, image_id).queue == "hand-score", "nothing was recorded")
    assert latest(project, image_id).why == "correction-hand-score"
    assert latest(project, image_id).value != mine


def test_arrows_choose_the_card_that_keys_mean(review_page: Page, project: Project) -> None:
    first = focused(review_page)
    review_page.keyboard.press("ArrowRight")
    review_page.keyboard.press("ArrowRight")
    review_page.keyboard.press("ArrowDown")
    review_page.keyboard.press("ArrowLeft")
    image_id = focused(review_page)
    assert image_id != first
    review_page.keyboard.press("t")
    scored(project, image_id, 10, "confirmation")
    assert latest(project, first) is None


def test_keys_mean_the_card_that_has_the_browsers_focus(
    review_page: Page, project: Project
) -> None:
    first = focused(review_page)
    ids = [int(c.get_attribute("data-image") or 0) for c in review_page.locator(".card").all()[:4]]
    third = review_page.locator(f".card[data-image='{ids[2]}']")
    # As by Tab: nothing is pressed, the focus alone comes to a button of another card.
    third.get_by_role("button", name="9", exact=True).focus()
    assert focused(review_page) == ids[2]
    review_page.keyboard.press("2")
    scored(project, ids[2], 2, "correction-false-positive")
    assert latest(project, first) is None
    # The next card has both, so that Enter is for it, and Tab goes on from it.
    assert focused(review_page) == ids[3]
    assert has_focus(review_page, ids[3])
    review_page.keyboard.press("ArrowLeft")
    assert focused(review_page) == ids[1]
    assert has_focus(review_page, ids[1])
    review_page.keyboard.press("Shift+Tab")  # to the last button of the card before
    assert focused(review_page) == first
    review_page.keyboard.press("Space")  # which is its own skip
    expect(review_page.locator(f".card[data-image='{first}']")).to_have_count(0, timeout=SOON)
    assert latest(project, first) is None
    assert latest(project, ids[1]) is None
    assert has_focus(review_page, ids[1])


def test_a_button_above_the_cards_keeps_the_focus_that_it_has(
    review_page: Page, project: Project
) -> None:
    handled = []
    for key in "01":
        handled.append(focused(review_page))
        review_page.keyboard.press(key)
    undo = review_page.get_by_role("button", name="undo")
    undo.focus()
    review_page.keyboard.press("Enter")
    assert focused(review_page) == handled[1]
    review_page.keyboard.press("Enter")  # takes the other one back, and confirms nothing
    assert focused(review_page) == handled[0]
    until(lambda: not any(latest(project, each) for each in handled), "a score is still there")
    review_page.keyboard.press("3")  # which is for the card, and takes the focus there
    scored(project, handled[0], 3, "correction-false-positive")
    assert has_focus(review_page, handled[1])


def test_a_card_that_another_tab_scores_leaves_here_too(
    review_page: Page, app: App, project: Project
) -> None:
    other = review_page.context.new_page()
    other.goto(f"{app.url}/review")
    card(other).wait_for()
    open_queue(other, "false-positive")
    image_id = focused(review_page)
    there = other.locator(f".card[data-image='{image_id}']")
    there.wait_for()
    review_page.keyboard.press("2")
    scored(project, image_id, 2, "correction-false-positive")
    expect(there).to_have_count(0, timeout=SOON)
    expect(other.locator(".news")).to_contain_text(
        "is scored 2 by now, in another window", timeout=SOON
    )
    assert has_focus(other, focused(other))
    other.close()


def has_focus(page: Page, image_id: int) -> bool:
    """Whether the browser's own focus is on this image's card, or on something in it."""
    card = page.locator(f".card[data-image='{image_id}']:not(.leaving)")
    return bool(card.evaluate("(card) => card.contains(card.getRootNode().activeElement)"))


def test_everything_can_be_clicked(review_page: Page, project: Project) -> None:
    cards = review_page.locator(".card")
    chosen = cards.nth(2)
    image_id = int(chosen.get_attribute("data-image") or 0)
    chosen.get_by_role("button", name="3", exact=True).click()
    scored(project, image_id, 3, "correction-false-positive")
    expect(review_page.locator(f".card[data-image='{image_id}']")).to_have_count(0)
    review_page.get_by_role("button", name="undo").click()
    until(lambda: latest(project, image_id) is None, "the score is still there")


def test_a_burst_handles_one_card_per_key_and_more_flow_in(
    review_page: Page, project: Project
) -> None:
    root = review_page.locator(".labeler.review")
    shown = [int(c.get_attribute("data-image") or 0) for c in review_page.locator(".card").all()]
    assert len(shown) == 40
    for number in range(30):
        review_page.keyboard.press(str(number % 5))
    for number, image_id in enumerate(shown[:30]):
        scored(project, image_id, float(number % 5), "correction-false-positive")
    until(lambda: int(root.get_attribute("data-cards") or 0) > 10, "no card flowed in")


def test_the_threshold_is_kept_and_divides_anew(review_page: Page, project: Project) -> None:
    slider = review_page.get_by_role("slider")
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    until(lambda: project.threshold == pytest.approx(0.54), "the threshold was not kept")
    review_page.locator(".labeler.review[data-threshold='0.54']").wait_for()
    image_id = focused(review_page)
    shown = review_page.locator(".card .prediction").all_text_contents()
    assert all(int(text.split()[0]) >= 54 for text in shown)
    review_page.keyboard.press("5")
    scored(project, image_id, 5, "correction-false-positive")
    project.set_threshold(0.5)
