"""A file of scores is uploaded, looked at and taken in the browser, without a place on the disk."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

import db.scores.hand_scores
from labeler.core.project import Project
from tests.support.collection import make_collection
from tests.support.live import App

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_collection(tmp_path_factory.mktemp("file"), images=6, scored=2)


def test_an_export_of_label_studio_is_uploaded(page: Page, app: App, project: Project) -> None:
    result = {"from_name": "score", "type": "number", "value": {"number": 0}}
    task = {
        "id": 1,
        "data": {"image": "s3://bucket/picture 003.png"},
        "annotations": [{"completed_by": 4, "was_cancelled": False, "result": [result]}],
    }
    page.goto(app.url)
    page.get_by_text("Add pictures").first.click()
    page.get_by_text("Bring in scores from a file").click()
    page.locator("input[type=file]").set_input_files(
        {
            "name": "project-1.json",
            "mimeType": "application/json",
            "buffer": json.dumps([task]).encode(),
        }
    )
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("Would score 1 image")).to_be_visible()
    expect(page.get_by_text("by its file's name alone")).to_be_visible()
    assert len(db.scores.hand_scores.effective(project.store)[0]) == 2
    page.get_by_role("button", name="Take these scores").click()
    expect(page.get_by_text("Scored 1 image")).to_be_visible()
    [kept] = db.scores.hand_scores.history(project.store, 4)
    assert (kept.value, kept.scorer, kept.why) == (0.0, "annotator 4", "import")
