"""The Backup part of the Export page writes a backup and checks the project, each as a run.

Protects that it is found where people look for it, and says what the commands say.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import db.jobs
from labeler.app.widgets.navigation import page_file
from labeler.core.jobs.runner import follow
from labeler.core.project import Project
from tests.support.collection import make_collection


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = make_collection(tmp_path, images=6, scored=4)
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    yield project
    project.close()


def opened() -> AppTest:
    page = AppTest.from_file(page_file("export"), default_timeout=30).run()
    assert not page.exception
    return page


def captions(page: AppTest) -> str:
    return "\n".join(each.value for each in page.caption)


def finished(project: Project, page: AppTest, kind: str) -> AppTest:
    run = db.jobs.latest(project.store, kind)
    assert run is not None
    follow(project, run.id)
    return page.run()


def test_a_backup_is_written_where_one_says(served: Project, tmp_path: Path) -> None:
    page = opened()
    assert "no backup of this project yet" in captions(page)
    assert page.text_input(key="backup-place").value.endswith(".tar")
    place = tmp_path / "there" / "mine.tar"
    page.text_input(key="backup-place").set_value(str(place)).run()
    page.button(key="start-backup").click().run()
    page = finished(served, page, "backup")
    assert any("To restore it" in each.value for each in page.info)
    assert tarfile.is_tarfile(place)
    assert "4 scored images" in captions(page)
    page.button(key="start-backup").click().run()
    page = finished(served, page, "backup")
    assert any("is there already" in each.value for each in page.error)


def test_a_place_that_is_no_whole_path_is_refused(served: Project) -> None:
    page = opened()
    page.text_input(key="backup-place").set_value("mine.tar").run()
    page.button(key="start-backup").click().run()
    assert any("not a whole path" in each.value for each in page.error)
    assert db.jobs.latest(served.store, "backup") is None


def test_the_project_is_checked(served: Project) -> None:
    page = opened()
    page.button(key="start-doctor").click().run()
    page = finished(served, page, "doctor")
    assert any("as it should be" in each.value for each in page.info)
