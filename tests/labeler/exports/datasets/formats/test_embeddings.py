"""Protects exported embeddings against readers written from the formats' descriptions: the folders
that CityClassifiers trains on, and the blocks of clip-retrieval."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

import db.images.embeddings
from labeler.core.errors import BadInput
from labeler.core.progress import silent
from labeler.core.project import Project
from labeler.embedding.files.find import find_embeddings
from labeler.exports.datasets.export import export
from labeler.exports.datasets.formats.clip_retrieval import write_clip_retrieval
from labeler.exports.datasets.output_folder import export_folder
from labeler.exports.datasets.plan import Exported, Plan
from labeler.exports.datasets.rows import dataset_of
from tests.support.exported import WIDTH, image_ids, images, make_exported, score


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


def stored(project: Project) -> dict[str, np.ndarray]:
    """The raw embeddings by the path of the image."""
    known = db.images.embeddings.encoder(project.store, project.encoder)
    ids, vectors = db.images.embeddings.get(project.store, known.id, image_ids(project))
    paths = {image.id: image.path for image in images(project)}
    return {paths[i]: vector for i, vector in zip(ids.tolist(), vectors, strict=True)}


def trained_on(root: Path) -> list[tuple[int, np.ndarray]]:
    """As its trainer walks data/CLIP: {score} or {score}_{name}, and in each any number of .npy."""
    found = []
    for folder in sorted((root / "data" / "CLIP").iterdir()):
        if folder.is_dir():
            score = int(folder.name.split("_", 1)[0])
            found += [(score, np.load(file)) for file in sorted(folder.glob("*.npy"))]
    return found


def test_cityclassifiers_finds_each_scored_image_by_its_score(
    project: Project, tmp_path: Path
) -> None:
    done = export(project, "cityclassifiers", tmp_path / "out", Plan())
    found = trained_on(tmp_path / "out")
    assert done.images == len(found) == 24
    assert {(array.shape, array.dtype.str) for _, array in found} == {((1, WIDTH), "<f4")}
    kept = stored(project)
    wanted = sorted(
        (int(image.hand_score + 0.5), kept[image.path].tobytes())
        for image in images(project)
        if image.hand_score is not None
    )
    assert sorted((score, array.tobytes()) for score, array in found) == wanted
    assert {score for score, _ in found} == set(range(11))
    tried = np.load(tmp_path / "out" / "data" / "CLIP" / "test.npy")
    assert (tried.shape, tried.dtype.str) == ((1, WIDTH), "<f4")
    assert (tmp_path / "out" / "data" / "CLIP" / "7_taste").is_dir()


def test_an_exported_embedding_is_not_written_twice(project: Project, tmp_path: Path) -> None:
    export(project, "cityclassifiers", tmp_path / "out", Plan())
    done = export(project, "cityclassifiers", tmp_path / "out", Plan())
    assert (done.made, done.there) == (0, 24)


def test_cityclassifiers_rescales_without_both_ends_and_that_is_said(
    project: Project, tmp_path: Path
) -> None:
    score(project, [(each, 3 + each % 5) for each in image_ids(project)[:24]], "ann")
    done = export(project, "cityclassifiers", tmp_path / "out", Plan())
    told = " ".join(done.notes)
    assert "score 0 or 10" in told
    assert "3 becomes 0 %" in told
    assert "7 becomes 100 %" in told


def test_an_image_without_an_embedding_is_named(project: Project, tmp_path: Path) -> None:
    from labeler.collection.importing import import_paths
    from tests.support.pictures import make_jpeg

    make_jpeg(tmp_path / "new.jpg", 999)
    import_paths(project, [tmp_path / "new.jpg"], workers=1)
    score(project, [(max(image_ids(project)), 5)], "ann")
    for kind, written in (("cityclassifiers", 24), ("clip-retrieval", 33)):
        done = export(project, kind, tmp_path / kind, Plan())
        assert done.images == written
        [(path, reason)] = done.left_out
        assert path == str(tmp_path / "new.jpg")
        assert "labeler embed" in reason


def test_without_embeddings_the_next_step_is_told(tmp_path: Path) -> None:
    from labeler.collection.importing import import_paths
    from tests.support.pictures import make_jpeg

    project = Project.create(tmp_path / "taste", encoder="lite")
    make_jpeg(tmp_path / "one.jpg", 1)
    import_paths(project, [tmp_path / "one.jpg"], workers=1)
    with pytest.raises(BadInput, match="labeler embed"):
        export(project, "clip-retrieval", tmp_path / "out", Plan())
    project.close()


def blocks(root: Path) -> Iterator[tuple[np.ndarray, list[dict[str, object]]]]:
    """As clip-retrieval reads them back: arrays and tables by their common number."""
    for file in sorted((root / "img_emb").iterdir()):
        number = re.fullmatch(r"img_emb_(\d+)\.npy", file.name)[1]
        table = pyarrow.parquet.read_table(root / "metadata" / f"metadata_{number}.parquet")
        yield np.load(file), table.to_pylist()


def test_clip_retrieval_reads_unit_vectors_with_their_rows(
    project: Project, tmp_path: Path
) -> None:
    done = export(project, "clip-retrieval", tmp_path / "out", Plan())
    kept, seen = stored(project), {image.path: image for image in images(project)}
    [(vectors, rows)] = blocks(tmp_path / "out")
    assert (vectors.dtype, vectors.shape) == (np.float16, (33, WIDTH))
    assert done.images == len(rows) == 33
    for vector, row in zip(vectors.astype(np.float32), rows, strict=True):
        raw = kept[str(row["image_path"])]
        assert np.abs(vector - raw / np.linalg.norm(raw)).max() < 1e-3
        assert np.linalg.norm(vector) == pytest.approx(1, abs=2e-3)
        assert row["score"] == seen[str(row["image_path"])].hand_score
    assert rows[24]["score"] is None
    assert [one["scorer"] for one in rows[0]["history"]] == ["ann", "ben"]


def test_many_rows_are_parted_and_stay_in_step(project: Project, tmp_path: Path) -> None:
    dataset, exported = dataset_of(project, Plan()), Exported(tmp_path)
    with export_folder(tmp_path / "out", "clip-retrieval") as folder:
        write_clip_retrieval(dataset, folder, exported, silent, block=3)
        folder.finish()
    parts = list(blocks(tmp_path / "out"))
    assert [len(rows) for _, rows in parts] == [3] * 11
    assert [file.name for file in sorted((tmp_path / "out" / "img_emb").iterdir())][:2] == [
        "img_emb_00.npy",
        "img_emb_01.npy",
    ]
    kept = stored(project)
    for vectors, rows in parts:
        for vector, row in zip(vectors.astype(np.float32), rows, strict=True):
            raw = kept[str(row["image_path"])]
            assert np.abs(vector - raw / np.linalg.norm(raw)).max() < 1e-3


def test_our_own_reader_takes_what_was_written(project: Project, tmp_path: Path) -> None:
    export(project, "clip-retrieval", tmp_path / "out", Plan())
    found = find_embeddings(tmp_path / "out")
    assert (len(found), found.unusable) == (33, [])
    [block] = found.files[0].blocks()
    assert block.names.to_pylist() == [image.path for image in images(project)]
