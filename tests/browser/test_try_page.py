"""The Try page in a real browser: dropped pictures get their scores from a process of its own,
what is no picture is said, and only a button takes them into the project."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import db.images.counts
import db.images.locations
import db.scores.events
from db.records import Event
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.embedding.embed import embed
from labeler.versions.train import train
from model.training.quick import Quick
from tests.support.live import App
from tests.support.pictures import noise_image
from tests.support.shades import draw_shades

pytestmark = pytest.mark.browser

PICTURES = 24
AT = datetime(2025, 3, 1, 12, tzinfo=UTC)
LONG = 180_000  # milliseconds: the encoder is loaded beside every other test


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Embedded by the encoder that needs no download, since the helper loads it, too."""
    folder = tmp_path_factory.mktemp("trying")
    project = Project.create(folder / "project", encoder="lite")
    paths = draw_shades(folder / "pictures", PICTURES)
    import_paths(project, [folder / "pictures"], workers=1)
    embed(project)
    ids = db.images.locations.ids_by_path(project.store)
    events = [
        Event(f"e{n}", "score", ids[str(path)], AT, value=float(round(n * 10 / PICTURES)))
        for n, path in enumerate(paths)
    ]
    db.scores.events.record(project.store, events)
    train(project, recipe=Quick(steps=12, features=8, hidden=64, folds=2))
    return project


def test_dropped_pictures_are_scored_and_only_added_when_asked(
    app: App, page: Page, project: Project, tmp_path: Path
) -> None:
    known = project.folder.parent / "pictures" / "shade 020.png"
    noise_image(77).save(tmp_path / "new.png")
    (tmp_path / "notes.png").write_bytes(b"no picture")
    page.goto(app.url)
    page.get_by_role("link", name="Try", exact=True).click()
    expect(page.get_by_role("heading", name="Try")).to_be_visible()
    drop = page.get_by_test_id("stFileUploaderDropzoneInput")
    drop.set_input_files([known, tmp_path / "new.png", tmp_path / "notes.png"])
    expect(page.get_by_text("Prediction by v1.0")).to_have_count(2, timeout=LONG)
    expect(page.get_by_text("The chance that it truly passes")).to_have_count(2)
    expect(page.get_by_text("Bracket ")).to_have_count(2)
    expect(page.get_by_text("In the project already")).to_have_count(1)
    expect(page.get_by_test_id("stAlertContentWarning")).to_have_count(1)
    expect(page.locator("button.tile").filter(has_text="100% alike")).to_have_count(1)
    assert not (project.folder / "added").exists()
    count = db.images.counts.by_state(project.store)["fine"]

    page.get_by_role("button", name="Add to the project").click()
    expect(page.get_by_text("In the project already")).to_have_count(2, timeout=LONG)
    assert db.images.counts.by_state(project.store)["fine"] == count + 1
    assert [file.name for file in (project.folder / "added").iterdir()] == ["new.png"]

    page.locator("button.tile").filter(has_text="100% alike").click()
    expect(page.get_by_role("heading", name="Explore")).to_be_visible()
    expect(page.get_by_role("heading", name="Image ")).to_be_visible()


def test_a_folder_is_filtered_as_a_run(app: App, page: Page, project: Project) -> None:
    page.goto(f"{app.url}/try")
    page.get_by_role("tab", name="A folder").click()
    folder = page.get_by_role("textbox", name="Folder with pictures")
    folder.fill("pictures")
    folder.press("Enter")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_text("is not a whole path")).to_be_visible()
    folder.fill(str(project.folder.parent / "pictures"))
    folder.press("Enter")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_text("images pass by v1.0")).to_be_visible(timeout=LONG)
    out = project.folder / "exports" / "filtered"
    rows = (out / "predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert 0 < len(rows) == len(list(out.glob("*.png")))


def test_explore_hands_out_a_contact_sheet(app: App, page: Page, tmp_path: Path) -> None:
    page.goto(f"{app.url}/explore")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Contact sheet").click()
    waiting.value.save_as(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_version_the_page_says_so(
    serve: Callable[[Path], App], page: Page, tmp_path: Path
) -> None:
    fresh = Project.create(tmp_path / "fresh", encoder="lite")
    draw_shades(tmp_path / "few", 2)
    import_paths(fresh, [tmp_path / "few"], workers=1)
    page.goto(f"{serve(fresh.folder).url}/try")
    expect(page.get_by_text("There is no version yet")).to_be_visible()
