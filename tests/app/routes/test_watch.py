"""Protects what a page is told of what it waits for: how far a run is and that it has ended, that
another one has begun, that a picture is answered; and that a run can be stopped from a page.

No page's script runs again by itself meanwhile: that would take a click to another page back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

import db.jobs
from labeler.app.project import current_project
from labeler.app.routes.json_api import routes
from labeler.app.security.request_guards import guard_middleware
from labeler.app.widgets.navigation import page_file
from labeler.core.project import Project
from labeler.prediction.inference_worker.client import MAX_BYTES, inference_client
from tests.support.collection import copied, make_collection

HOST = "http://127.0.0.1:8501"
OURS = {"X-Labeler": "1", "Origin": HOST}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    make_collection(folder, images=5, scored=2).close()
    return folder / "project"


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made, tmp_path / "project")


@pytest.fixture
def client(project: Project) -> Iterator[TestClient]:
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1"]))
    with TestClient(app, base_url=HOST) as client:
        yield client


def told(client: TestClient, what: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/watch/{what}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_run_is_told_until_it_ends(client: TestClient, project: Project) -> None:
    run, _ = db.jobs.start(project.store, "import", {})
    curve = [{"step": 1, "train": 0.5}, {"step": 2, "train": 0.25}]
    db.jobs.heartbeat(project.store, run.id, 3, 12, "importing", curve=curve)
    seen = told(client, "run", kind="import", run=run.id)
    assert seen["title"] == "Importing"
    assert seen["line"] == "importing: 3 of 12, then embedding and predicting"
    assert (seen["share"], seen["fine"], seen["ended"]) == (0.25, 5, False)
    assert seen["curve"] == curve
    db.jobs.finish(project.store, run.id, "done", "Found 12.")
    assert told(client, "run", kind="import", run=run.id) == {"ended": True}


def test_another_run_of_the_kind_is_not_the_watched_one(
    client: TestClient, project: Project
) -> None:
    first, _ = db.jobs.start(project.store, "train", {})
    db.jobs.finish(project.store, first.id, "done")
    second, _ = db.jobs.start(project.store, "train", {})
    assert told(client, "run", kind="train", run=first.id) == {"ended": True}
    assert not told(client, "run", kind="train", run=second.id)["ended"]


def test_a_run_can_be_stopped_by_its_own_number(client: TestClient, project: Project) -> None:
    run, _ = db.jobs.start(project.store, "train", {})
    assert client.post(f"/api/runs/{run.id}/stop", json={}).status_code == 403  # no page of ours
    assert not db.jobs.get(project.store, run.id).stop_requested
    assert client.post(f"/api/runs/{run.id}/stop", json={}, headers=OURS).status_code == 200
    assert db.jobs.get(project.store, run.id).stop_requested
    assert told(client, "run", kind="train", run=run.id)["stopping"]
    assert client.post("/api/runs/99/stop", json={}, headers=OURS).status_code == 404


def test_the_form_hears_of_an_import_that_begins_elsewhere(
    client: TestClient, project: Project
) -> None:
    assert not told(client, "begun", after=0)["ended"]
    run, _ = db.jobs.start(project.store, "import", {})
    assert told(client, "begun", after=0)["ended"]
    db.jobs.finish(project.store, run.id, "done")
    assert told(client, "begun", after=0)["ended"], "it was over before anybody looked"
    assert not told(client, "begun", after=run.id)["ended"]


def test_whoever_waits_for_a_picture_hears_of_its_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = inference_client(current_project())

    def none_starts() -> None:
        raise OSError(12, "no memory")

    monkeypatch.setattr(asked, "_start", none_starts)
    before = asked.answered_count
    waiting = told(client, "trials", settled=before)
    assert (waiting["ended"], waiting["line"]) == (False, "Starting …")
    assert asked.submit("a.png", b"...", "v1.0").answered
    assert told(client, "trials", settled=before)["ended"]
    assert asked.submit("b.png", b"." * (MAX_BYTES + 1), "v1.0").answered  # without waiting


def test_a_project_that_can_be_read_again_is_told(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(client, "project")["ended"]
    project.store.close()
    away = project.folder.rename(project.folder.with_name("away"))
    assert client.get("/api/watch/project").status_code == 503
    away.rename(project.folder)
    assert told(client, "project")["ended"]


def test_a_page_waits_once_however_many_of_its_parts_can_not_be_read() -> None:
    def script() -> None:
        from unittest.mock import patch

        import streamlit as st

        from labeler.app.widgets import page_errors

        with patch.object(page_errors, "_can_be_read", lambda: False):
            for _ in range(3):
                with page_errors.show_errors():
                    raise OSError(28, "No space left on device")
        st.write("through")

    page = AppTest.from_function(script, default_timeout=30).run()
    assert not page.exception
    assert (len(page.error), len(page.get("bidi_component"))) == (3, 1)
    assert page.markdown[0].value == "through"


def test_what_is_no_run_is_refused(client: TestClient) -> None:
    assert client.get("/api/watch/run", params={"kind": "rm", "run": 1}).status_code == 400


@pytest.mark.parametrize("kind", ["import", "embed"])
def test_the_page_of_a_running_import_has_no_form(project: Project, kind: str) -> None:
    db.jobs.start(project.store, kind, {})
    page = AppTest.from_file(page_file("add_images"), default_timeout=30).run()
    assert not page.exception
    assert not page.text_input
