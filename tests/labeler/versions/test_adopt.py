"""Protects adding somebody else's head: it says here what it says in its own program, must fit the
project's encoder, and leaves nothing behind where it does not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import db.images.embeddings
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.errors import StoreError
from db.records import Version
from labeler.cli.job_kinds import JOBS
from labeler.core.errors import BadInput, Stopped
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.versions.adopt import adopt, name_of
from labeler.versions.inference import score_embeddings
from model.errors import ModelError
from model.heads.head_files import load_head
from tests.support import published
from tests.support.collection import copied, give_scores
from tests.support.foreign_project import (
    B32,
    CITY,
    CLIP,
    IMAGES,
    LAION,
    SIGLIP,
    all_ids,
    call,
    expected,
    fill,
    make,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project and the heads; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


@pytest.fixture
def laion(project: Project, made: Path) -> Version:
    """The project's only version, somebody else's."""
    return adopt(project, made / LAION)


def test_it_is_active_and_has_predicted_all_images_as_its_own_program_would(
    project: Project, laion: Version
) -> None:
    assert (laion.name, laion.active, laion.is_foreign) == ("sac+logos+ava1-l14", True, True)
    made = db.versions.predictions.predictions(project.store, laion.id)
    assert made.image_ids.tolist() == all_ids(project)
    assert made.exceed is None
    np.testing.assert_allclose(made.scores, expected(), atol=1e-5)
    assert laion.settings["scale"] == [1, 10]
    assert laion.settings["normalise"] is True


def test_only_our_own_file_is_read_from_then_on(
    project: Project, made: Path, tmp_path: Path
) -> None:
    file = tmp_path / "head.pth"
    shutil.copy(made / LAION, file)
    version = adopt(project, file)
    file.unlink()
    x = published.embeddings(IMAGES)
    np.testing.assert_allclose(score_embeddings(project, version, x), expected(), atol=1e-5)
    assert load_file(project.models / "head.safetensors")
    told = json.loads((project.models / "head.config.json").read_text())
    assert told["arch"] == "foreign"
    assert told["model_params"]["scale"] == [1, 10]
    assert told["model_params"]["normalise"] is True
    assert told["labeler"]["encoder"] == CLIP


def test_another_scale_shows_it_otherwise(project: Project, made: Path) -> None:
    version = adopt(project, made / LAION, scale=(3, 8), note="stretched")
    made_by_it = db.versions.predictions.predictions(project.store, version.id).scores
    np.testing.assert_allclose(made_by_it, expected(3, 8), atol=1e-5)
    assert version.note == "stretched"


def test_it_becomes_active_only_where_none_is_or_it_is_said(
    project: Project, made: Path, laion: Version
) -> None:
    file = made / LAION
    assert not adopt(project, file, name="second").active
    shown = []

    def look(done: int, total: int, what: str) -> None:
        shown.append(db.versions.registry.active(project.store))

    assert adopt(project, file, name="third", activate=True, progress=look).active
    assert shown[0] == laion, "half of the predictions are shown"
    active = db.versions.registry.active(project.store)
    assert active is not None
    assert active.name == "third"


def test_the_encoder_must_be_the_projects(project: Project, made: Path) -> None:
    city = made / CITY
    with pytest.raises(BadInput, match=r"ViT-L-14-336.*labeler init DIR --encoder clip-l14-336"):
        adopt(project, city)
    version = adopt(project, city, encoder="clip-l14")
    assert version.name == "CityAesthetics-Anime-v1.8"
    assert load_head(project.models / version.file).arch == "score"
    with pytest.raises(BadInput, match=r"SigLIP-384/webli"):
        adopt(project, made / SIGLIP)
    with pytest.raises(BadInput, match=r"of 1152 values.* have 768"):
        adopt(project, made / SIGLIP, encoder="clip-l14")
    with pytest.raises(BadInput, match="doesn't tell whose embeddings of 512 values"):
        adopt(project, made / B32)
    with pytest.raises(BadInput, match="reads embeddings by lite"):
        adopt(project, made / B32, encoder="lite")
    with pytest.raises(ModelError, match="no encoder named"):
        adopt(project, made / B32, encoder="clip")
    assert len(db.versions.registry.history(project.store)) == 1
    assert len(list(project.models.iterdir())) == 2, "nothing is left of what was refused"


def test_one_that_normalises_reads_normalised_embeddings_too(made: Path, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "unit", encoder="clip-l14/normalised")
    raw = published.embeddings(IMAGES)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    fill(project, made / "pictures", unit, normalised=True)
    version = adopt(project, made / LAION)
    made_by_it = db.versions.predictions.predictions(project.store, version.id).scores
    np.testing.assert_allclose(made_by_it, expected(), atol=1e-5)
    with pytest.raises(BadInput, match="CityAesthetics-Anime"):
        adopt(project, made / CITY)
    project.close()


def test_before_the_images_are_embedded_it_says_what_to_do(tmp_path: Path, made: Path) -> None:
    empty = Project.create(tmp_path / "empty", encoder="clip-l14")
    with pytest.raises(BadInput, match="labeler embed"):
        adopt(empty, made / LAION)
    empty.close()


@pytest.mark.parametrize(
    "name", ["v2.0", "V2.0", "../x", "", "a/b", "_x", "x" * 51, "a b", "![x](y)"]
)
def test_a_name_that_can_be_no_versions_is_refused(project: Project, made: Path, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        adopt(project, made / LAION, name=name)
    assert not list(project.models.iterdir())


def test_a_name_that_is_taken_is_refused_and_nothing_is_overwritten(
    project: Project, made: Path, laion: Version
) -> None:
    before = (project.models / laion.file).read_bytes()
    city = made / CITY
    for name in (laion.name, laion.name.swapcase()):  # one file, on some disks
        with pytest.raises(BadInput, match="already; choose another with --name"):
            adopt(project, city, name=name, encoder="clip-l14")
    assert (project.models / laion.file).read_bytes() == before


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("sac+logos+ava1-l14-linearMSE.pth", "sac+logos+ava1-l14-linearMSE"),
        ("CityAesthetics-Anime-v1.8.safetensors", "CityAesthetics-Anime-v1.8"),
        ("my head (2).pth", "my-head-2-"),
        ("v1.3.safetensors", "head-v1.3"),
        ("![x](http:).pth", "x-http-"),
        ("好み.pth", "好み"),
        ("....pth", "head"),
        (f"{'x' * 90}.pth", "x" * 50),
    ],
)
def test_a_version_is_named_by_its_file(file: str, name: str) -> None:
    assert name_of(Path(file)) == name


def test_what_is_interrupted_goes_on_when_it_is_made_active(project: Project, made: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        adopt(project, made / LAION, name="slow", activate=False, progress=stop)
    version = db.versions.registry.by_name(project.store, "slow")
    assert version is not None
    assert not len(db.versions.predictions.predictions(project.store, version.id))
    call(project, "versions", "activate", "slow")
    assert len(db.versions.predictions.predictions(project.store, version.id)) == IMAGES


def test_the_commands_add_list_and_activate(project: Project, made: Path) -> None:
    give_scores(project, all_ids(project)[:30])
    file = made / LAION
    told = call(project, "versions", "add", file, "--scale", "0:10", "--note", "by LAION").stdout
    assert "its 0 to 10 are 0 to 10 here" in told
    assert "On your 30 hand scores, none of which it has seen" in told
    assert "  error: " in told
    assert " – " in told
    city = made / CITY
    added = call(
        project, "versions", "add", city, "--name", "city", "--encoder", "clip-l14", "--json"
    )
    document: dict[str, Any] = json.loads(added.stdout)
    assert (document["name"], document["active"], document["scored"]) == ("city", False, 0)
    assert document["judged_on"]["basis"] == "none"
    assert document["metrics_on_chosen_images"]["judged"] == 30
    listed = call(project, "versions").stdout.splitlines()
    assert listed[0].startswith("* sac+logos+ava1-l14  ")
    assert "not trained here, LAION improved-aesthetic-predictor  by LAION" in listed[0]
    assert listed[1].startswith("  city  ")
    call(project, "versions", "activate", "city")
    found = json.loads(call(project, "versions", "--json").stdout)
    assert [one["active"] for one in found] == [False, True]
    assert found[0]["metrics_on_chosen_images"]["mae"]["low"] is not None
    told = call(project, "versions", "activate", "nothing", code=1).stderr
    assert "There is no version nothing" in told
    assert "LOW:HIGH" in call(project, "versions", "add", file, "--scale", "9:1", code=2).stderr
    assert "is not there" in call(project, "versions", "add", "no.pth", code=1).stderr


def test_a_run_adds_it_in_the_background(project: Project, made: Path) -> None:
    params = {"path": str(made / LAION), "scale": [0, 10], "activate": True}
    run, _ = runner.begin(project, "adopt", params)
    ended = runner.work(project, run.id, JOBS)
    assert (ended.state, ended.message) == ("done", "Added sac+logos+ava1-l14.")
    assert ended.version == "sac+logos+ava1-l14"
    run, _ = runner.begin(project, "adopt", params)
    assert "already" in (runner.work(project, run.id, JOBS).message or "")


def test_a_version_row_that_can_not_be_kept_leaves_no_file(
    project: Project, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object, **_more: object) -> Version:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(db.versions.registry, "add", fail)
    with pytest.raises(StoreError):
        adopt(project, made / LAION)
    assert not list(project.models.iterdir())
