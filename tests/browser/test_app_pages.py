"""The pages around scoring, in a real browser: the first run on a folder, choosing by click,
and downloads from disk."""

from __future__ import annotations

import csv
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import db.images.counts
import db.jobs
from labeler.collection.importing import import_paths
from labeler.core.jobs.heartbeat import Heartbeat
from labeler.core.project import Project
from tests.support.collection import add_version, draw_pictures, make_collection
from tests.support.live import PATIENCE, App, until

pytestmark = pytest.mark.browser

SOON = PATIENCE * 1000  # milliseconds, at most: the machine may be busy

HOSTILE = "![x](http:%2f%2fevil.example%2fa.png) <img src=http:evil.example>"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("explored")
    project = make_collection(folder, images=30, scored=25)
    draw_pictures(folder / HOSTILE, 2)  # The first is the same as the first of the others.
    import_paths(project, [folder / HOSTILE], source=HOSTILE, workers=1)
    add_version(project, noise=0.3, note="first")
    add_version(project, noise=0.05, note=HOSTILE)
    return project


def test_the_first_run_takes_a_folder_to_the_first_score(
    page: Page, serve: Callable[[Path], App], tmp_path: Path
) -> None:
    draw_pictures(tmp_path / "pictures", 8)
    (tmp_path / "pictures" / "broken.png").write_bytes(b"not a picture")
    target = tmp_path / "project"
    page.goto(serve(target).url)
    expect(page.get_by_role("heading", name="Teach a model your taste")).to_be_visible()
    folder = page.get_by_role("textbox", name="Folder with pictures")
    folder.fill(str(tmp_path / "pictures"))
    folder.press("Enter")
    expect(page.get_by_text("Found 9 files.")).to_be_visible()
    page.get_by_text("nothing to download").click()
    page.get_by_role("button", name="Import").click()
    until((target / "runs" / "1.log").is_file, "no import began")
    page.reload()  # The run goes on in a process of its own.
    # Which gives way to every other test.
    page.get_by_role("button", name="Start scoring", exact=True).click(timeout=180_000)
    expect(page.get_by_role("link", name="Review")).to_be_visible()
    expect(page.get_by_text("0 of 8 images scored")).to_be_visible()
    counts = db.images.counts.by_state(Project.open(target).store)
    assert counts == {"fine": 8, "unreadable": 1, "missing": 0}


def test_scoring_starts_while_an_import_runs_whenever_it_is_asked_for(
    page: Page, app: App, project: Project
) -> None:
    page.goto(f"{app.url}/start")
    expect(page.get_by_role("button", name="Import")).to_be_visible(timeout=SOON)
    run, _ = db.jobs.start(project.store, "import", {})
    with Heartbeat(project, run.id) as heart:
        heart.progress(3, 12, "importing")
        # An open form gives way to the import, by itself.
        expect(page.get_by_text("importing: 3 of 12")).to_be_visible(timeout=SOON)
        expect(page.get_by_role("button", name="Import")).to_be_hidden(timeout=SOON)
        for link in ("Train", "Review", "Add pictures") * 2:
            page.get_by_role("button", name="Start scoring meanwhile").click()
            page.locator(".labeler.score[data-state=ready]").wait_for()
            page.get_by_role("link", name=link).click()
            page.get_by_role("link", name="Add pictures").click()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Stopping")).to_be_disabled(timeout=SOON)
        until(lambda: db.jobs.get(project.store, run.id).stop_requested, "it was not asked to stop")
    db.jobs.finish(project.store, run.id, "stopped", "Stopped.")
    expect(page.get_by_role("button", name="Import")).to_be_visible(timeout=SOON)
    expect(page.get_by_text("Start the import again")).to_be_visible(timeout=SOON)


def test_a_clicked_image_tells_its_story_and_leads_to_its_neighbours(app: App, page: Page) -> None:
    page.goto(f"{app.url}/explore")
    expect(page.get_by_text("31 images", exact=True)).to_be_visible()
    tile = page.locator("button.tile").nth(2)
    image = tile.get_attribute("data-image")
    tile.click()
    expect(page.get_by_role("heading", name=f"Image {image}", exact=True)).to_be_visible()
    preview = page.get_by_role("img", name=f"Image {image}", exact=True)
    until(lambda: preview.evaluate("i => i.complete && i.naturalWidth"), "no preview")
    alike = page.locator("button.tile").filter(has_text="alike").last
    neighbour = alike.get_attribute("data-image")
    alike.click()
    expect(page.get_by_role("heading", name=f"Image {neighbour}", exact=True)).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("button", name="Close").click()
    expect(page.get_by_role("heading", name=f"Image {neighbour}", exact=True)).to_be_hidden()
    page.locator(f'button.tile[data-image="{neighbour}"]').click()
    expect(page.get_by_role("heading", name=f"Image {neighbour}", exact=True)).to_be_visible()


def test_the_dataset_is_downloaded_whole(app: App, page: Page, tmp_path: Path) -> None:
    page.goto(f"{app.url}/export")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download").first.click()
    waiting.value.save_as(tmp_path / "dataset.csv")
    with (tmp_path / "dataset.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 31
    assert [row["score"] for row in rows[:3]] == ["0", "1", "2"]
    assert {row["score"] for row in rows[25:]} == {""}
    assert {row["version"] for row in rows} == {"v1.1"}


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        ("dataset?format=csv", {"Sec-Fetch-Site": "cross-site"}, 403, "own pages"),
        ("dataset?format=csv", {"Host": "evil.example"}, 400, "host"),
        ("dataset?format=exe", {}, 404, "csv, parquet"),
        ("everything", {}, 404, "imagefolder"),
    ],
)
def test_a_download_that_may_not_be_is_refused(
    app: App, path: str, headers: dict[str, str], status: int, said: str
) -> None:
    request = urllib.request.Request(f"{app.url}/api/download/{path}", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    with refused.value as answer:
        assert answer.code == status
        assert said in answer.read().decode()
        assert not answer.headers["Content-Type"].startswith("text/html")
