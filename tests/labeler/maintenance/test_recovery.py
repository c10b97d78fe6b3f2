"""Of a damaged store what can be read is saved, the hand scores above all.

Protects somebody whose disk has bad sectors and who has no backup. The damaged store stays.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import db.images.embeddings
import db.scores.events
import db.scores.hand_scores
from db.errors import StoreError
from db.records import Event
from db.repair.page_scan import rows_of
from db.store.store import PAGE_SIZE, Store
from labeler.cli.main import labeler
from labeler.core.progress import silent
from labeler.core.project import STORE_FILE, Project
from labeler.maintenance.doctor import check_project
from labeler.maintenance.recovery import recover
from tests.support.collection import START
from tests.support.store_rows import add_encoder, add_images, add_version, score

IMAGES = 900
FILES = {"heads", "backups"}  # what is found here of a store without files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.create(tmp_path_factory.mktemp("whole") / "taste", "lite")
    ids = add_images(project.store, IMAGES)
    encoder = add_encoder(project.store, "lite", 64)
    vectors = np.random.default_rng(1).normal(size=(IMAGES, 64)).astype(np.float32)
    db.images.embeddings.put(project.store, encoder, ids, vectors)
    db.scores.events.record(
        project.store,
        [Event(f"given-{i}", "score", i, START, value=i % 11, scorer="ann") for i in ids],
    )
    add_version(project.store)
    with project.store.transaction() as session:  # such small pictures need no preview
        session.connection().exec_driver_sql("UPDATE images SET width = 400, height = 300")
    project.close()
    return project.folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "taste")


def pages_of(path: Path, name: str) -> list[int]:
    """The leaf pages of a table or index, counted from 1."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            rows = connection.execute(
                "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path",
                (name,),
            ).fetchall()
        except sqlite3.OperationalError:
            pytest.skip("this SQLite can't tell which page holds what")
    return [row[0] for row in rows]


def spoil(path: Path, pages: list[int]) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE_SIZE)
            file.write(b"\xa5" * PAGE_SIZE)


def given(folder: Path) -> set[tuple[str, int, float]]:
    with closing(Store.open(folder / STORE_FILE)) as store:
        rows = db.scores.hand_scores.histories(store, list(range(1, IMAGES + 1)))
        return {(row.event_id, row.image_id, row.value) for row in rows}


def kept_damaged(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{STORE_FILE}.damaged-*"))


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(labeler, ["--project", str(folder), "doctor", *arguments])
    return ended.exit_code, ended.output


@pytest.mark.parametrize(
    "harmed", ["images", "locations", "embeddings", "versions", "sqlite_autoindex_hand_scores_1"]
)
def test_no_hand_score_is_lost_where_others_are_damaged(folder: Path, harmed: str) -> None:
    path = folder / STORE_FILE
    before, pages = given(folder), pages_of(path, harmed)
    spoil(path, pages[len(pages) // 2 :][:2])
    spoiled = path.read_bytes()
    code, output = run(folder)
    assert code == 1
    assert "labeler doctor --repair" in output
    assert path.read_bytes() == spoiled, "looking changes nothing"
    _, output = run(folder, "--repair")
    assert f"{IMAGES} hand scores" in output
    assert given(folder) == before
    (damaged,) = kept_damaged(folder)
    assert damaged.read_bytes() == spoiled
    assert {each.name for each in check_project(folder).findings} <= FILES
    with closing(Store.open(path)) as store:
        ids, values = db.scores.hand_scores.effective(store)
    assert dict(zip(ids.tolist(), values.tolist(), strict=True)) == {
        image_id: value for _, image_id, value in before
    }


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_of_the_hand_scores_only_those_on_the_damaged_page_are_lost(
    folder: Path, place: str
) -> None:
    before, pages = given(folder), pages_of(folder / STORE_FILE, "hand_scores")
    at = {"first": 0, "middle": len(pages) // 2, "last": len(pages) - 1}[place]
    spoil(folder / STORE_FILE, [pages[at]])
    _, output = run(folder, "--repair")
    left = given(folder)
    assert left < before
    assert len(before) - len(left) <= 2 * IMAGES / len(pages)
    assert "Some of hand_scores could not be read" in output


def test_hand_scores_that_nothing_leads_to_are_found_on_their_pages(folder: Path) -> None:
    """The page from which all others of the table are found is gone."""
    path = folder / STORE_FILE
    before = given(folder)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'hand_scores'"
        (root,) = connection.execute(query).fetchone()
    assert root not in pages_of(path, "hand_scores")
    spoil(path, [root])
    _, output = run(folder, "--repair")
    assert f"{IMAGES} hand scores" in output
    assert given(folder) == before
    with closing(Store.open(path)) as store:
        kept = db.scores.hand_scores.history(store, 3)[0]
    assert (kept.scorer, kept.at, kept.why, kept.undone_at) == ("ann", START, "first", None)


def test_hand_scores_that_are_passed_over_without_an_error_are_found_too(folder: Path) -> None:
    """The page above all others names one of them twice and another not at all."""
    path = folder / STORE_FILE
    before = given(folder)
    spoil_pointer(path, "hand_scores")
    with closing(sqlite3.connect(path)) as connection:
        told = connection.execute("SELECT event_id FROM hand_scores NOT INDEXED").fetchall()
    _, output = run(folder, "--repair")
    assert given(folder) == before
    passed_over = IMAGES - len(set(told))
    assert passed_over > 0
    assert f"Nothing led to {passed_over} of the hand scores but their own pages." in output


def spoil_pointer(path: Path, table: str) -> None:
    """Have the root page of a table lead to its fourth child in place of its third."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = connection.execute(query, (table,)).fetchone()
    start = (root - 1) * PAGE_SIZE
    data = bytearray(path.read_bytes())
    assert data[start] == 5, "a page that leads to others"
    third, fourth = (
        start + int.from_bytes(data[at : at + 2], "big") for at in (start + 16, start + 18)
    )
    data[third : third + 4] = data[fourth : fourth + 4]
    path.write_bytes(data)


def test_rows_on_pages_that_are_not_used_any_more_come_last(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        for table, rows in (("old", 30), ("now", 1)):
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, word TEXT)")
            words = [(f"{table} {'-' * 500}",)] * rows  # seven rows a page
            connection.executemany(f"INSERT INTO {table} (word) VALUES (?)", words)
        connection.execute("DROP TABLE old")
        connection.commit()
    words = [str(values[1])[:3] for _, values in rows_of(path, 2)]
    assert words[0] == "now"
    assert "old" in words[1:]


def test_a_score_that_is_given_while_the_store_is_read_is_not_lost(folder: Path) -> None:
    """An app is started before all is read: it still works with the damaged store."""
    path = folder / STORE_FILE
    spoil(path, pages_of(path, "embeddings")[:1])

    def score_late(_done: int, _total: int, what: str) -> None:
        if what == "reading what follows from them":
            with closing(Store.open(path)) as store:
                assert score(store, 1, 8, event_id="late").accepted

    with pytest.raises(StoreError, match=r"was written while it was read.*run this again"):
        recover(path, folder / "kept", score_late)
    assert ("late", 1, 8) in given(folder)
    assert [each.name for each in folder.iterdir() if "labeler-" in each.name] == []
    recover(path, folder / "kept", silent)
    assert ("late", 1, 8) in given(folder)


def test_an_app_that_has_the_store_open_must_be_closed_first(folder: Path) -> None:
    path = folder / STORE_FILE
    pages = pages_of(path, "images")
    with closing(Store.open(path)) as store:
        store.set_setting("threshold", "0.4")
        with path.open("rb"):
            spoil(path, pages[1:3])
        code, output = run(folder, "--repair")
        assert code == 1
        assert "close the app" in output
    assert kept_damaged(folder) == []
    assert [each.name for each in folder.iterdir() if ".labeler-" in each.name] == []


def test_of_a_file_that_is_no_store_any_more_it_says_so(folder: Path) -> None:
    path = folder / STORE_FILE
    spoil(path, [1])
    before = path.read_bytes()
    code, output = run(folder, "--repair")
    assert code == 1
    assert "restore a" in output
    assert path.read_bytes() == before
