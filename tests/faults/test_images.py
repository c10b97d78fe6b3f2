"""Pictures that were moved or deleted: said to be missing, with all that is known of them kept, and
found again by their content where they lie now."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import db.images.counts
import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.scores.hand_scores
from labeler.app.routes.json_api import routes
from labeler.app.routes.payloads import image_items
from labeler.app.security.request_guards import guard_middleware
from labeler.app.widgets.gallery import prediction_tile
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.embedding.embed import embed
from tests.support.collection import draw_pictures, give_scores
from tests.support.fault_world import invoke

HOST = "http://127.0.0.1:8501"
OURS = {"X-Labeler": "1", "Origin": HOST}


def ids_of(project: Project) -> list[int]:
    return sorted(set(db.images.locations.ids_by_path(project.store).values()))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Project]:
    """A project whose five pictures lie in `pictures` and nowhere else, scored and embedded."""
    draw_pictures(tmp_path / "pictures", 5)
    project = Project.create(tmp_path / "alone", encoder="lite")
    import_paths(project, [tmp_path / "pictures"], workers=1)
    ids = ids_of(project)
    encoder = db.images.embeddings.register_encoder(project.store, project.encoder, 4, False, {})
    db.images.embeddings.put(
        project.store, encoder.id, np.array(ids), np.eye(5, 4, dtype=np.float32) + 1
    )
    give_scores(project, ids)
    yield project
    project.close()


def known(project: Project) -> tuple[object, ...]:
    """All that is known of the images: scores, their history, embeddings."""
    ids = ids_of(project)
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    assert encoder is not None
    found, vectors = db.images.embeddings.get(project.store, encoder.id, np.array(ids))
    histories = db.scores.hand_scores.histories(project.store, ids)
    return ids, histories, found.tolist(), vectors.tolist()


def test_moved_pictures_are_missing_with_their_history_and_found_again_by_content(
    alone: Project, tmp_path: Path
) -> None:
    before = known(alone)
    (tmp_path / "pictures").rename(tmp_path / "new place")
    (tmp_path / "pictures").mkdir()
    assert import_paths(alone, [tmp_path / "pictures"], workers=1).missing == 5
    assert known(alone) == before
    assert db.images.counts.by_state(alone.store)["missing"] == 5
    shutil.move(tmp_path / "new place", tmp_path / "newer" / "place")
    summary = import_paths(alone, [tmp_path / "newer"], workers=1)
    assert (summary.moved, summary.new, summary.missing) == (5, 0, 0)
    assert known(alone) == before
    assert db.images.counts.by_state(alone.store)["fine"] == 5
    assert embed(alone).embedded == 0


def test_pictures_moved_without_a_word_are_found_without_looking_at_the_old_place(
    alone: Project, tmp_path: Path
) -> None:
    before = known(alone)
    (tmp_path / "pictures").rename(tmp_path / "new place")
    summary = import_paths(alone, [tmp_path / "new place"], workers=1)
    assert (summary.moved, summary.new, summary.missing) == (5, 0, 0)
    assert known(alone) == before


def test_deleted_pictures_are_said_to_be_missing_and_their_scores_stay(
    alone: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELER_PROJECT", str(alone.folder))
    before = known(alone)
    for folder in (tmp_path / "pictures", alone.previews, alone.thumbnails):
        shutil.rmtree(folder)
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1", "localhost"]))
    with TestClient(app, base_url=HOST) as client:
        for kind in ("thumbnail", "preview", "full"):
            answer = client.get(f"/img/{ids_of(alone)[0]}/{kind}", headers=OURS)
            assert answer.status_code == 404
            assert "import the folder that it lies in now" in answer.json()["problem"]
        given = {"event": "again", "kind": "score", "image": ids_of(alone)[0], "score": 3}
        answer = client.post("/api/events", json={"events": [given]}, headers=OURS)
        assert answer.json()["receipts"][0]["accepted"]
    out = tmp_path / "out"
    told = invoke(["--project", str(alone.folder), "export", "imagefolder", str(out)])
    assert "not there any more" in told.stderr
    assert known(alone)[0] == before[0]
    assert known(alone)[2:] == before[2:]


def test_what_can_not_be_kept_can_be_looked_at_all_the_same(
    alone: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small copies are made when they are first looked at, which must not need room for them."""
    monkeypatch.setenv("LABELER_PROJECT", str(alone.folder))
    for folder in (alone.previews, alone.thumbnails):
        shutil.rmtree(folder)
        folder.mkdir()
        for digits in range(256):
            (folder / f"{digits:02x}").write_text("in the way")
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1", "localhost"]))
    with TestClient(app, base_url=HOST) as client:
        for kind in ("thumbnail", "preview"):
            answer = client.get(f"/img/{ids_of(alone)[0]}/{kind}", headers=OURS)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "image/jpeg"
            assert "immutable" not in answer.headers["cache-control"]


def test_missing_pictures_are_marked_wherever_they_are_listed(
    alone: Project, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "pictures")
    (tmp_path / "pictures").mkdir()
    import_paths(alone, [tmp_path / "pictures"], workers=1)
    images = db.images.lookup.by_ids(alone.store, ids_of(alone))
    assert all(item["gone"] for item in image_items(alone, images))
    assert prediction_tile(images[0], 0.5)["caption"].startswith("missing · ")
    told = invoke(["--project", str(alone.folder), "status"])
    assert "5 missing" in told.output
    assert "labeler import NEWPLACE" in told.output
    assert [row.value for row in db.scores.hand_scores.history(alone.store, images[3].id)] == [3.0]
