"""Pressing keys on the Score page, and what was on the screen when they were pressed."""

from __future__ import annotations

from playwright.sync_api import Page, expect

import db.scores.hand_scores
from labeler.core.project import Project
from tests.support.browsers import Window
from tests.support.live import App, until

# Hears a key before the page does, and notes it with the image that can be seen at that moment.
WATCH = """
window.seen = [];
window.addEventListener('keydown', (event) => {
  const roots = [...document.querySelectorAll('*')].map((node) => node.shadowRoot);
  const shown = roots.flatMap((root) => [...(root?.querySelectorAll('.stage img.current') ?? [])]);
  const id = shown.length === 1 ? Number(new URL(shown[0].src).pathname.split('/')[2]) : null;
  window.seen.push([event.key, id]);
}, true);
"""


def opened(page: Page, app: App, ready: int = 8) -> Page:
    page.goto(app.url)
    wait_ready(page, ready)
    return page


def going_on(window: Window, app: App) -> Page:
    """The Score page as the test before has left it: at its next picture, all saved, none noted.

    It says which keys mean which pictures, as `seen` tells them, from here on.
    """
    page = window.page()
    if not page.url.startswith(app.url):
        page.add_init_script(WATCH)
        return opened(page, app)
    order = page.get_by_label("Order of the images")
    if order.input_value() != "random":
        order.select_option("random")
    unsaved(page, 0)
    wait_ready(page, 8)
    page.evaluate("window.seen = []")
    return page


def wait_ready(page: Page, ready: int = 1) -> None:
    """The picture is there, and `ready` of those from it on can be shown at once."""
    page.locator(".labeler.score[data-state=ready]").wait_for()
    root = page.locator(".labeler.score")
    until(lambda: int(root.get_attribute("data-ready") or 0) >= ready, "nothing is preloaded")


def current(page: Page) -> int:
    return int(page.locator(".labeler.score").get_attribute("data-image") or 0)


def seen(page: Page, keys: str) -> dict[int, float]:
    """The score by image that the last `keys` pressed mean, from what was on the screen."""
    noted = page.evaluate("window.seen")[-len(keys) :]
    assert [key for key, _ in noted] == list(keys)
    scores = {image_id: 10.0 if key == "t" else float(key) for key, image_id in noted}
    assert len(scores) == len(keys), "two keys met the same image"
    return scores


def stored(project: Project) -> dict[int, float]:
    ids, values = db.scores.hand_scores.effective(project.store)
    return dict(zip(ids.tolist(), values.tolist(), strict=True))


def kept(project: Project, scores: dict[int, float]) -> bool:
    """Waits until the store holds exactly these scores for these images."""
    return until(
        lambda: scores.items() <= stored(project).items(),
        f"{scores} were shown as taken; the store has {stored(project)}",
    )


def unsaved(page: Page, count: int) -> None:
    expect(page.locator(".labeler.score .saving")).to_have_attribute("data-unsaved", str(count))


def press(page: Page, keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
