"""Protects what leaves the project but datasets: the model's pair of files, whole, and no file
replaced by another."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from collection import add_version, copied, make_collection

from db import versions
from labeler.errors import BadInput
from labeler.exports.model_pair import export_model
from labeler.project import Project
from labeler.whole_files import whole_file


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


def fake_model(project: Project, name: str) -> None:
    (project.models / f"{name}.safetensors").write_bytes(b"weights of " + name.encode())
    (project.models / f"{name}.config.json").write_text(json.dumps({"name": name}))


def test_the_model_of_the_active_version_is_written_as_a_pair(
    project: Project, tmp_path: Path
) -> None:
    fake_model(project, "v1.0")
    into_folder = export_model(project, tmp_path / "folder")
    named = export_model(project, tmp_path / "mine.safetensors")
    assert {path.name for path in into_folder} == {
        "project-v1.0.config.json",
        "project-v1.0.safetensors",
    }
    assert {path.name for path in named} == {"mine.config.json", "mine.safetensors"}
    assert (tmp_path / "mine.safetensors").read_bytes() == b"weights of v1.0"


def test_going_back_to_a_version_exports_that_one(project: Project, tmp_path: Path) -> None:
    add_version(project, noise=0.01)
    fake_model(project, "v1.0")
    versions.activate(project.store, "v1.0")
    export_model(project, tmp_path / "mine.safetensors")
    assert (tmp_path / "mine.safetensors").read_bytes() == b"weights of v1.0"


def test_a_model_without_its_files_is_named_and_nothing_is_written(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"v1\.0"):
        export_model(project, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_version_is_never_written_over_another(project: Project) -> None:
    add_version(project, noise=0.01)
    fake_model(project, "v1.0")
    fake_model(project, "v1.1")
    with pytest.raises(BadInput, match="another folder"):
        export_model(project, project.models / "v1.0.safetensors")
    assert (project.models / "v1.0.safetensors").read_bytes() == b"weights of v1.0"


def test_a_whole_file_appears_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    with whole_file(tmp_path / "deep" / "file") as scratch:
        scratch.write_text("done")
        assert not (tmp_path / "deep" / "file").exists()
    assert (tmp_path / "deep" / "file").read_text() == "done"
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "deep" / "other"):
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_is_named_as_the_person_named_it(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    target = tmp_path / "closed" / "file.csv"
    if os.access(target.parent, os.W_OK):  # An account that may write everywhere but there:
        target = Path("/proc/file.csv")
    with pytest.raises(OSError) as refused, whole_file(target):
        pass
    assert refused.value.filename == str(target)
