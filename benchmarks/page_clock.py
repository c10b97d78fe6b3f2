"""Stopwatches in the browser: when the Score page's first picture is painted, and each next one."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page

# A picture counts as painted when it is the visible one, decoded, and two frames have passed: the
# one in which it is painted is then over.
WATCH = """
(() => {
  let stage = null;
  const find = () => {
    if (stage?.isConnected) return stage;
    const roots = [...document.querySelectorAll('*')].map((node) => node.shadowRoot);
    return (stage = roots.map((root) => root?.querySelector('.labeler.score')).find(Boolean));
  };
  const shown = () => find()?.querySelector('.stage img.current') ?? null;
  const frames = () =>
    new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const painted = (then) =>
    Promise.all([shown().decode(), frames()]).then(() => then(performance.now()));
  const idOf = (image) => image && Number(new URL(image.src).pathname.split('/')[2]);
  const clock = (window.clock = { first: null, presses: [], times: [] });
  clock.ready = () => Number(find()?.dataset.ready ?? 0);
  const wait = () => (shown()?.complete && find().dataset.state === 'ready'
    ? painted((now) => (clock.first = performance.timeOrigin + now)) : setTimeout(wait, 4));
  wait();
  let before = null;
  addEventListener('keydown', () => (before = shown()), true); // ahead of the page
  addEventListener('keydown', (event) => { // behind it
    const from = before;
    clock.presses.push([event.key, idOf(from), find()?.dataset.ready]);
    const look = () => {
      if (!shown() || shown() === from || !shown().complete) return requestAnimationFrame(look);
      return painted((now) => clock.times.push([now - event.timeStamp, now]));
    };
    look();
  });
})();
"""


def opened(page: Page, url: str) -> float:
    """Open the Score page; the moment (Unix time) at which its first picture was painted."""
    page.goto(url, wait_until="commit")
    page.wait_for_function("window.clock?.first")
    return float(page.evaluate("clock.first")) / 1000


def pressed(
    page: Page, keys: int, pause: float = 0.0, until: Callable[[], bool] | None = None
) -> list[float]:
    """Milliseconds from each of `keys` presses to the next picture, a person who looks at each.

    There is always a picture ready to be shown, and `pause` seconds are looked at each. `until`
    tells when it is enough, whatever the number.
    """
    start = int(page.evaluate("clock.times.length"))
    for number in range(keys):
        if until is not None and until():
            break
        page.wait_for_function("clock.ready() > 8")
        began = time.perf_counter()
        page.keyboard.press(str(number % 10))
        page.wait_for_function("(count) => clock.times.length === count", arg=start + number + 1)
        time.sleep(max(0.0, pause - (time.perf_counter() - began)))
    return [float(took) for took, _ in page.evaluate("clock.times")[start:]]


def paced(page: Page, seconds: float, rate: float) -> tuple[list[Any], list[float], float]:
    """`rate` presses a second for so long, whether the page keeps up or not.

    The presses [key, id of the picture that was visible], milliseconds from press to next picture,
    and the longest time, in milliseconds, in which no new picture came.
    """
    start = int(page.evaluate("clock.presses.length"))
    began = time.perf_counter()
    for number in range(round(seconds * rate)):
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        page.keyboard.press(str(number % 10))
    time.sleep(1.0)
    presses = page.evaluate("clock.presses")[start:]
    times = page.evaluate("clock.times")[start:]
    moments = [at for _, at in times]
    longest = max(b - a for a, b in pairwise(moments))
    return presses, [float(took) for took, _ in times], longest
