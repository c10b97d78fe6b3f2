"""Protects tasks for Label Studio: everybody's score as a Number (0 survives), the prediction with
its version, and a config whose names the results use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import pytest
from exported import UNICODE, images, make_exported, score

from labeler.exports.kinds import export
from labeler.exports.plan import Plan
from labeler.project import Project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_exported(folder).close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(made / "taste", tmp_path / "taste")
    project = Project.open(tmp_path / "taste")
    yield project
    project.close()


def tasks(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "tasks.json").read_text(encoding="utf-8"))


def numbers(task: dict[str, Any]) -> dict[str, float]:
    """Who gave which number, as an importer reads the annotations that are not cancelled."""
    found = {}
    for annotation in task["annotations"]:
        [result] = annotation["result"]
        assert not annotation["was_cancelled"]
        assert (result["from_name"], result["to_name"], result["type"]) == (
            "score",
            "image",
            "number",
        )
        who = task["data"]["scorers"][str(annotation["completed_by"])]
        found[who] = result["value"]["number"]
    return found


def test_each_scorer_is_an_annotation_and_0_and_fractions_survive(
    project: Project, tmp_path: Path
) -> None:
    done = export(project, "label-studio", tmp_path / "out", Plan())
    found = tasks(tmp_path / "out")
    assert done.images == len(found) == 33
    assert numbers(found[0]) == {"ann": 0, "ben": 9}
    assert numbers(found[3]) == {"ann": 3}  # what ben took back is no annotation
    assert numbers(found[11]) == {"ann": 0}
    assert numbers(found[10]) == {"ann": 10}
    assert numbers(found[23]) == {"ann": 4.5}
    assert found[24]["annotations"] == []
    by_number = {
        (annotation["completed_by"], task["data"]["scorers"][str(annotation["completed_by"])])
        for task in found
        for annotation in task["annotations"]
    }
    assert len(by_number) == 2  # the same number for the same person in every task
    assert any("ann" in note and "ben" in note for note in done.notes)


def test_predictions_name_their_version(project: Project, tmp_path: Path) -> None:
    export(project, "label-studio", tmp_path / "out", Plan())
    for task in tasks(tmp_path / "out"):
        [prediction] = task["predictions"]
        assert prediction["model_version"] == "v1.0"
        assert 0 <= prediction["score"] <= 1
        [result] = prediction["result"]
        assert result["value"]["number"] == pytest.approx(10 * prediction["score"], abs=0.006)


def test_the_config_has_the_tags_that_the_results_name(project: Project, tmp_path: Path) -> None:
    export(project, "label-studio", tmp_path / "out", Plan())
    config = ElementTree.parse(tmp_path / "out" / "config.xml").getroot()
    number, image = config.find("Number"), config.find("Image")
    assert (number.get("name"), number.get("toName")) == ("score", "image")
    assert (number.get("min"), number.get("max")) == ("0", "10")
    assert (image.get("name"), image.get("value")) == ("image", "$image")


def test_the_address_of_an_image_gives_its_path_back(project: Project, tmp_path: Path) -> None:
    export(project, "label-studio", tmp_path / "out", Plan())
    found = tasks(tmp_path / "out")
    for task, image in zip(found, images(project), strict=True):
        start, _, named = task["data"]["image"].partition("?d=")
        assert start == "/data/local-files/"
        assert os.fsdecode(b"/" + unquote_to_bytes(named)) == image.path == task["data"]["path"]
        assert task["data"]["image"].isascii()
    assert any(task["data"]["path"].endswith(UNICODE) for task in found)
    elsewhere = Plan(image_url="https://pictures.example/")
    export(project, "label-studio", tmp_path / "other", elsewhere)
    assert tasks(tmp_path / "other")[0]["data"]["image"].startswith("https://pictures.example/")


def test_a_nameless_scorer_is_one_person(project: Project, tmp_path: Path) -> None:
    score(project, [(images(project)[30].id, 6)], None)
    export(project, "label-studio", tmp_path / "out", Plan(scored_only=True))
    assert numbers(tasks(tmp_path / "out")[-1]) == {None: 6}
