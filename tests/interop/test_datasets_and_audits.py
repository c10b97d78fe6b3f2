"""Protects what loaders, auditors and runtimes of others find in what leaves: datasets loads the
imagefolder, cleanlab finds planted wrong scores, onnxruntime says what the version says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.versions.predictions
import db.versions.registry
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from labeler.exports.models.export import export_as
from labeler.scoring.import_scores import import_scores
from labeler.scoring.label import label_one
from labeler.versions.train import train
from tests.interop.environments import Peer
from tests.support.collection import make_collection
from tests.support.peer_files import NAMES, given_by, make_handed_over

WRONG = (5, 17, 26, 33, 44, 52)  # places of scores that are off by half of the scale


@pytest.fixture
def handed(tmp_path: Path) -> Iterator[Project]:
    project = make_handed_over(tmp_path)
    yield project
    project.close()


@pytest.mark.parametrize("file_format", ["parquet", "csv", "jsonl"])
def test_datasets_loads_the_imagefolder(
    peer: Callable[..., Peer],
    note: Callable[..., None],
    handed: Project,
    tmp_path: Path,
    file_format: str,
) -> None:
    datasets = peer("datasets", "datasets", "pillow")
    plan = Plan(file_format=file_format, split="50:25:25")
    done = export(handed, "imagefolder", tmp_path / "out", plan)
    if file_format != "parquet":
        assert any("tags" in said for said in done.notes)
    found = datasets.script("load_imagefolder.py", tmp_path / "out", tmp_path / "cache")
    known = {
        image.path: image
        for image in db.images.lookup.by_ids(
            handed.store, sorted(db.images.locations.ids_by_path(handed.store).values())
        )
    }
    expected = {path: one for path, one in known.items() if one.hand_score is not None}
    expected = expected if done.images < len(NAMES) else known
    changed = [
        Path(path).name
        for path, image in expected.items()
        if path not in found
        or found[path]["sha256"] != image.content_hash
        or found[path]["score"] != image.hand_score
    ]
    note(
        f"datasets {datasets.version('datasets')}, imagefolder with {file_format}",
        f"{done.images} images in splits, scores, out-of-fold predictions, tags",
        f"{len(found)} images in {len({row['split'] for row in found.values()})} splits",
        "; ".join(changed)
        or "nothing: the same bytes and scores"
        + ("" if file_format == "parquet" else "; tags are left out, as the export says"),
    )
    assert changed == []
    other = Project.create(tmp_path / "other", encoder="lite")
    import_scores(other, tmp_path / "out", add_images=True)
    [given] = given_by(other).values()
    assert len(given) == sum(image.hand_score is not None for image in known.values())
    other.close()


@pytest.mark.parametrize("file_name", ["scores.csv", "scores.parquet"])
def test_cleanlab_finds_planted_wrong_scores(
    peer: Callable[..., Peer], note: Callable[..., None], tmp_path: Path, file_name: str
) -> None:
    cleanlab = peer("cleanlab", "cleanlab", "pandas", "pyarrow")
    project = make_collection(tmp_path, images=60, scored=0)
    paths = sorted(db.images.locations.ids_by_path(project.store))
    for place, path in enumerate(paths):  # bright is good, as the embeddings say
        label_one(project, path, round(10 * place / 59, 1), "ann")
    for place in WRONG:
        told = 10 * place / 59
        label_one(project, paths[place], round(told - 5 if told > 5 else told + 5, 1), "ann")
    train(project)
    export(project, "dataset", tmp_path / file_name, Plan())
    project.close()
    hits = {}
    for column in ("out_of_fold_prediction", "prediction"):
        found = cleanlab.script("find_wrong_labels.py", tmp_path / file_name, column)
        assert found["rows"] == 60
        first = found["worst first"][: len(WRONG)]
        hits[column] = len({paths[place] for place in WRONG} & set(first))
    note(
        f"cleanlab {cleanlab.version('cleanlab')}, {file_name}",
        f"60 scores, {len(WRONG)} of them wrong on purpose",
        f"of the wrong ones among its first {len(WRONG)}: "
        + ", ".join(f"{hit} by `{column}`" for column, hit in hits.items()),
        "nothing",
    )
    assert hits["out_of_fold_prediction"] >= len(WRONG) - 1
    assert hits["prediction"] <= hits["out_of_fold_prediction"]


def test_onnxruntime_says_what_the_version_says(
    peer: Callable[..., Peer], note: Callable[..., None], tmp_path: Path
) -> None:
    onnxruntime = peer("onnxruntime", "onnxruntime", "numpy")
    project = make_collection(tmp_path, images=60, scored=40)
    train(project)
    project.close()
    project = Project.open(project.folder)
    [file] = export_as(project, "onnx", tmp_path / "out")
    version = db.versions.registry.active(project.store)
    record = db.images.embeddings.encoder(project.store, "lite")
    assert version is not None and record is not None
    kept = db.versions.predictions.predictions(project.store, version.id)
    _, vectors = db.images.embeddings.get(project.store, record.id, kept.image_ids)
    np.save(tmp_path / "vectors.npy", vectors)
    found = onnxruntime.script("run_onnx.py", file, tmp_path / "vectors.npy")
    furthest = float(np.abs(np.array(found["said"]) - kept.scores).max())
    alone = float(np.abs(np.array(found["alone"]) - kept.scores).max())
    assert found["metadata"]["encoder"] == "lite"
    project.close()
    note(
        f"onnxruntime {onnxruntime.version('onnxruntime')}",
        f"the trained head {version.name}, {len(vectors)} embeddings",
        "its scores of all at once and one by one, name and encoder as metadata",
        f"at most {max(furthest, alone):.0e} off",
    )
    assert max(furthest, alone) <= 1e-4
