"""Protects the part of the Train page that takes somebody else's head: it checks the path, hands
all that was asked to a run, and says honestly by what such a version is judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import db.images.locations
import db.jobs
from db.records import Version
from labeler.cli.job_kinds import JOBS
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.versions.adopt import adopt
from tests.app.pages.test_pages import all_markdown, button, opened, watched, words_of_errors
from tests.support import published
from tests.support.collection import (
    add_unscored,
    add_version,
    give_scores,
    make_collection,
    score_at_random,
)

WIDTH = 8


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project with 40 embedded images, none scored, as the one that the app serves."""
    project = make_collection(tmp_path, images=40, scored=0)
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    yield project
    project.close()


def head_file(folder: Path) -> Path:
    module = published.drawn(published.laion_relu(WIDTH))
    return published.save(module, folder / "ava+logos.pth")


def added(project: Project) -> Version:
    file = head_file(project.folder.parent)
    return adopt(project, file, encoder=project.encoder, activate=True)


def test_a_path_is_checked_before_anything_is_started(served: Project, tmp_path: Path) -> None:
    page = opened("train")
    assert button(page, "Add the head").disabled
    page.text_input(key="head-file").set_value(str(tmp_path / "nothing.pth")).run()
    assert "There is nothing at" in page.warning[0].value
    page.text_input(key="head-file").set_value(str(tmp_path / "pictures")).run()
    assert "is a folder" in page.warning[0].value
    assert button(page, "Add the head").disabled
    page.text_input(key="head-file").set_value(str(head_file(tmp_path))).run()
    assert not page.warning
    assert not button(page, "Add the head").disabled
    page.number_input[0].set_value(4.0).run()
    assert "both ends" in page.warning[0].value
    assert button(page, "Add the head").disabled


def test_the_button_starts_a_run_with_all_that_was_asked(
    served: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")  # the run's process, which is not awaited
    page, file = opened("train"), head_file(tmp_path)
    page.text_input(key="head-file").set_value(str(file))
    page.number_input[0].set_value(0.0)
    page.number_input[1].set_value(10.0)
    page.checkbox[0].check().run()
    button(page, "Add the head").click().run()
    assert not page.exception
    run = db.jobs.latest(served.store, "adopt")
    assert run is not None
    assert run.params == {
        "path": str(file),
        "name": None,
        "scale": [0, 10],
        "label": None,
        "encoder": "lite",
        "activate": True,
    }


def test_while_it_is_added_the_page_shows_how_far_it_is(served: Project) -> None:
    run, _ = db.jobs.start(served.store, "adopt", {})
    db.jobs.heartbeat(served.store, run.id, 30, 40, "predicting")
    page = opened("train")
    assert "head-file" not in [each.key for each in page.text_input]
    assert {"kind": "adopt", "run": run.id} in watched(page)


def test_a_head_that_does_not_fit_is_told_on_the_page(served: Project, tmp_path: Path) -> None:
    run, _ = runner.begin(served, "adopt", {"path": str(head_file(tmp_path))})
    runner.work(served, run.id, JOBS)
    told = words_of_errors(opened("train"))
    assert "doesn't tell whose embeddings of 8 values it reads" in told


def test_without_hand_scores_it_has_no_figures_and_says_why(served: Project) -> None:
    version = added(served)
    page = opened("train")
    assert "trained on none of your scores" in all_markdown(page)
    figures, history = (frame.value for frame in page.dataframe[:2])
    assert set(figures[version.name]) == {"–"}
    assert history["trained on"].isna().all()
    assert history["Error"].tolist() == ["–"]


def test_with_hand_scores_its_figures_on_them_are_named_so(served: Project) -> None:
    version = added(served)
    give_scores(served, sorted(db.images.locations.ids_by_path(served.store).values())[:30])
    page = opened("train")
    chosen = next(each for each in page.expander if each.label == "On the images you chose")
    assert "(" in chosen.dataframe[0].value[version.name][0], "an interval"
    assert f"30 for {version.name}" in chosen.caption[0].value.replace("\\", "")
    assert button(page, "Train with").label == "Train with 30 scores"
    own = add_version(served, noise=0.02)
    page = opened("train")
    assert page.subheader[0].value.replace("\\", "") == f"{own.name} beside {version.name}"
    add_unscored(served, 90)
    score_at_random(served, 30, (own, 0.02), (version, 0.4))
    page = opened("train")
    assert "is **better** than" in all_markdown(page)
    page.selectbox[1].select(version.name).run()
    assert page.subheader[0].value.replace("\\", "") == f"{version.name} beside {own.name}"
    assert "is **worse** than" in all_markdown(page)


@pytest.mark.parametrize(
    "name", ["score", "review", "train", "progress", "explore", "try_it", "export"]
)
def test_every_page_works_with_it_alone(served: Project, name: str) -> None:
    added(served)
    assert not opened(name).error
