"""Protects whoever audits hand scores elsewhere: beside each exported prediction stands that of a
head which has not seen the score, in every format and in Python, and the card says which is which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import db.images.locations
import db.images.lookup
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
from db.records import FOREIGN, NewVersion, Predictions
from labeler.api import Project as Notebook
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from tests.support.collection import copied, give_scores, make_collection

COLUMN = "out_of_fold_prediction"
WRONG = 6  # the id of an image whose score was a slip of the finger


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 scored images; the version knows their scores nearly by heart, out of fold it errs."""
    folder = tmp_path_factory.mktemp("made")
    project = make_collection(folder, images=30, scored=24)
    ids, values = db.scores.hand_scores.effective(project.store)
    draw = np.random.default_rng(5)
    honest = np.clip(values / 10 + draw.normal(0, 0.05, len(ids)), 0, 1).astype(np.float32)
    honest[ids == WRONG] = 0.95  # it was given 5
    everything = np.array(sorted(db.images.locations.ids_by_path(project.store).values()))
    known = np.full(len(everything), 0.5, dtype=np.float32)
    known[np.searchsorted(everything, ids)] = (values / 10).astype(np.float32)
    version = db.versions.registry.add(
        project.store,
        NewVersion(
            name="v1.0",
            parent=None,
            encoder=project.encoder,
            recipe="quick",
            threshold=0.5,
            file="v1.0.safetensors",
            scored_ids=ids,
            scored_values=values,
            out_of_fold=Predictions(ids, honest, None, np.arange(len(ids)) % 5),
        ),
    )
    db.versions.predictions.put_predictions(
        project.store, version.id, Predictions(everything, known)
    )
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


def read(project: Project, kind: str, out: Path) -> pd.DataFrame:
    name, _, file_format = kind.partition(" ")
    plan = Plan(file_format=file_format or None, split="100:0:0")
    if name == "dataset":
        export(project, name, out / f"d.{file_format}", plan)
    else:
        export(project, name, out, plan)
    if name == "label-studio":
        tasks = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
        told = pd.DataFrame([task["data"] for task in tasks])
        return told.rename(columns={"hand_score": "score"})
    if file_format == "jsonl":
        return pd.read_json(next(out.rglob("*.jsonl")), lines=True)
    [table] = [
        file
        for pattern in ("*.csv", "*.parquet")
        for file in out.rglob(pattern)
        if "history" not in file.name
    ]
    return pd.read_csv(table) if table.suffix == ".csv" else pd.read_parquet(table)


def suspects(frame: pd.DataFrame) -> list[str]:
    """As cleanlab's regression quality ranks label errors: exp(-|prediction - label| / median)."""
    both = frame.dropna(subset=["score", COLUMN])
    residuals = (both[COLUMN].astype(float) - both["score"].astype(float) / 10).abs()
    quality = np.exp(-residuals / residuals.median())
    return list(both.assign(quality=quality).sort_values("quality")["hash"])


@pytest.mark.parametrize(
    "kind",
    [
        *("dataset csv", "dataset parquet", "dataset jsonl", "imagefolder parquet"),
        *("imagefolder csv", "score-folders", "cityclassifiers", "clip-retrieval", "label-studio"),
    ],
)
def test_the_wrong_score_is_found_in_every_export(
    project: Project, tmp_path: Path, kind: str
) -> None:
    frame = read(project, kind, tmp_path / "out")
    [wrong] = db.images.lookup.by_ids(project.store, [WRONG])
    assert suspects(frame)[0] == wrong.content_hash
    scored = frame[frame["score"].notna()]
    assert len(scored) == 24
    in_sample = (scored["prediction"] - scored["score"] / 10).abs().mean()
    honest = (scored[COLUMN] - scored["score"] / 10).abs().mean()
    assert in_sample < 1e-6
    assert honest > 0.02
    if len(frame) > 24:
        assert frame[frame["score"].isna()][COLUMN].isna().all()


def test_python_has_it_too(project: Project) -> None:
    with Notebook(project.folder) as notebook:
        images = notebook.images()
    assert images[COLUMN].dtype == np.float64
    [wrong] = db.images.lookup.by_ids(project.store, [WRONG])
    assert suspects(images)[0] == wrong.content_hash


def test_a_score_that_is_newer_than_the_version_was_not_seen_by_it(
    project: Project, tmp_path: Path
) -> None:
    give_scores(project, [27])
    frame = read(project, "dataset parquet", tmp_path)
    [image] = db.images.lookup.by_ids(project.store, [27])
    [row] = frame[frame["hash"] == image.content_hash].to_dict("records")
    assert row[COLUMN] == row["prediction"] == 0.5


def test_a_head_of_somebody_elses_has_seen_none(project: Project, tmp_path: Path) -> None:
    everything = np.array(sorted(db.images.locations.ids_by_path(project.store).values()))
    none = np.zeros(0, dtype=np.int64)
    version = db.versions.registry.add(
        project.store,
        NewVersion(
            name="theirs",
            parent=None,
            encoder=project.encoder,
            recipe=FOREIGN,
            threshold=0.5,
            file="theirs.safetensors",
            scored_ids=none,
            scored_values=none.astype(float),
        ),
    )
    said = np.linspace(0, 1, len(everything)).astype(np.float32)
    db.versions.predictions.put_predictions(
        project.store, version.id, Predictions(everything, said)
    )
    frame = read(project, "dataset parquet", tmp_path)
    scored = frame[frame["score"].notna()]
    assert (scored[COLUMN] == scored["prediction"]).all()
    card = (tmp_path / "d.data-card.md").read_text(encoding="utf-8")
    assert "theirs was trained on none of the 24 scored images" in card


def test_the_card_says_which_is_which(project: Project, tmp_path: Path) -> None:
    read(project, "dataset csv", tmp_path)
    card = (tmp_path / "d.data-card.md").read_text(encoding="utf-8")
    _, _, about = card.partition("## Predictions")
    about = about.partition("\n## ")[0]
    assert f"`{COLUMN}`" in about and "`prediction`" in about
    assert "trained on 24 of the 24 scored images" in about
    assert "in-sample" in about
