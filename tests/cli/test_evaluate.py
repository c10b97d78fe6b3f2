"""The commands that say how it is going, as a script calls them.

Protects: audit, rounds, slices and tag by their promised flags, their JSON, and what they say where
there is nothing to say yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import db.images.locations
import db.images.tags
from labeler.cli.main import labeler
from labeler.core.project import Project
from tests.support.collection import add_version, make_collection
from tests.support.store_rows import tags_of_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images, all scored and so all in the sample, and two versions."""
    project = make_collection(tmp_path_factory.mktemp("progress"), images=60, scored=60)
    add_version(project, noise=0.3)
    add_version(project, noise=0.1)
    project.close()
    return project.folder


def call(folder: Path, *arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(labeler, ["--project", str(folder), *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def document(folder: Path, *arguments: str) -> Any:
    return json.loads(call(folder, *arguments, "--json").stdout)


def test_the_audit_tells_each_versions_shares(folder: Path) -> None:
    found = document(folder, "audit")
    assert (found["drawn"], found["waiting"], found["threshold"]) == (60, 0, 0.5)
    first, second = found["versions"]
    assert (first["version"], second["active"], second["judged"]) == ("v1.0", True, 60)
    share = second["false_positives"]["share"]
    assert share["low"] <= share["value"] <= share["high"]
    told = call(folder, "audit").stdout
    assert "Drawn at random: 60 scored images." in told
    assert "* v1.1" in told
    assert "of what passes" in told
    assert "the baseline" in told


def test_how_often_a_check_is_mixed_in_is_kept(folder: Path) -> None:
    assert "1 in 25 images" in call(folder, "audit", "--every", "25").stdout
    assert document(folder, "audit")["audit_every"] == 25
    assert "checks in other orders: none" in call(folder, "audit", "--every", "0").stdout
    assert "10 is usual" in call(folder, "audit", "--every", "-3", code=1).stderr


def test_without_rounds_there_is_only_the_advice(folder: Path) -> None:
    found = document(folder, "rounds")
    assert found["rounds"] == []
    assert found["advice"]["answer"] in ("no", "unclear")
    assert found["advice"]["sentence"] in call(folder, "rounds").stdout


def test_slices_by_source_and_by_tag(folder: Path) -> None:
    assert "n = 60" in call(folder, "slices").stdout
    found = document(folder, "slices", "--by", "source")
    assert (found["judged"], found["slices"][0]["name"]) == (60, "gradients")
    assert "No tag has" in call(folder, "slices", "--by", "tag").stdout
    call(folder, "slices", "--by", "colour", code=2)


def test_tags_are_taken_and_bad_lines_named(folder: Path) -> None:
    file = folder.parent / "tags.csv"
    file.write_text('path,tags\npictures/picture 000.png,"dark, small"\nnowhere.png,x\n')
    told = call(folder, "tag", file)
    assert "Tagged 1 image" in told.stdout
    assert "tags.csv, line 3" in told.stderr
    file.write_text("path,tags\nnowhere.png,x\n")
    assert "Nothing in" in call(folder, "tag", file, code=1).stderr


def test_an_import_takes_tags_too(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=3, scored=0)
    (tmp_path / "pictures" / "picture 001.txt").write_text("beside")
    file = tmp_path / "tags.csv"
    file.write_text("path,tag\npictures/picture 000.png,listed\n")
    told = call(project.folder, "import", tmp_path / "pictures", "--tags", file).stdout
    assert "Tagged 1 image from the text beside." in told
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    assert [tags_of_image(project.store, i) for i in ids] == [["listed"], ["beside"], []]
    project.close()


def test_an_empty_project_names_the_next_step(tmp_path: Path) -> None:
    Project.create(tmp_path / "empty", encoder="lite").close()
    assert "labeler train" in call(tmp_path / "empty", "audit").stdout
    assert "Train a version first" in call(tmp_path / "empty", "rounds").stdout
    assert "labeler train" in call(tmp_path / "empty", "slices", code=1).stderr
