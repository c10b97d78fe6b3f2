"""Protects tasks for Label Studio: everybody's score as a Number (0 survives), the prediction with
its version, and a config whose names the results use."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes
from xml.etree import ElementTree

import pytest

from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from tests.support.collection import draw_pictures
from tests.support.exported import UNICODE, images, make_exported, score


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
        assert "completed_by" not in annotation  # a server refuses whom it doesn't know
        found[result["meta"]["scorer"]] = result["value"]["number"]
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
    assert any("--completed-by" in note for note in done.notes)


def test_accounts_of_the_server_are_named_as_it_knows_them(
    project: Project, tmp_path: Path
) -> None:
    plan = Plan(completed_by="ann=3, ben@example.org")
    export(project, "label-studio", tmp_path / "out", plan)
    accounts = {
        annotation["result"][0]["meta"]["scorer"]: annotation["completed_by"]
        for task in tasks(tmp_path / "out")
        for annotation in task["annotations"]
    }
    assert accounts == {"ann": 3, "ben": {"email": "ben@example.org"}}
    for nonsense in ("ann=three", "ann=", "3,ben"):
        with pytest.raises(BadInput, match="no account"):
            export(project, "label-studio", tmp_path / "none", Plan(completed_by=nonsense))


def test_no_data_has_the_name_of_the_control(project: Project, tmp_path: Path) -> None:
    export(project, "label-studio", tmp_path / "out", Plan())
    [data] = [task["data"] for task in tasks(tmp_path / "out")[:1]]
    control = ElementTree.parse(tmp_path / "out" / "config.xml").getroot().find("Number")
    assert control.get("name") not in data
    assert data["hand_score"] in (0, 9)


def test_a_picture_in_an_archive_is_copied_to_where_a_server_can_show_it(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "pictures", 2)
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        for path in pictures:
            tar.add(path, path.name)
    project = Project.create(tmp_path / "taste", encoder="lite")
    import_paths(project, [tmp_path / "some.tar"], workers=1)
    for _ in range(2):
        done = export(project, "label-studio", tmp_path / "out", Plan())
    assert (done.images, done.made, done.there) == (2, 0, 2)
    shown = [
        Path("/" + unquote(task["data"]["image"].partition("?d=")[2]))
        for task in tasks(tmp_path / "out")
    ]
    assert {path.parent for path in shown} == {tmp_path / "out" / "images"}
    assert {path.read_bytes() for path in shown} == {path.read_bytes() for path in pictures}
    project.close()


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
    assert numbers(tasks(tmp_path / "out")[-1]) == {"": 6}
