"""Protects downloads: the table alone, any export as a zip that other programs open, the plan in an
address, and that nothing is left behind."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from labeler.app.routes import downloads
from labeler.app.routes.export_urls import plan_address, read_plan
from labeler.app.routes.zip_stream import stream_zip
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.exports.datasets.export import KINDS
from labeler.exports.datasets.plan import Plan
from tests.support.exported import images, make_exported


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = make_exported(tmp_path_factory.mktemp("made"))
    yield project
    project.close()


@pytest.fixture
def client(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with TestClient(Starlette(routes=downloads.routes())) as client:
        yield client
    assert list((tmp_path / "temporary").iterdir()) == []  # whatever was made is gone


def test_the_table_is_sent_alone(client: TestClient) -> None:
    answer = client.get("/api/download/dataset?format=csv")
    assert "taste.csv" in answer.headers["content-disposition"]
    assert len(pd.read_csv(io.BytesIO(answer.content))) == 33
    chosen = plan_address(KINDS["dataset"], Plan(scored_only=True, split="0:0:1", with_images=True))
    table = pd.read_csv(io.BytesIO(client.get(f"{chosen}&format=csv").content))
    assert (len(table), set(table["split"])) == (24, {"test"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_export_is_sent_as_a_zip(client: TestClient, project: Project, kind: str) -> None:
    answer = client.get(plan_address(KINDS[kind], Plan(with_images=kind == "dataset")))
    assert answer.status_code == 200, answer.text
    assert f"taste-{kind}.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert any(name.endswith(".md") for name in names)
        held = {archive.read(name) for name in names if name.endswith(".jpg")}
    bytes_of = {Path(image.path).read_bytes() for image in images(project)}
    assert held <= bytes_of
    assert len(held) == {"dataset": 33, "imagefolder": 24, "score-folders": 24}.get(kind, 0)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("everything", "clip-retrieval"),
        ("dataset?format=exe", "csv, parquet, jsonl"),
        ("imagefolder?seed=x", "A number"),
        ("imagefolder?split=1", "80:10:10"),
        ("score-folders?scored_only=0", "unscored"),
    ],
)
def test_what_cannot_be_downloaded_is_a_sentence(client: TestClient, path: str, told: str) -> None:
    answer = client.get(f"/api/download/{path}")
    assert answer.status_code == 404
    assert told in answer.text


def test_a_plan_survives_its_address() -> None:
    plan = Plan(scored_only=False, split="1:1:0", seed=5, file_format="jsonl", name="a b&c")
    address = plan_address(KINDS["imagefolder"], plan)
    asked = dict(pair.split("=") for pair in address.partition("?")[2].split("&"))
    from urllib.parse import unquote_plus

    read = read_plan({name: unquote_plus(value) for name, value in asked.items()})
    assert read.as_values() == plan.as_values() | {"link": "sym"}
    with pytest.raises(BadInput):
        read_plan({"link": "copy", "seed": "1.5"})


def test_a_zip_comes_in_parts_and_breaks_off_where_a_file_does(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    (tmp_path / "second").write_text("two")
    parts = list(stream_zip(tmp_path))
    assert len(parts) > 3
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.namelist() == ["large", "second"]
        assert archive.read("second") == b"two"
    parts = stream_zip(tmp_path)
    next(parts)
    (tmp_path / "second").unlink()
    with pytest.raises(FileNotFoundError):
        list(parts)
