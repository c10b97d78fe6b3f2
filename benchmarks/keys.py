"""Key press → next image painted on the Score page, in milliseconds: median and 95th percentile.

Run: python benchmarks/keys.py [KEYS]. A real server, headless Chromium and 1024-pixel previews. The
clock runs from the key event's own time stamp until two animation frames after the next picture,
fully decoded, has become the visible one: the frame in which it is painted is then over.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser"), str(ROOT / "tests")]

from conftest import QUIET, browser_path  # noqa: E402
from live import App, until  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from labeler.importing import import_paths  # noqa: E402
from labeler.project import Project  # noqa: E402

WARM_UP = 10
MEASURE = """
const nodes = [...document.querySelectorAll('*')];
const stage = nodes.map((node) => node.shadowRoot?.querySelector('.stage')).find(Boolean);
const shown = () => stage.querySelector('img.current');
window.times = [];
let before = null;
window.addEventListener('keydown', () => (before = shown()), true); // ahead of the page
window.addEventListener('keydown', (event) => { // behind it
  const look = () => {
    if (shown() === before || !shown()?.complete) return requestAnimationFrame(look);
    shown().decode().then(() => requestAnimationFrame(() => requestAnimationFrame(() =>
      window.times.push(performance.now() - event.timeStamp))));
  };
  look();
});
"""


def draw(folder: Path, count: int) -> None:
    """Pictures with soft shapes and some grain: they decode as slowly as photos do."""
    generator = np.random.default_rng(3)
    for number in range(count):
        coarse = generator.integers(0, 255, (10, 13, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((1300, 1000), Image.Resampling.BICUBIC)
        grain = Image.effect_noise(picture.size, 24).convert("RGB").filter(ImageFilter.BoxBlur(1))
        Image.blend(picture, grain, 0.2).save(folder / f"{number:04}.jpg", quality=90)


def measure(page: Page, url: str, keys: int) -> list[float]:
    page.goto(url)
    page.locator(".labeler.score[data-state=ready]").wait_for()
    page.evaluate(MEASURE)
    root = page.locator(".labeler.score")
    for number in range(keys):
        until(lambda: int(root.get_attribute("data-ready") or 0) > 8, "nothing is preloaded")
        page.keyboard.press(str(number % 10))
        page.wait_for_function("(count) => window.times.length === count", arg=number + 1)
    return [float(time) for time in page.evaluate("window.times")]


def main() -> None:
    keys = WARM_UP + (int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        pictures = Path(scratch) / "pictures"
        pictures.mkdir()
        draw(pictures, keys + 30)
        project = Project.create(Path(scratch) / "project", encoder="lite")
        import_paths(project, [pictures])
        app = App(project.folder, Path(scratch) / "log.txt")
        app.start()
        try:
            browser = playwright.chromium.launch(executable_path=browser_path(), args=list(QUIET))
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            times = measure(page, app.url, keys)[WARM_UP:]
            browser.close()
        finally:
            app.kill()
    p95 = statistics.quantiles(times, n=20)[-1]
    print(
        f"key → next image painted, {len(times)} keys: median {statistics.median(times):.0f} ms, ",
        end="",
    )
    print(f"p95 {p95:.0f} ms, longest {max(times):.0f} ms")


if __name__ == "__main__":
    main()
