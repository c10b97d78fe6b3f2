"""Protects the ways in which a model leaves: each file where it was asked for, told what it is and
checked against the version, or nothing at all; and that what loads torch stays out of the pages.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

import db.images.embeddings
import db.images.locations
import db.versions.predictions
import db.versions.registry
from labeler.app.routes import downloads
from labeler.app.widgets.navigation import page_file
from labeler.cli.main import labeler
from labeler.core.errors import BadInput, LabelerError
from labeler.core.jobs import child_process
from labeler.core.project import Project
from labeler.exports.models.card_sections import written_sections
from labeler.exports.models.export import MODEL_KINDS, export_as, export_in_subprocess
from labeler.exports.models.target import shown_encoder
from model.errors import ModelError
from model.heads import onnx_export
from tests.support.collection import copied, make_collection
from tests.support.heads import add_version_of, spread_head


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project "empty", which has no version, and its copy "versioned", which has
    one with weights; these are copied, never changed.
    """
    folder = tmp_path_factory.mktemp("made")
    with closing(make_collection(folder, images=30, scored=22)) as project:
        project.folder.rename(folder / "empty")
    shutil.copytree(folder / "empty", folder / "versioned")
    with closing(Project.open(folder / "versioned")) as project:
        record = db.images.embeddings.encoder(project.store, "lite")
        assert record is not None
        ids = sorted(db.images.locations.ids_by_path(project.store).values())
        vectors = db.images.embeddings.get(project.store, record.id, ids)[1]
        add_version_of(project, spread_head(vectors), record)
    return folder


@pytest.fixture
def empty(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project without a version."""
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made / "empty", tmp_path / "project")


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The same with a version that has weights."""
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made / "versioned", tmp_path / "project")


def test_the_onnx_file_says_what_the_version_predicted(project: Project, tmp_path: Path) -> None:
    import onnxruntime

    project.set_threshold(0.6)
    [file] = export_as(project, "onnx", tmp_path / "out")
    assert file == tmp_path / "out" / "project-v1.0.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert told["name"] == "project"
    assert (told["version"], told["encoder"], told["threshold"]) == ("v1.0", "lite", "0.6")
    assert (told["normalised"], told["width"]) == ("false", "8")
    assert json.loads(told["preprocessing"]) == {"size": 224}
    version = db.versions.registry.active(project.store)
    assert version is not None
    made = db.versions.predictions.predictions(project.store, version.id)
    record = db.images.embeddings.encoder(project.store, "lite")
    assert record is not None
    _, vectors = db.images.embeddings.get(project.store, record.id, made.image_ids)
    (said,) = session.run(None, {"embedding": vectors})
    np.testing.assert_allclose(said[:, 0], made.scores, atol=1e-4)
    assert made.scores.std() > 0.1


def test_what_disagrees_is_not_written(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.onnx"
    file.write_bytes(b"an older one")
    monkeypatch.setattr(onnx_export, "AGREEMENT", -1)
    with pytest.raises(ModelError, match="was not written"):
        export_as(project, "onnx", file, force=True)
    assert file.read_bytes() == b"an older one"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.onnx", "project"]


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_without_a_version_nothing_is_written(empty: Project, tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadInput, match="labeler train"):
        export_as(empty, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["model", "onnx"])
def test_nothing_is_written_among_the_projects_own_models(project: Project, kind: str) -> None:
    before = {file: file.read_bytes() for file in project.models.iterdir()}
    with pytest.raises(BadInput, match="another folder"):
        export_as(project, kind, project.models)
    assert {file: file.read_bytes() for file in project.models.iterdir()} == before


def test_a_kind_that_is_not_there_is_named(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="onnx, python"):
        export_as(project, "pickle", tmp_path)


def test_a_checkpoint_is_told_without_its_folder() -> None:
    assert shown_encoder("lite") == "lite"
    openai = "open_clip:ViT-L-14-quickgelu/openai"
    assert shown_encoder(openai) == openai
    assert shown_encoder("open_clip:ViT-B-32//home/ann/w.pt") == "open_clip:ViT-B-32/w.pt"


@pytest.mark.parametrize(
    ("kind", "name", "files"),
    [
        ("model", "m.safetensors", ["m.config.json", "m.safetensors"]),
        ("onnx", "m.onnx", ["m.onnx"]),
        ("model-card", "m.md", ["m.md", "m-top.png"]),
    ],
)
def test_the_commands_name_what_they_wrote(
    project: Project, tmp_path: Path, kind: str, name: str, files: list[str]
) -> None:
    done = CliRunner().invoke(labeler, ["export", kind, str(tmp_path / "out" / name)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [f"Wrote {tmp_path / 'out' / file}" for file in files]
    assert all((tmp_path / "out" / file).stat().st_size for file in files)


def test_what_loads_torch_is_done_by_another_process(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(child_process, "run_command", lambda _, *words: asked.append(words))
    export_in_subprocess(project, "onnx", tmp_path / "out")
    export_in_subprocess(project, "model", tmp_path / "out", force=True)
    out = ("--", str(tmp_path / "out"))
    assert asked == [("export", "onnx", *out), ("export", "model", "--force", *out)]
    export_in_subprocess(project, "model-card", tmp_path / "out")
    assert len(asked) == 2
    assert (tmp_path / "out" / "model-card.md").is_file()


def test_another_process_says_why_it_could_not(empty: Project, tmp_path: Path) -> None:
    with pytest.raises(LabelerError, match="has no version yet"):
        child_process.run_command(empty, "export", "model", str(tmp_path / "out"))


def test_the_model_is_downloaded_in_each_form(project: Project) -> None:
    with TestClient(Starlette(routes=downloads.routes())) as client:
        for kind, ending in (("model", ".safetensors"), ("model-card", ".md")):
            answer = client.get(f"/api/download/{kind}")
            assert answer.status_code == 200, answer.text
            assert f"project-{kind}.zip" in answer.headers["content-disposition"]
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                assert [name for name in archive.namelist() if name.endswith(ending)]
        refused = client.get("/api/download/pickle")
        assert (refused.status_code, "model-card" in refused.text) == (404, True)


def opened(kind: str) -> AppTest:
    page = AppTest.from_file(page_file("export"), default_timeout=30).run()
    page.segmented_control(key="model-kind").set_value(kind).run()
    assert not page.exception
    return page


def test_the_page_offers_each_form_with_what_it_is_for(project: Project) -> None:
    for kind in MODEL_KINDS.values():
        page = opened(kind.name)
        assert kind.purpose in [each.value for each in page.markdown]
        assert page.text_input(key=f"folder-{kind.name}").value.endswith(f"exports/{kind.name}")


def test_the_page_keeps_the_persons_words_for_the_card(project: Project, tmp_path: Path) -> None:
    page = opened("model-card")
    assert any("# project v1.0" in each.value for each in page.markdown)
    page.text_area(key="prose-goals").set_value("For my **wall**.")
    next(each for each in page.button if each.label == "Keep").click().run()
    assert not page.exception
    assert written_sections(project)["goals"] == "For my **wall**."
    assert any("For my **wall**." in each.value for each in page.markdown)
    page.text_input(key="folder-model-card").set_value(str(tmp_path / "out"))
    page.button(key="write-model").click().run()
    assert not page.error
    assert "For my **wall**." in (tmp_path / "out" / "model-card.md").read_text(encoding="utf-8")
