"""Stores of every schema that was released open with all that they held, row by row.

Protects people's old projects: a migration may add, but what was there is there afterwards, and
lies beside the store as it was before; a store from a newer program is left alone. Fails if a
migration is added without a fixture of the schema before it: see `filled_store.py`.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import db.images.lookup
import db.images.tags
import db.jobs
import db.repair.consistency
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.errors import StoreError
from db.store.migrate import SCRIPTS
from db.store.migrations.known import HEAD
from db.store.store import Store
from tests.support.filled_store import write
from tests.support.store_rows import score, tags_of_image

ASSETS = Path(__file__).parents[2] / "assets"
FIXTURES = sorted(ASSETS.glob("store-*.sqlite"))
REVISIONS = sorted(path.name[1:5] for path in (SCRIPTS / "versions").glob("r*.py"))

Tables = dict[str, tuple[list[str], list[tuple[Any, ...]]]]


def revision_of(path: Path) -> str:
    return path.stem.removeprefix("store-")


def tables_of(path: Path, like: Tables | None = None) -> Tables:
    """Columns and sorted rows of every table; only what `like` has, if given."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        found: Tables = {}
        for (name,) in names.fetchall():
            if name == "alembic_version" or (like is not None and name not in like):
                continue
            known = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            columns = known if like is None else like[name][0]
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall()
            found[name] = columns, sorted(rows, key=repr)
        return found


def test_every_schema_that_was_released_has_a_fixture() -> None:
    """A new migration needs the store that the code wrote until then."""
    assert [revision_of(path) for path in FIXTURES] == REVISIONS
    assert REVISIONS[-1] == HEAD
    for path in FIXTURES:
        with closing(sqlite3.connect(path)) as connection:
            kept = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert kept == (revision_of(path),), "a fixture is never opened in its place"


@pytest.mark.parametrize("fixture", FIXTURES, ids=revision_of)
def test_all_data_is_there_after_the_upgrade_and_the_old_store_beside_it(
    fixture: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labeler.sqlite"
    shutil.copy(fixture, path)
    before = tables_of(path)
    assert all(before[name][1] for name in ("images", "hand_scores", "skips", "embeddings"))
    with closing(Store.open(path)) as store:
        found = {
            each.name: db.repair.consistency.find(store, each)
            for each in db.repair.consistency.CONSISTENCY_CHECKS
        }
        assert not any(found.values()), found
        everything_can_be_read(store)
    assert tables_of(path, like=before) == before
    copies = [each.name for each in tmp_path.iterdir() if "before" in each.name]
    if revision_of(fixture) == HEAD:
        assert copies == []
        return
    assert copies == [f"labeler.sqlite.before-{HEAD}"]
    assert tables_of(tmp_path / copies[0]) == before
    with closing(sqlite3.connect(tmp_path / copies[0])) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == (
            revision_of(fixture),
        )


def everything_can_be_read(store: Store) -> None:
    """And scored: the queries of today understand what was written then."""
    with store.reading() as session:
        ids = [row[0] for row in session.connection().exec_driver_sql("SELECT id FROM images")]
    assert len(db.images.lookup.by_ids(store, ids)) == len(ids)
    assert db.scores.hand_scores.histories(store, ids)
    for version in db.versions.registry.history(store):
        db.versions.predictions.predictions(store, version.id)
        db.versions.predictions.out_of_fold(store, version.id)
    assert db.versions.rounds.history(store)
    assert db.jobs.latest(store, "train")
    for image_id in ids:
        tags_of_image(store, image_id)


@pytest.mark.parametrize("fixture", FIXTURES, ids=revision_of)
def test_an_upgraded_store_goes_on(fixture: Path, tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    shutil.copy(fixture, path)
    with closing(Store.open(path)) as store:
        before = len(db.scores.hand_scores.history(store, 2))
        assert score(store, 2, 4, event_id="after the upgrade").accepted
        assert len(db.scores.hand_scores.history(store, 2)) == before + 1
        assert not db.repair.consistency.find(store, db.repair.consistency.CONSISTENCY_CHECKS[-1])


@pytest.mark.parametrize("fixture", FIXTURES, ids=revision_of)
def test_the_copy_before_the_upgrade_opens_like_the_old_store(
    fixture: Path, tmp_path: Path
) -> None:
    """What was done since the upgrade is lost with it, nothing else."""
    path = tmp_path / "labeler.sqlite"
    shutil.copy(fixture, path)
    Store.open(path).close()
    copy = path.with_name(f"labeler.sqlite.before-{HEAD}")
    if not copy.exists():
        assert revision_of(fixture) == HEAD
        return
    upgraded = tables_of(path)
    copy.replace(path)
    Store.open(path).close()
    assert tables_of(path) == upgraded


def test_a_store_of_a_newer_program_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    write(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer version .*schema 9999.*update the program"):
        Store.open(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["labeler.sqlite"]


def test_what_becomes_the_next_fixture_holds_rows_in_every_table(tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    write(path)
    assert [name for name, (_, rows) in tables_of(path).items() if not rows] == []
