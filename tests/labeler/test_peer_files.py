"""Protects what other programs really write: a Label Studio server with two accounts, img2dataset,
clip-retrieval. The files are theirs, kept by `make interop PYTEST_ARGS=--keep` (tests/interop) of
pictures that are drawn again here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import db.images.embeddings
import db.images.locations
import db.images.tags
import db.scores.hand_scores
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.embedding.importing import ImportOptions, import_embeddings
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from labeler.scoring.import_scores import import_scores
from labeler.scoring.score_files.statements import ReadOptions
from tests.support.collection import copied
from tests.support.peer_files import (
    ASSETS,
    LONG_NAME,
    NAMES,
    SCORES,
    draw,
    given_by,
    kept,
    make_handed_over,
    make_unscored,
    pack_shard,
)
from tests.support.pictures import make_jpeg

FORMS = ["export.json", "export.min.json", "export.csv"]
NEWER = {"score_at_least", "score_below"}  # of confirmations; no server has seen them yet
FIRST, SECOND = "annotator 1", "annotator 2"  # by the accounts' numbers there


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    draw(folder)
    make_unscored(folder).close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    """A project that knows the pictures and no score."""
    yield from copied(made / "project", tmp_path / "project")


def test_tasks_leave_as_the_server_took_them(tmp_path: Path) -> None:
    project = make_handed_over(tmp_path)
    export(project, "label-studio", tmp_path / "out", Plan())
    project.close()
    ours = _tasks(tmp_path / "out" / "tasks.json")
    taken = _tasks(kept("label-studio/tasks.json", tmp_path, tmp_path))
    assert ours.keys() == taken.keys()
    for path, task in ours.items():
        assert task["data"].keys() - NEWER == taken[path]["data"].keys()
        assert task["data"]["image"] == taken[path]["data"]["image"]
        assert task["annotations"] == taken[path]["annotations"]


def _tasks(file: Path) -> dict[str, dict[str, Any]]:
    tasks = json.loads(file.read_text(encoding="utf-8"))
    return {task["data"]["path"]: task for task in tasks}


def test_who_scored_when_comes_back_in_json(project: Project, made: Path, tmp_path: Path) -> None:
    summary = import_scores(project, kept("label-studio/export.json", made, tmp_path))
    assert (summary.kind, summary.bad) == ("label-studio", [])
    expected = {who: dict(given) for who, given in SCORES.items()}
    # The second account corrected one of ben's scores, which the first had brought, and gave one.
    del expected["ben"]["k (1).jpg"]
    expected[SECOND] = {"k (1).jpg": 8, "z.jpg": 6}
    assert given_by(project) == expected
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    given = db.scores.hand_scores.histories(project.store, ids)
    assert {one.at.year for one in given if one.scorer in SCORES} == {2025}
    assert 2025 not in {one.at.year for one in given if one.scorer == SECOND}
    assert import_scores(project, kept("label-studio/export.json", made, tmp_path)).taken == 0


def test_scores_that_were_filed_under_accounts_come_back(
    project: Project, made: Path, tmp_path: Path
) -> None:
    assert import_scores(project, kept("label-studio/accounts.json", made, tmp_path)).bad == []
    assert given_by(project) == SCORES


@pytest.mark.parametrize("form", FORMS[1:])
def test_json_min_and_csv_hold_what_one_account_can_say(
    project: Project, made: Path, tmp_path: Path, form: str
) -> None:
    summary = import_scores(project, kept(f"label-studio/{form}", made, tmp_path))
    assert (summary.kind, summary.blank) == ("label-studio", 1)
    assert summary.reasons == {"another score for the same image": 1}  # two people's, by one
    given = given_by(project)
    assert given[SECOND] == {"z.jpg": 6}
    assert given[FIRST].pop("a.jpg") in (0, 1)
    told = {"b c.jpg": 10, "k (1).jpg": 8}
    assert given[FIRST] == {k: v for k, v in SCORES["ann"].items() if k != "a.jpg"} | told
    assert any("an export as JSON does" in note for note in summary.notes())


@pytest.mark.parametrize("form", FORMS)
def test_uploaded_files_find_their_image(
    project: Project, made: Path, tmp_path: Path, form: str
) -> None:
    import_paths(project, [make_jpeg(tmp_path / LONG_NAME, 99)], workers=1)
    summary = import_scores(project, kept(f"label-studio/uploaded/{form}", made, tmp_path))
    assert (summary.bad, summary.by_name) == ([], len(NAMES) + 1)
    [given] = given_by(project).values()
    assert given == {name: place for place, name in enumerate([*NAMES, LONG_NAME])}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("control", "scale", "scores"),
    [("points", None, [0, 4.5, 10]), ("stars", (1, 5), [0, 5, 10]), ("grade", None, [3, 7, 7])],
)
def test_each_control_can_be_the_score(
    project: Project,
    made: Path,
    tmp_path: Path,
    form: str,
    control: str,
    scale: Any,
    scores: list[float],
) -> None:
    file = kept(f"label-studio/controls/{form}", made, tmp_path)
    summary = import_scores(project, file, ReadOptions(score_column=control, scale=scale))
    assert summary.bad == []
    [given] = given_by(project).values()
    assert sorted(given.values()) == scores


@pytest.mark.parametrize("written", ["files", "webdataset", "parquet"])
def test_downloads_of_img2dataset_come_in(tmp_path: Path, written: str) -> None:
    shutil.copytree(ASSETS / "img2dataset" / written, tmp_path / written)
    project = Project.create(tmp_path / "project", encoder="lite")
    summary = import_paths(project, [tmp_path / written], workers=1)
    assert (summary.found, summary.new, summary.tagged) == (len(NAMES),) * 3
    assert summary.unreadable == []
    paths = db.images.locations.ids_by_path(project.store)
    tags = db.images.tags.of_images(project.store, sorted(paths.values()))
    first, second, third = (tags[paths[path]] for path in sorted(paths)[:3])
    assert (first, second) == (["cat", "sleeping"], ["1girl", "long_hair"])
    assert third == ["ünï", "日本"]
    project.close()


@pytest.mark.parametrize("source", ["files", "webdataset"])
def test_embeddings_of_clip_retrieval_go_to_their_pictures(tmp_path: Path, source: str) -> None:
    pictures = draw(tmp_path)
    if source == "webdataset":
        pictures = pack_shard(pictures, tmp_path / "shards")
    folder = tmp_path / "laion"
    shutil.copytree(ASSETS / "clip-retrieval" / source, folder)
    project = Project.create(tmp_path / "project", encoder="lite/normalised")
    import_paths(project, [pictures], workers=1)
    # Where it ran the pictures lay elsewhere; a shard's bare keys need no such help.
    how = ImportOptions(by_name=source == "files")
    summary = import_embeddings(project, [folder], "lite/normalised", how=how)
    assert (summary.embedded, summary.images) == (len(NAMES), 0)
    record = db.images.embeddings.encoder(project.store, "lite/normalised")
    assert record is not None
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    _, vectors = db.images.embeddings.get(project.store, record.id, ids)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    assert len(np.unique(vectors, axis=0)) == len(NAMES)
    project.close()
