"""Protects what leaves the project but datasets: the model's pair of files, whole, and no file
replaced by another."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import db.versions.registry
from labeler.core.errors import BadInput
from labeler.core.files.atomic import atomic_write
from labeler.core.files.export_writer import ExportWriter
from labeler.core.project import Project
from labeler.exports.models.safetensors_pair import export_model
from model.heads.head import Head
from model.heads.head_files import save_head
from tests.support.collection import WIDTH, add_version, copied, make_collection


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 12 images, 11 of them scored 0 to 10, and a version; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    project = make_collection(folder, images=12, scored=11)
    add_version(project, noise=0.05)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


def keep_model(project: Project, name: str, seed: int) -> Head:
    """A head as the version's files; there is no training behind it."""
    torch.manual_seed(seed)
    head = Head(WIDTH, 16)
    save_head(project.models / f"{name}.safetensors", head, name="taste", rev=name)
    return head


def exported(project: Project, out: Path) -> list[Path]:
    return export_model(project, out, ExportWriter.of(project))


def first_layer(file: Path) -> torch.Tensor:
    return load_file(file)["up.0.weight"]


def test_the_model_of_the_active_version_is_written_as_a_pair(
    project: Project, tmp_path: Path
) -> None:
    head = keep_model(project, "v1.0", 1)
    into_folder = exported(project, tmp_path / "folder")
    named = exported(project, tmp_path / "mine.safetensors")
    assert {path.name for path in into_folder} == {
        "project-v1.0.config.json",
        "project-v1.0.safetensors",
    }
    assert {path.name for path in named} == {"mine.config.json", "mine.safetensors"}
    assert torch.equal(first_layer(tmp_path / "mine.safetensors"), head.first.weight)
    config = json.loads((tmp_path / "mine.config.json").read_text(encoding="utf-8"))
    assert (config["rev"], config["arch"], config["labeler"]["encoder"]) == (
        "v1.0",
        "score",
        "lite",
    )
    assert config["labeler"]["metrics"]["mae"]["value"] > 0


def test_going_back_to_a_version_exports_that_one(project: Project, tmp_path: Path) -> None:
    add_version(project, noise=0.01)
    head = keep_model(project, "v1.0", 1)
    keep_model(project, "v1.1", 2)
    db.versions.registry.activate(project.store, "v1.0")
    exported(project, tmp_path / "mine.safetensors")
    assert torch.equal(first_layer(tmp_path / "mine.safetensors"), head.first.weight)


def test_a_model_without_its_files_is_named_and_nothing_is_written(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"v1\.0"):
        exported(project, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_version_is_never_written_over_another(project: Project) -> None:
    add_version(project, noise=0.01)
    keep_model(project, "v1.0", 1)
    keep_model(project, "v1.1", 2)
    before = (project.models / "v1.0.safetensors").read_bytes()
    with pytest.raises(BadInput, match="another folder"):
        exported(project, project.models / "v1.0.safetensors")
    assert (project.models / "v1.0.safetensors").read_bytes() == before


def test_a_whole_file_appears_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "deep" / "file") as scratch:
        scratch.write_text("done")
        assert not (tmp_path / "deep" / "file").exists()
    assert (tmp_path / "deep" / "file").read_text() == "done"
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "deep" / "other"):
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_is_named_as_the_person_named_it(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    target = tmp_path / "closed" / "file.csv"
    if os.access(target.parent, os.W_OK):  # An account that may write everywhere but there:
        target = Path("/proc/file.csv")
    with pytest.raises(OSError) as refused, atomic_write(target):
        pass
    assert refused.value.filename == str(target)
