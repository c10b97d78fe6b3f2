"""A store that holds triggers, views or the like of a stranger's is refused, and its rows saved.

Protects whoever opens a project that was handed on: nothing in its schema acts on what they score,
runs without end or hides what is there; and `labeler doctor --repair` leads to a store of ours.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from db.errors import StoreError
from db.store.connect import connect
from db.store.migrations.known import HEAD, KNOWN
from db.store.schema_check import described, schema_of, strange
from db.store.snapshot import problems_of
from db.store.store import Store
from labeler.cli.main import labeler
from labeler.core.project import STORE_FILE, Project
from labeler.maintenance.doctor import check_project
from tests.support.store_rows import add_images, new_store, score

ASSETS = Path(__file__).parents[2] / "assets"
FIXTURES = sorted(ASSETS.glob("store-*.sqlite"))
FILES = {"backups", "previews"}  # what is found here of a store without files
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with two scores in it."""
    project = Project.create(tmp_path / "taste", "lite")
    for image_id, value in zip(add_images(project.store, 3), (2, 9), strict=False):
        score(project.store, image_id, value)
    project.close()
    return project.folder


def harm(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def forge(path: Path, name: str, old: str, new: str) -> None:
    """Change the words by which something was made, and nothing else."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        (sql,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = ?", (name,)
        ).fetchone()
        assert old in sql
        connection.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql.replace(old, new), name)
        )
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute(f"PRAGMA schema_version = {version + 1}")
        connection.commit()


def scores_in(folder: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        return connection.execute("SELECT id, image_id, value FROM hand_scores").fetchall()


def run(folder: Path, *words: str) -> tuple[int, str]:
    ended = CliRunner().invoke(labeler, ["--project", str(folder), *words])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.output


def test_the_schema_of_every_revision_is_known_word_by_word(tmp_path: Path) -> None:
    """A new revision needs its entry in db/store/migrations/known.py: what this prints."""
    with new_store(tmp_path) as store, closing(connect(store.path)) as connection:
        now = described(connection)
    former = schema_of(next(each for each in reversed(KNOWN) if each < HEAD))
    entry = {name: made for name, made in now.items() if former.get(name) != made}
    entry |= {name: "" for name in former if name not in now}
    assert HEAD in KNOWN, f'"{HEAD}": {entry}'
    assert strange(now, HEAD) == [], entry
    for fixture in FIXTURES:
        shutil.copy(fixture, tmp_path / "old.sqlite")
        with closing(connect(tmp_path / "old.sqlite")) as connection:
            assert strange(described(connection), fixture.stem[6:]) == []


STRANGERS = {
    "trigger more": "CREATE TRIGGER more AFTER INSERT ON hand_scores BEGIN"
    " UPDATE hand_scores SET value = 10 - NEW.value WHERE id = NEW.id; END",
    "trigger instead": "CREATE TRIGGER instead AFTER UPDATE ON images BEGIN"
    " DELETE FROM hand_scores; END",
    "view some": "CREATE VIEW some AS SELECT * FROM images",
    "view endless": f"CREATE VIEW endless AS {ENDLESS}",
    "table more": "CREATE TABLE more (id INTEGER PRIMARY KEY, value REAL)",
    "index by_value": "CREATE INDEX by_value ON hand_scores (abs(value))",
    "index partial": "CREATE INDEX partial ON images (id) WHERE hand_score > 3",
    "table found": "CREATE VIRTUAL TABLE found USING fts5(words)",
    "table images": "ALTER TABLE images ADD COLUMN more TEXT GENERATED ALWAYS AS (id) VIRTUAL",
    "no index ix_images_scored": "DROP INDEX ix_images_scored",
    "no trigger images_come": "DROP TRIGGER images_come",
}


@pytest.mark.parametrize("what", STRANGERS)
def test_what_is_not_ours_is_refused_by_its_name_and_its_rows_are_saved(
    folder: Path, what: str
) -> None:
    before, path = scores_in(folder), folder / STORE_FILE
    harm(path, STRANGERS[what])
    code, output = run(folder, "status")
    assert code == 1
    assert what in output
    assert "labeler doctor --repair" in output
    code, output = run(folder, "doctor")
    assert code == 1
    assert what in output
    assert scores_in(folder) == before
    run(folder, "doctor", "--repair")
    assert scores_in(folder) == before
    assert {each.name for each in check_project(folder).findings} <= FILES
    with closing(Store.open(path)) as store:
        assert score(store, 3, 4).accepted
    assert scores_in(folder)[-1][2] == 4


FORGED = {
    "a constraint": ("table hand_scores", "CHECK (value BETWEEN 0 AND 10)", "CHECK (value < 99)"),
    "a default": (
        "table versions",
        "scored_count INTEGER DEFAULT 0",
        "scored_count INTEGER DEFAULT 9",
    ),
    "an order": ("table settings", "name TEXT NOT NULL", "name TEXT COLLATE NOCASE NOT NULL"),
    "a trigger of ours": ("trigger images_come", "id_sum + excluded.id_sum", "0"),
    "a keyword as a name": (
        "table images",
        "size_bytes BIGINT NOT NULL",
        'size_bytes BIGINT "NOT"',
    ),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_ours_by_name_alone_is_refused(folder: Path, what: str) -> None:
    name, old, new = FORGED[what]
    forge(folder / STORE_FILE, name.split()[1], old, new)
    with pytest.raises(StoreError, match=name):
        Store.open(folder / STORE_FILE)
    before = scores_in(folder)
    check_project(folder, repair=True)
    assert scores_in(folder) == before
    assert {each.name for each in check_project(folder).findings} <= FILES


@pytest.mark.parametrize("name", ["hand_scores", "alembic_version", "images"])
def test_a_view_without_end_in_place_of_a_table_holds_nobody_up(folder: Path, name: str) -> None:
    path = folder / STORE_FILE
    harm(
        path,
        "PRAGMA legacy_alter_table = ON",
        f"ALTER TABLE {name} RENAME TO hidden",
        f"CREATE VIEW {name} AS {ENDLESS}",
    )
    code, output = run(folder, "status")
    assert code == 1
    assert "labeler doctor --repair" in output
    code, output = run(folder, "doctor", "--repair")
    assert "Traceback" not in output
    with closing(Store.open(path)):
        pass


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_a_stranger_in_an_old_store_is_not_met_by_the_migration(
    fixture: Path, tmp_path: Path
) -> None:
    path = tmp_path / STORE_FILE
    shutil.copy(fixture, path)
    harm(
        path,
        "CREATE TRIGGER more AFTER UPDATE ON versions BEGIN DELETE FROM hand_scores; END",
        "UPDATE sqlite_sequence SET seq = 1" if False else "CREATE VIEW endless AS SELECT 1 AS i",
    )
    before = scores_in(tmp_path)
    with pytest.raises(StoreError, match="trigger more, view endless"):
        Store.open(path)
    assert scores_in(tmp_path) == before
    assert [each.name for each in tmp_path.iterdir() if "before" in each.name] == []
    check_project(tmp_path, repair=True)
    assert scores_in(tmp_path) == before


def test_what_sqlite_itself_keeps_about_a_store_is_no_stranger(folder: Path) -> None:
    harm(folder / STORE_FILE, "ANALYZE")
    with closing(Store.open(folder / STORE_FILE)) as store:
        assert score(store, 3, 4).accepted


def test_a_store_that_says_twice_when_it_was_written_is_refused(folder: Path) -> None:
    harm(folder / STORE_FILE, "INSERT INTO alembic_version VALUES ('0001')")
    code, output = run(folder, "status")
    assert (code, "labeler doctor --repair" in output) == (1, True)
    run(folder, "doctor", "--repair")
    assert run(folder, "status")[0] == 0


def test_a_file_whose_pages_lead_in_circles_comes_to_an_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of pages of the same page: a million times a million rows in a few kilobytes."""
    monkeypatch.setattr("db.store.connect._STEPS", 2_000_000)
    path = folder / STORE_FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'skips'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    pages = len(data) // size
    for level in range(5):  # root, then pages at the end of the file
        child = pages + level + 1
        cells = 1000
        page = bytearray(size)
        page[0] = 5
        page[3:5] = cells.to_bytes(2, "big")
        page[5:7] = (12 + 2 * cells).to_bytes(2, "big")
        page[8:12] = child.to_bytes(4, "big")
        cell = child.to_bytes(4, "big") + b"\x01"
        start = size - len(cell)
        page[start:] = cell
        for each in range(cells):
            page[12 + 2 * each : 14 + 2 * each] = start.to_bytes(2, "big")
        if level == 0:
            data[(root - 1) * size : root * size] = page
        else:
            data += page
    leaf = bytearray(size)
    leaf[0] = 13
    leaf[3:5] = (1).to_bytes(2, "big")
    row = b"\x09\x01\x08\x00\x00\x00\x00\x00\x00\x00\x00"
    leaf[5:7] = (size - len(row)).to_bytes(2, "big")
    leaf[8:10] = (size - len(row)).to_bytes(2, "big")
    leaf[size - len(row) :] = row
    data += leaf
    data[28:32] = (len(data) // size).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    assert problems_of(path)
    before = scores_in(folder)
    with (
        closing(Store.open(path)) as store,
        pytest.raises(StoreError, match="damaged"),
        store.reading() as session,
    ):
        session.connection().exec_driver_sql("SELECT sum(rowid) FROM skips NOT INDEXED").scalar()
    check_project(folder, repair=True)
    assert scores_in(folder) == before
    assert run(folder, "status")[0] == 0
