"""The app at 100,000 images: start, keys, ten of them a second, memory, and beside other work.

Run: python benchmarks/app.py [--images N] [--project DIR]
    [--only start,keys,soak,memory,train,import]

`labeler app` on a free port, headless Chromium, previews of 1024 pixels. It makes its own project
(two minutes); `--project` keeps it there, and uses it again. The start is timed from the process's
own to the first picture painted, the browser being open; keys from the event's own time stamp. All
scores pressed are looked for in the store afterwards. Beside work: the app while trainings, and
imports that embed and predict, started as the app starts them, run on all cores in this project.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from large_project import content_hash, make_large  # noqa: E402
from measuring import machine, table  # noqa: E402
from page_clock import WATCH, opened, paced, pressed  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

import db.jobs  # noqa: E402
import db.scores.hand_scores  # noqa: E402
from labeler.core.jobs.runner import start_run  # noqa: E402
from labeler.core.project import Project, preview_path  # noqa: E402
from model.encoders.load import load_encoder  # noqa: E402
from tests.support.browsers import QUIET, browser_path  # noqa: E402
from tests.support.live import App  # noqa: E402

PARTS = ("start", "keys", "soak", "memory", "train", "import")
MASTERS = 64
WARM_UP = 20
PAUSE = 0.1  # seconds between keys beside work
MOST_KEYS = 3000  # beside one run: none takes so long
NEW = 300  # pictures in an import
WIDTH = 1280  # of `lite`, the encoder that needs no download
Row = tuple[str, str, str]


def draw(path: Path, size: tuple[int, int], generator: np.random.Generator) -> None:
    """Soft shapes and some grain: they decode as slowly as photos do."""
    coarse = generator.integers(0, 255, (10, 13, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    grain = Image.effect_noise(size, 24).convert("RGB").filter(ImageFilter.BoxBlur(1))
    Image.blend(picture, grain, 0.2).save(path, quality=88, subsampling=0)


def add_previews(project: Project, images: int) -> None:
    """A few pictures under many names: each is still fetched and decoded by itself."""
    generator = np.random.default_rng(3)
    masters = [project.previews / f"master-{number}.jpg" for number in range(MASTERS)]
    for master in masters:
        draw(master, (1024, 768), generator)
    for image_id in range(1, images + 1):
        path = preview_path(project, content_hash(image_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(masters[image_id % MASTERS], path)


def prepare(folder: Path, images: int) -> None:
    if not folder.exists():
        project = make_large(folder, images, 3000, WIDTH)
        add_previews(project, images)
        take_for_real(project)
        project.close()


def take_for_real(project: Project) -> None:
    """Let the made-up embeddings pass for the encoder's, so that it may add its own to them."""
    with project.store.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE encoders SET preprocessing = ?",
            (json.dumps(load_encoder(project.encoder).preprocessing),),
        )


@contextmanager
def served(folder: Path, browser: Browser, logs: Path) -> Iterator[tuple[App, Page, float]]:
    """The app on a fresh page of the browser, and how long, in seconds, its start took."""
    app = App(folder, logs)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(WATCH)
    page.goto("about:blank")
    began = time.time()
    app.start(ours=True, wait=False)
    try:
        yield app, page, opened(page, app.url) - began
    finally:
        page.close()
        app.kill()


def spread(times: Sequence[float]) -> str:
    p95 = statistics.quantiles(times, n=20)[-1]
    return f"{statistics.median(times):.0f} / {p95:.0f} / {max(times):.0f}"


def starts(folder: Path, browser: Browser, logs: Path, repeats: int) -> list[Row]:
    found = []
    for _ in range(repeats):
        with served(folder, browser, logs) as (_, _, seconds):
            found.append(seconds)
    told = f"{statistics.median(found):.1f} (best {min(found):.1f}, worst {max(found):.1f})"
    return [("process start → first picture painted, s", told, "≤ 3")]


def keys(folder: Path, browser: Browser, logs: Path, count: int) -> list[Row]:
    with served(folder, browser, logs) as (_, page, _):
        first = pressed(page, WARM_UP)
        times = pressed(page, count)
    return [
        (f"key → next picture, first {WARM_UP} keys, ms", spread(first), ""),
        (f"key → next picture, {count} keys, median / p95 / longest, ms", spread(times), "30 / 75"),
    ]


def soak(folder: Path, browser: Browser, logs: Path, seconds: int) -> list[Row]:
    project = Project.open(folder)
    with served(folder, browser, logs) as (_, page, _):
        pressed(page, WARM_UP)
        presses, times, longest = paced(page, seconds, 10)
        page.locator(".saving[data-unsaved='0']").wait_for()
    kept = [db.scores.hand_scores.history(project.store, image_id) for _, image_id, _ in presses]
    right = sum(
        len(history) == 1 and history[0].value == float(key)
        for history, (key, _, _) in zip(kept, presses, strict=True)
    )
    least = min(int(ready) for _, _, ready in presses)
    project.close()
    return [
        (
            f"10 keys a second for {seconds} s: on the right picture, once",
            f"{right} of {len(presses)}",
            "all",
        ),
        ("the same: key → next picture, ms", spread(times), "30 / 75"),
        ("the same: longest time without a new picture, ms", f"{longest:.0f}", "no stall"),
        ("the same: fewest pictures ready ahead", str(least), "> 0"),
    ]


def memory(folder: Path, browser: Browser, logs: Path, count: int) -> list[Row]:
    rows: list[Row] = []
    with served(folder, browser, logs) as (app, page, _):
        assert app.process is not None
        pressed(page, count // 10)
        time.sleep(5)  # what is read ahead for the Review page is in memory then
        server, heap = resident(app.process.pid), heap_of(page)
        for done in (count // 2, count):
            pressed(page, done - int(page.evaluate("clock.presses.length")))
            told = f"{resident(app.process.pid) - server:+.0f}, {heap_of(page) - heap:+.1f}"
            rows.append((f"server, page after {done:,} scored pictures, MB", told, "flat"))
    return [
        (f"server, page after {count // 10} pictures, MB", f"{server:.0f}, {heap:.1f}", ""),
        *rows,
    ]


def resident(pid: int) -> float:
    """Memory of a process in MB, without the parts of files that are mapped into it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def heap_of(page: Page) -> float:
    client = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    return float(client.send("Runtime.getHeapUsage")["usedSize"]) / 2**20


def busy(
    kind: str, params: Callable[[Path], dict[str, Any]]
) -> Callable[[Path, Browser, Path, int], list[Row]]:
    """Keys while runs of a kind follow each other, in processes of their own as the app's."""

    def measure(folder: Path, browser: Browser, logs: Path, count: int) -> list[Row]:
        runs = 0
        times: list[float] = []
        project = Project.open(folder)
        with served(folder, browser, logs) as (_, page, _):
            pressed(page, WARM_UP)
            time.sleep(5)  # what is read ahead is in memory then
            while len(times) < count:
                run = start_run(project, kind, params(logs.parent))
                runs += 1
                times += pressed(page, MOST_KEYS, PAUSE, until=ended(project, run.id))
        project.close()
        told = f"key → next picture during {kind}, {len(times)} keys in {runs} runs, ms"
        return [(told, spread(times), "p95 ≤ 100")]

    return measure


def recipe(_scratch: Path) -> dict[str, Any]:
    return {"recipe": "quick"}


def new_pictures(scratch: Path) -> dict[str, Any]:
    """A folder to import, which embeds and predicts what is in it: so many files of one picture."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    draw(folder / "0.jpg", (2000, 1500), np.random.default_rng())
    picture = (folder / "0.jpg").read_bytes()
    for k in range(1, NEW):
        # What follows a picture's end is not looked at, but makes it another file.
        (folder / f"{k}.jpg").write_bytes(picture + str(k).encode())
    return {"paths": [str(folder)]}


def ended(project: Project, run_id: int) -> Callable[[], bool]:
    """Whether it is through; raises `RuntimeError` if it is not done then."""

    def look() -> bool:
        run = db.jobs.get(project.store, run_id)
        if run is None or run.state in ("failed", "stopped"):
            raise RuntimeError(f"Run {run_id} did not end well: {run and run.message}")
        return run.state == "done"

    return look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--project", type=Path, help="Made there, or made there by an earlier run.")
    parser.add_argument("--only", default=",".join(PARTS), help="Parts, with commas between them.")
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--memory", type=int, default=2000, help="Pictures scored for it.")
    parser.add_argument("--repeats", type=int, default=5, help="Starts.")
    options = parser.parse_args()
    wanted = options.only.split(",")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder, logs = options.project or Path(scratch) / "project", Path(scratch) / "log.txt"
        prepare(folder, options.images)
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(QUIET))
        print(f"{machine()}\n{options.images:,} images\n", flush=True)
        rows: list[Row] = []
        for part, work, size in (
            ("start", starts, options.repeats),
            ("keys", keys, options.keys),
            ("soak", soak, options.seconds),
            ("memory", memory, options.memory),
            ("train", busy("train", recipe), options.keys),
            ("import", busy("import", new_pictures), options.keys),
        ):
            if part in wanted:
                rows += work(folder, browser, logs, size)
        print(table(("what", "measured", "target"), rows))
        browser.close()


if __name__ == "__main__":
    main()
