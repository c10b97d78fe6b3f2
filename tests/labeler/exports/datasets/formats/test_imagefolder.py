"""Protects the Hugging Face imagefolder: `datasets` itself loads it, with every image and score."""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import db.scores.hand_scores
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from tests.support.exported import AWKWARD, image_ids, images, make_exported, score

SPREAD = "40:30:30"


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


def loaded(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        # `datasets` leaves a metadata.csv open, which is noticed when it is collected.
        warnings.simplefilter("ignore", ResourceWarning)
        read = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(cache))
        gc.collect()
    return read


@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_datasets_loads_every_image_with_its_score(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    plan = Plan(scored_only=False, split=SPREAD, file_format=file_format)
    done = export(project, "imagefolder", tmp_path / "out", plan)
    read = loaded(tmp_path / "out", tmp_path / "cache", monkeypatch)
    assert sorted(read) == ["test", "train", "validation"]
    rows = {row["hash"]: row for split in read.values() for row in split}
    assert len(rows) == done.images == 33
    for image in images(project):
        row = rows[image.content_hash]
        assert row["score"] == image.hand_score
        assert row["path"] == image.path
        assert row["image"].size == (image.width, image.height)
        assert row["split"] in read
    assert {row["hash"] for row in read["test"]} == {
        key for key, row in rows.items() if row["split"] == "test"
    }


def test_parquet_keeps_the_history_and_every_column(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(project, "imagefolder", tmp_path / "out", Plan(scored_only=False, split=SPREAD))
    read = loaded(tmp_path / "out", tmp_path / "cache", monkeypatch)
    rows = {row["hash"]: row for split in read.values() for row in split}
    first = images(project)[0]
    events = db.scores.hand_scores.history(project.store, first.id)
    assert [one["event"] for one in rows[first.content_hash]["history"]] == [
        one.event_id for one in events
    ]
    assert rows[first.content_hash]["tags"] == ["@home", "cat"]
    assert rows[first.content_hash]["group"] == "kittens"


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_what_splits_would_be_read_differently_of_is_left_out_and_named(
    project: Project, tmp_path: Path, file_format: str
) -> None:
    plan = Plan(scored_only=False, split=SPREAD, file_format=file_format)
    done = export(project, "imagefolder", tmp_path / "out", plan)
    [note] = done.notes
    assert "group" in note
    assert "group" not in (tmp_path / "out" / "train" / f"metadata.{file_format}").read_text()
    assert len((tmp_path / "out" / "history.csv").read_text().splitlines()) == 1 + 28


def test_scored_images_alone_are_usual_and_awkward_names_stay_whole(
    project: Project, tmp_path: Path
) -> None:
    score(project, [(each, 5) for each in image_ids(project)], "carl")
    done = export(project, "imagefolder", tmp_path / "out", Plan(split="1:0:0"))
    files = [file.name for file in (tmp_path / "out" / "train").glob("*.jpg")]
    assert done.images == len(files) == 33  # also those that share a name
    assert any(name.startswith("ünï 猫") for name in files)
    assert all(len(name.encode()) < 160 for name in files)
    assert not [name for name in files if set(name) & set("[]*?%#&=:'\"<>|")]
    assert not [name for name in files if name[0] in "-._ "]
    assert len(AWKWARD) == 7


def test_the_card_is_the_one_that_the_hub_shows(project: Project, tmp_path: Path) -> None:
    export(project, "imagefolder", tmp_path / "out", Plan())
    assert "24 images, 24 scored" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
