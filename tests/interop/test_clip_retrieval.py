"""Protects embeddings that go through clip-retrieval's own reader and writer, both ways.

Its weights can't be had without a download; a grey copy of each picture stands for its embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest

import db.images.embeddings
import db.images.locations
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.embedding.importing import import_embeddings
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from tests.interop.environments import Peer
from tests.support.exported import WIDTH
from tests.support.peer_files import NAMES, SCORES, draw, make_handed_over, pack_shard

ENCODER = "lite/normalised"


@pytest.fixture(scope="module")
def clip_retrieval(peer: Callable[..., Peer]) -> Peer:
    return peer("clip-retrieval", "clip-retrieval", "setuptools<81")  # its CLIP wants pkg_resources


@pytest.fixture
def name(clip_retrieval: Peer) -> str:
    return f"clip-retrieval {clip_retrieval.version('clip-retrieval')}"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return draw(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project.create(tmp_path / "project", encoder=ENCODER)
    yield project
    project.close()


def check(project: Project, folder: Path) -> None:
    """Every picture's embedding is the row that stands beside its name."""
    record = db.images.embeddings.encoder(project.store, ENCODER)
    assert record is not None
    written = np.load(folder / "img_emb" / "img_emb_0.npy")
    named = pandas.read_parquet(folder / "metadata" / "metadata_0.parquet")["image_path"]
    paths = db.images.locations.ids_by_path(project.store)
    for vector, name in zip(written, named, strict=True):
        [image] = [i for path, i in paths.items() if Path(path).stem == Path(name).stem]
        _, [kept] = db.images.embeddings.get(project.store, record.id, [image])
        np.testing.assert_array_equal(kept, vector.astype(np.float32))


@pytest.mark.parametrize("source", ["files", "webdataset"])
def test_what_it_writes_goes_to_the_pictures(
    clip_retrieval: Peer,
    name: str,
    note: Callable[..., None],
    keep: Callable[..., None],
    pictures: Path,
    project: Project,
    tmp_path: Path,
    source: str,
) -> None:
    if source == "webdataset":
        pictures = pack_shard(pictures, tmp_path / "shards")
    out = tmp_path / "laion"
    clip_retrieval.script("embed.py", pictures, out)
    for file in sorted(out.rglob("*.*")):
        keep(file, f"clip-retrieval/{source}/{file.relative_to(out)}", tmp_path)
    import_paths(project, [pictures], workers=1)
    summary = import_embeddings(project, [out], ENCODER)
    note(
        f"{name}, its reader of {source} and its writer",
        f"{len(NAMES)} pictures with awkward names",
        f"{summary.embedded} embeddings, {summary.images} of them without a picture",
        "nothing; its model was NOT RUN: its weights need a download",
    )
    assert (summary.embedded, summary.images) == (len(NAMES), 0)
    check(project, out)


def test_it_reads_what_we_write(
    clip_retrieval: Peer, name: str, note: Callable[..., None], tmp_path: Path
) -> None:
    handed = make_handed_over(tmp_path)
    export(handed, "clip-retrieval", tmp_path / "out", Plan())
    handed.close()
    found = clip_retrieval.script("read_embeddings.py", tmp_path / "out")
    assert found["width"] == WIDTH
    rows = {Path(path).name: row for path, row in found["rows"].items()}
    assert set(rows) == set(NAMES)
    assert all(abs(row["length"] - 1) < 2e-3 for row in rows.values())
    assert rows["a[b]*?%20#.jpg"]["score"] == SCORES["ann"]["a[b]*?%20#.jpg"]
    assert rows["z.jpg"]["score"] is None
    note(
        f"{name}, its EmbeddingReader",
        f"`export clip-retrieval` of {len(NAMES)} images",
        f"{len(rows)} rows with their paths and scores",
        "length 1 and float16, as the format has it",
    )
