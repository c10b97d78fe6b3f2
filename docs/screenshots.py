"""Regenerates the README's pictures from a fresh demo: `make screenshots`.

Plays a turn of the loop as a person would (scores, corrections by keys, a retraining), then takes
each page at 1280 × 800.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from labeler.cli.demo.demo import make_demo  # noqa: E402
from labeler.core.project import Project  # noqa: E402
from labeler.scoring.import_scores import import_scores  # noqa: E402
from labeler.versions.train import train  # noqa: E402
from tests.support.browsers import QUIET, browser_path  # noqa: E402
from tests.support.live import App  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 800}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--demo", type=Path, help="a demo project to use instead of a new one")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="taste-") as folder:
        demo = given.demo or Path(folder) / "demo-project"
        make_demo(demo).close()
        app = App(demo, Path(folder) / "app.log")
        app.start()
        try:
            take_all(app, demo)
        finally:
            app.kill()


def take_all(app: App, demo: Path) -> None:
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(QUIET))
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        open_page(page, app.url, ".labeler.score[data-ready]:not([data-ready='0'])")
        take(page, "score")
        open_page(page, f"{app.url}/review", ".card img")
        take(page, "review")
        retrain(demo)
        open_page(page, f"{app.url}/train", "canvas")
        take(page, "train")
        open_page(page, f"{app.url}/explore", ".labeler.grid img")
        take(page, "explore")
        open_page(page, f"{app.url}/export", "[data-testid=stDataFrame]")
        take(page, "export")
        browser.close()


def retrain(demo: Path) -> None:
    """v1.1 from what the rule says about every second picture."""
    with closing(Project.open(demo)) as project:
        lines = (demo / "scores-by-rule.csv").read_text(encoding="utf-8").splitlines()
        some = demo / "some-scores.csv"
        some.write_text("\n".join([lines[0], *lines[1::2]]) + "\n", encoding="utf-8")
        import_scores(project, some)
        some.unlink()
        train(project, note="Corrected what the queues showed.")


def open_page(page: Page, url: str, shown: str) -> None:
    page.goto(url)
    page.wait_for_selector(shown)
    page.wait_for_load_state("networkidle")


def take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
