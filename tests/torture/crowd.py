"""Several people in real browsers, pressing real keys at once, and how long each one waits.

Each has a browser context of their own, with their name in it. A person looks at every picture: the
next key comes when the next picture is painted and the time for looking is over, not before.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page_clock import WATCH
from playwright.async_api import Page, async_playwright

from tests.support.browsers import QUIET, browser_path
from tests.support.many_at_once import Given

PATIENCE_MS = 120_000

# Until every key so far has its next picture, and that one can be scored. Not by asking in every
# frame: the pages would be busy with nothing else.
SETTLED = """() => new Promise((done) => {
  const look = () => (clock.times.length >= clock.presses.length && clock.ready() > 0
    ? done() : setTimeout(look, 8));
  look();
})"""
SAVED = """() => {
  const roots = [...document.querySelectorAll('*')].map((node) => node.shadowRoot);
  return roots.some((root) => root?.querySelector(".saving[data-unsaved='0']"));
}"""


class Scored:
    """The scores of a person, as shown, and milliseconds from each key to the next picture."""

    def __init__(self, name: str, presses: Sequence[Any], times: Sequence[Any]) -> None:
        self.given = [Given(name, int(image_id), float(key)) for key, image_id, _ in presses]
        self.waits = [float(took) for took, _ in times]


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """`people` are their orders by their names; each gives `each` scores, one in `pause` seconds at
    most."""

    url: str
    project: str
    people: dict[str, str]
    each: int
    pause: float
    seed: int


def scored_together(crowd: Crowd) -> list[Scored]:
    """What they did, in the order of their names in `crowd`."""
    return in_a_loop(lambda: _scored(crowd))


async def _scored(crowd: Crowd) -> list[Scored]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path(), args=list(QUIET))
        pages = []
        for name, order in crowd.people.items():
            context = await browser.new_context(viewport={"width": 1280, "height": 800})
            context.set_default_timeout(PATIENCE_MS)
            await context.add_init_script(WATCH + _choices(crowd.project, name, order))
            pages.append(await context.new_page())
        await asyncio.gather(*(page.goto(crowd.url, wait_until="commit") for page in pages))
        for page in pages:
            await page.wait_for_function("window.clock?.first")
        keys = [random.Random(f"{crowd.seed} {name}") for name in crowd.people]
        await asyncio.gather(
            *(_press(page, key, crowd) for page, key in zip(pages, keys, strict=True))
        )
        found = []
        for name, page in zip(crowd.people, pages, strict=True):
            await page.wait_for_function(SAVED)
            presses, times = await page.evaluate("[clock.presses, clock.times]")
            found.append(Scored(name, presses, times))
        await browser.close()
    return found


def _choices(project: str, name: str, order: str) -> str:
    return (
        f"localStorage.setItem('labeler:scorer', '{name}');"
        f"localStorage.setItem('labeler:order:{project}', '{order}');"
    )


async def _press(page: Page, keys: random.Random, crowd: Crowd) -> None:
    pause = crowd.pause
    due = time.perf_counter() + keys.uniform(0, pause)  # not all in the same moment
    for _ in range(crowd.each):
        await page.evaluate(SETTLED)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due = max(due + pause, time.perf_counter() + pause / 2)
        await page.keyboard.press(str(keys.randrange(10)))
    await page.evaluate(SETTLED)


def in_a_loop(work: Callable[[], Any]) -> Any:
    """Run a coroutine in a thread of its own: pytest's may have a loop of Playwright's already."""
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(asyncio.run(_caught(work))))
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


async def _caught(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return await work(), None
    except Exception as error:
        return None, error


@contextmanager
def busy_share() -> Iterator[list[float]]:
    """Which share of all cores was at work meanwhile, 0–1: put into the list at the end."""
    found: list[float] = []
    before = _jiffies()
    yield found
    idle, all_of_it = (b - a for a, b in zip(before, _jiffies(), strict=True))
    found.append(1 - idle / max(1, all_of_it))


def _jiffies() -> tuple[int, int]:
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:  # another system: nothing is told
        return 0, 0
    numbers = [int(field) for field in fields[:8]]
    return numbers[3] + numbers[4], sum(numbers)
