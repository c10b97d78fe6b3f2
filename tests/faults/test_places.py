"""What places may do: be read-only, locked, moved, or gone. Looking goes on, nothing is lost, and
a sentence says what is the matter and what to do."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import db.images.embeddings
import db.images.locations
import db.scores.hand_scores
from db.errors import StoreError
from db.store.store import Store
from labeler.app import project as served
from labeler.app.routes import downloads
from labeler.app.routes.json_api import routes
from labeler.app.security.request_guards import guard_middleware
from labeler.core.errors import LabelerError
from labeler.core.project import Project
from tests.support.collection import add_version, copied, give_scores, make_collection
from tests.support.fault_world import invoke, stored
from tests.support.read_only import can_be_had, in_read_only

HOST = "http://127.0.0.1:8501"
OURS = {"X-Labeler": "1", "Origin": HOST}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a project of them; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    project = make_collection(folder, images=24, scored=20)
    add_version(project, 0.2)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


@pytest.fixture
def client(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    monkeypatch.setattr(served, "OPEN_TIMEOUT_SECONDS", 0.05)
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1", "localhost"]))
    with TestClient(app, base_url=HOST) as client:
        yield client


def ids_of(project: Project) -> list[int]:
    return sorted(set(db.images.locations.ids_by_path(project.store).values()))


def score(client: TestClient, event: str, image: int, value: int) -> tuple[int, dict]:
    one = {"event": event, "kind": "score", "image": image, "score": value}
    answer = client.post("/api/events", json={"events": [one]}, headers=OURS)
    return answer.status_code, answer.json()


# Read-only.


@pytest.mark.skipif(not can_be_had(), reason="root writes everywhere, and no mount can be made")
def test_in_a_read_only_project_people_can_look_and_write_elsewhere(
    project: Project, tmp_path: Path
) -> None:
    project.close()
    before = set(project.folder.rglob("*"))
    own = ["--project", str(project.folder)]
    looking = [
        [*own, "status"],
        [*own, "review"],
        [*own, "audit"],
        [*own, "export", "dataset", str(tmp_path / "set.csv")],
        [*own, "export", "imagefolder", str(tmp_path / "folder")],
        [*own, "export", "contact-sheet", str(tmp_path / "best.png")],
    ]
    writing = [[*own, "label", "21", "7"], [*own, "import", str(tmp_path)], [*own, "train"]]
    ended = in_read_only(project.folder, [*looking, *writing])
    assert [(one.code, one.told) for one in ended[: len(looking)] if one.code] == []
    assert len(list((tmp_path / "folder").rglob("*.png"))) == 20
    for one in ended[len(looking) :]:
        assert one.code == 1
        assert one.told.startswith(str(project.folder / "labeler.sqlite"))
        assert "write permission" in one.told
    assert set(project.folder.rglob("*")) == before
    assert invoke([*own, "label", "21", "7"]).exit_code == 0


@pytest.mark.skipif(not can_be_had(), reason="root writes everywhere, and no mount can be made")
def test_what_another_process_left_in_the_log_is_read_too(project: Project) -> None:
    """A read-only copy of a project that was killed: its last scores are in the log beside it."""
    give_scores(project, ids_of(project)[20:22])
    killed = project.folder.parent / "killed"
    shutil.copytree(project.folder, killed)
    assert (killed / "labeler.sqlite-wal").stat().st_size
    [ended] = in_read_only(killed, [["--project", str(killed), "status", "--json"]])
    assert ended.code == 0
    assert '"scored": 22,' in ended.said


# Locked.


@contextmanager
def held(path: Path, how: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Another program writes in the store and does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        if how == "EXCLUSIVE":
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute(f"BEGIN {how}")
        other.execute("INSERT OR REPLACE INTO settings VALUES ('held', '1')")
        yield other


def test_a_lock_that_lasts_is_told_and_one_that_ends_is_waited_for(project: Project) -> None:
    hasty = Store(project.store.path, patience=0.05)
    with held(project.store.path) as other:
        with pytest.raises(StoreError, match="locked by another program; close that one"):
            hasty.set_setting("a", "1")
        assert hasty.setting("a") is None, "looking needs no lock"
        waiting = Thread(target=project.store.set_setting, args=("b", "2"))
        waiting.start()
        other.execute("ROLLBACK")
        waiting.join()
    assert project.store.setting("b") == "2"
    hasty.close()


def test_a_store_that_another_has_to_itself_is_told_also_where_one_only_looks(
    project: Project,
) -> None:
    project.close()
    with (
        held(project.store.path, "EXCLUSIVE"),
        pytest.raises(StoreError, match="locked by another"),
    ):
        Store.open(project.store.path, patience=0.05)


def test_a_score_that_meets_a_lock_is_not_taken_and_is_when_sent_again(
    client: TestClient, project: Project
) -> None:
    image_id = ids_of(project)[22]
    with held(project.store.path):
        status, body = score(client, "one", image_id, 7)
        assert client.get("/api/queue", headers=OURS).status_code == 200
    assert status == 503
    assert "locked by another program" in body["problem"]
    assert db.scores.hand_scores.history(project.store, image_id) == []
    assert score(client, "one", image_id, 7)[0] == 200
    assert [row.value for row in db.scores.hand_scores.history(project.store, image_id)] == [7.0]


# Moved.


def test_a_project_that_was_moved_has_everything_where_it_is_now(
    project: Project, tmp_path: Path
) -> None:
    project.close()
    before = stored(project.folder)
    place = tmp_path / "elsewhere" / "mine"
    place.parent.mkdir()
    project.folder.rename(place)
    assert stored(place) == before
    assert invoke(["--project", str(place), "label", "21", "7"]).exit_code == 0
    told = invoke(["--project", str(place), "review"])
    assert told.exit_code == 0
    assert str(project.folder) not in told.output


def test_a_project_moved_under_the_app_takes_nothing_until_it_is_back(
    client: TestClient, project: Project, tmp_path: Path
) -> None:
    image_id = ids_of(project)[22]
    assert client.get("/api/stats", headers=OURS).status_code == 200
    project.folder.rename(tmp_path / "away")
    status, body = score(client, "one", image_id, 7)
    assert status == 503
    assert str(project.folder) in body["problem"]
    assert "labeler --project NEWPLACE app" in body["problem"]
    with pytest.raises(LabelerError, match="not there any more"):  # so no page offers a new one
        served.current_project()
    assert not project.folder.exists()
    (tmp_path / "away").rename(project.folder)
    assert score(client, "one", image_id, 7)[0] == 200
    assert [row.value for row in db.scores.hand_scores.history(project.store, image_id)] == [7.0]


def test_a_download_that_finds_no_room_for_its_scratch_files_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))

    def full(prefix: str) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"/tmp/{prefix}")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    app = Starlette(routes=downloads.routes())
    with TestClient(app, base_url=HOST) as client:
        answer = client.get("/api/download/dataset?format=csv")
    assert answer.status_code == 409
    assert "make room on that disk" in answer.text
