"""How soon a page of 40 review cards is there, with 100,000 images of which 3,000 are scored.

Run: python benchmarks/reviewing_page.py [--images N] [--width W] [--pages K]
    [--project DIR]

Makes its own project. First in the server's own code: the first page of a process, the next pages,
a page after scores have come in, and what the corrections would move. Then in headless Chromium:
from the click on a queue's tab until its cards are painted with their pictures decoded, and from
the key that lets the next page in until that is painted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from large_project import make_large  # noqa: E402
from measuring import machine  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from labeler.core.project import Project  # noqa: E402
from labeler.review.pages import ReviewPage, review_page  # noqa: E402
from labeler.review.what_if import warm_up, what_if  # noqa: E402
from labeler.scoring.events import record_events  # noqa: E402
from tests.support.browsers import QUIET, browser_path  # noqa: E402
from tests.support.live import App  # noqa: E402

QUEUES = ("false-positive", "false-negative", "hand-score")
CARDS = 40
ON_SCREEN = 80
LOOK_MS = 2500  # a person looks at a page at least as long
# Puts a stopwatch on the component: `painted(test)` resolves two frames after `test` holds.
STOPWATCH = """
() => {
let found = null;
const find = () => {
  if (found?.isConnected) return found;
  const nodes = [...document.querySelectorAll('*')];
  found = nodes.map((node) => node.shadowRoot?.querySelector('.labeler.review')).find(Boolean);
  return (found ??= document.querySelector('.labeler.review'));
};
Object.defineProperty(window, 'review', { get: find, configurable: true });
window.painted = (began, holds) => new Promise((done, fail) => {
  const look = () => {
    if (performance.now() - began > 20000) return fail(new Error('nothing was painted'));
    const cards = [...(review?.querySelectorAll('.card:not(.leaving)') ?? [])];
    const visible = cards.filter((card) => card.getBoundingClientRect().top < innerHeight);
    const pictures = visible.map((card) => card.querySelector('.frame img'));
    const there = holds(cards) && pictures.every((picture) => picture?.complete);
    if (!there) return requestAnimationFrame(look);
    Promise.all(pictures.map((picture) => picture.decode().catch(() => {}))).then(() =>
      requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))));
  };
  look();
});
}
"""
OPEN = """
() => {
  const links = [...document.querySelectorAll('a')];
  const link = links.find((each) => each.textContent.includes('Review'));
  const began = performance.now();
  link.click();
  return painted(began, (cards) => cards.length >= 40);
}
"""
CLICK = """
(queue) => {
  const tab = review.querySelector(`.tab[data-queue=${queue}]`);
  const began = performance.now();
  tab.click();
  return painted(began, (cards) => review.dataset.queue === queue && cards.length >= 40);
}
"""
NEXT = """
(key) => {
  const before = review.querySelectorAll('.card:not(.leaving)').length;
  const began = performance.now();
  document.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, composed: true }));
  return painted(began, (cards) => cards.length > before);
}
"""


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what came of it."""
    began = time.perf_counter()
    found = act()
    return 1000 * (time.perf_counter() - began), found


def told(what: str, times: list[float]) -> None:
    p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    print(
        f"{what:<44} p50 {statistics.median(times):4.0f} ms   p95 {p95:4.0f} ms   n {len(times)}",
        flush=True,
    )


def ids_of(page: ReviewPage) -> list[int]:
    return sorted(page.image_ids())


def scores(page: ReviewPage, count: int) -> list[dict[str, Any]]:
    return [
        {
            "event": uuid.uuid4().hex,
            "kind": "score",
            "image": card.image.id,
            "score": 2,
            "queue": card.queue,
            "prediction": card.prediction,
            "version": page.version,
        }
        for card in page.cards[:count]
    ]


def measure_server(project: Project, pages: int) -> None:
    def ask(queue: str, shown: list[int]) -> tuple[float, ReviewPage]:
        return timed(lambda: review_page(project, queue, limit=CARDS, exclude=shown))

    first, page = ask(QUEUES[0], [])
    told("server: first page of the process", [first])
    told("server: what is read beside it, once", [timed(partial(warm_up, project))[0]])
    nexts: list[float] = []
    for queue in QUEUES:
        shown: list[int] = []
        for _ in range(pages):
            took, page = ask(queue, shown)
            shown = (shown + ids_of(page))[-ON_SCREEN:]
            nexts.append(took)
    told("server: another page", nexts)
    after, moves = [], []
    for _ in range(pages):
        record_events(project, scores(page, 5))
        took, page = ask(QUEUES[0], [])
        after.append(took)
        moves.append(timed(partial(what_if, project, ids_of(page)))[0])
    told("server: a page after five scores", after)
    told("server: what the corrections would move", moves)


def measure_browser(page: Page, url: str, pages: int) -> None:
    opened = []
    for _ in range(pages):
        page.goto(url)  # the Score page
        page.locator(".labeler.score").wait_for()
        page.wait_for_timeout(LOOK_MS)
        page.evaluate(STOPWATCH)
        opened.append(page.evaluate(OPEN))
    told("browser: link to the page → 40 cards painted", opened)
    page.wait_for_timeout(LOOK_MS)
    looked, hurried = [], []
    for number in range(pages):
        page.wait_for_timeout(LOOK_MS)
        looked.append(page.evaluate(CLICK, QUEUES[1 - number % 2]))
        page.wait_for_timeout(LOOK_MS)
        page.keyboard.press("s")
        hurried.append(page.evaluate(CLICK, QUEUES[number % 2]))
        page.evaluate(CLICK, QUEUES[1 - number % 2])
    told("browser: tab → 40 cards painted, after a look", looked)
    told("browser: the same right after a key", hurried)
    root, nexts = page.locator(".labeler.review"), []
    for _ in range(pages):
        while int(root.get_attribute("data-cards") or 0) > 14:
            page.keyboard.press("s")
        page.wait_for_function("review.dataset.ready === 'true'")
        nexts.append(page.evaluate(NEXT, "s"))
    told("browser: key that ends a page → next painted", nexts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--scored", type=int, default=3000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--project", type=Path, help="A project made by an earlier run.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.project or Path(scratch) / "project"
        if not folder.exists():
            make_large(folder, options.images, options.scored, options.width).close()
        print(machine())
        print(f"{options.images:,} images, {options.scored:,} scored, width {options.width}")
        measure_server(Project.open(folder), options.pages)
        app = App(folder, Path(scratch) / "log.txt")
        app.start()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=browser_path(), args=list(QUIET)
                )
                page = browser.new_page(viewport={"width": 1400, "height": 950})
                measure_browser(page, app.url, options.pages)
                browser.close()
        finally:
            app.kill()


if __name__ == "__main__":
    main()
