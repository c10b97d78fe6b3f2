"""The store's file: made, opened, migrated, refused, shared.

Protects: the models and the migrations describe one schema; an old store opens with all it holds
and a copy beside it; a file that can't be used is refused with a sentence and left as it was;
writers in many threads and processes all get through; nothing half-done is kept.

`assets/store-0001.sqlite` was written by the first schema: `fill_asset` below on a new store,
closed, then `PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM`. `store-0002.sqlite` by
the second one, with `add_new_in_0002` after it. Never write them again.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

import db.images.counts
import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.images.sources
import db.images.tags
import db.importing.files
import db.jobs
import db.scores.events
import db.scores.hand_scores
import db.scores.queue_queries
import db.scores.random_sample
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.errors import StoreError
from db.records import Predictions
from db.store.migrate import SCRIPTS, bring_up_to_date
from db.store.migrations.known import HEAD
from db.store.schema import Base
from db.store.store import Store
from tests.support.store_rows import (
    NOON,
    add_encoder,
    add_images,
    add_version,
    event,
    new_store,
    picture,
    score,
    tags_of_image,
)

ASSETS = Path(__file__).parents[2] / "assets"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


def schema_of(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: re.sub(r"\s+", " ", sql) for name, sql in rows if name != "alembic_version"}


def test_models_and_migrations_agree(store: Store) -> None:
    with store.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrated_tables_are_what_the_models_would_make_to_the_letter(
    store: Store, tmp_path: Path
) -> None:
    """Checks, WITHOUT ROWID and partial indexes too, which Alembic doesn't compare."""
    modelled = create_engine(f"sqlite:///{tmp_path / 'modelled.sqlite'}")
    Base.metadata.create_all(modelled)
    modelled.dispose()
    assert schema_of(store.path) == schema_of(tmp_path / "modelled.sqlite")


def test_a_store_is_kept_safely(store: Store) -> None:
    with store.reading() as session:
        pragmas = {
            name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "page_size", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 2,  # FULL
        "page_size": 8192,
        "busy_timeout": 30_000,
    }


def test_settings_are_kept_and_replaced(store: Store) -> None:
    assert store.setting("encoder") is None
    store.set_setting("encoder", "lite")
    store.set_setting("encoder", "clip")
    store.close()
    with closing(Store.open(store.path)) as again:
        assert again.setting("encoder") == "clip"


def test_a_setting_that_is_kept_is_the_first_one(store: Store) -> None:
    assert store.keep_setting("project_id", "one") == "one"
    assert store.keep_setting("project_id", "other") == "one"
    assert store.setting("project_id") == "one"


def test_create_leaves_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    path.write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        Store.create(path)
    assert path.read_text() == "mine"


def test_create_names_the_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        Store.create(tmp_path / "nowhere" / "labeler.sqlite")


def test_a_store_that_is_not_made_to_its_end_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labeler.sqlite"

    def killed(store: Store, name: str, value: str) -> None:
        assert not path.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Store, "set_setting", killed)
        with pytest.raises(KeyboardInterrupt):
            Store.create(path, {"encoder": "lite"})
    assert list(tmp_path.iterdir()) == []
    made = Store.create(path, {"encoder": "lite"})
    assert made.setting("encoder") == "lite"
    made.close()


def test_opening_what_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="labeler init"):
        Store.open(tmp_path / "labeler.sqlite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a database, " * 100], ids=["empty", "text"])
def test_another_file_is_refused_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labeler.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a store of this program"):
        Store.open(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE alembic_version (version_num TEXT);"
            "INSERT INTO alembic_version VALUES ('9f3c');"
        )
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not a store of this program"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_damaged_store_is_refused(store: Store) -> None:
    add_images(store, 50)
    store.close()
    content = bytearray(store.path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    store.path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"), closing(Store.open(store.path)) as damaged:
        db.images.counts.by_state(damaged)


def test_a_newer_store_is_refused_and_left_as_it_was(store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StoreError, match=r"newer version .*9999.*update the program"):
        Store.open(store.path)
    assert [path.name for path in store.path.parent.iterdir()] == ["labeler.sqlite"]


def test_whoever_waits_in_vain_for_their_turn_says_so_and_takes_it_from_nobody(
    store: Store,
) -> None:
    with closing(Store.open(store.path, patience=0.05)) as shared:
        failures: list[str] = []

        def write() -> None:
            try:
                shared.set_setting("late", "1")
            except StoreError as error:
                failures.append(str(error))

        with shared.transaction():
            for _ in range(2):  # the second one as well: the first has not ended a turn of another
                waiting = threading.Thread(target=write)
                waiting.start()
                waiting.join()
        assert len(failures) == 2
        assert all("locked" in failure for failure in failures)
        write()
        assert shared.setting("late") == "1"


def test_a_store_that_another_program_keeps_to_itself_is_named_as_locked(store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked by another program"):
            Store.open(store.path, patience=0)


def test_a_writer_that_waited_in_vain_says_so_and_a_reader_does_not_wait(store: Store) -> None:
    hasty = Store.open(store.path, patience=0)
    with closing(hasty), store.transaction():
        assert hasty.setting("encoder") is None
        with pytest.raises(StoreError, match="locked by another program"):
            hasty.set_setting("encoder", "lite")
    with closing(Store.open(store.path, patience=0)) as after:
        after.set_setting("encoder", "lite")
        assert store.setting("encoder") == "lite"


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as session:
        session.connection().exec_driver_sql("INSERT INTO settings VALUES ('encoder', 'lite')")
        raise ZeroDivisionError
    assert store.setting("encoder") is None


def test_a_reader_sees_one_moment(store: Store) -> None:
    count = "SELECT count(*) FROM settings"
    with store.reading() as session:
        before = session.connection().exec_driver_sql(count).scalar()
        store.set_setting("encoder", "lite")
        assert session.connection().exec_driver_sql(count).scalar() == before == 0


def test_the_newest_migration_is_the_one_that_opening_looks_for(store: Store) -> None:
    """Else every opening would import Alembic, or a new migration would never run."""
    modules = sorted((SCRIPTS / "versions").glob("r*.py"))
    assert modules[-1].name.startswith(f"r{HEAD}_")
    code = f"""
import sys; from pathlib import Path; from db.store.store import Store
Store.open(Path({str(store.path)!r})).close()
print('alembic' in sys.modules)
"""
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


LATER = """
from alembic import op
import sqlalchemy as sa
revision = "later"
down_revision = "{head}"
def upgrade():
    with op.batch_alter_table("sources") as sources:
        sources.alter_column("root", nullable=False, existing_type=sa.Text)
    op.add_column("images", sa.Column("stars", sa.Integer))
    {more}
"""


def later_scripts(folder: Path, more: str = "") -> Path:
    """The migrations with one more, which rebuilds a table that others refer to."""
    scripts = folder / "100% migrations"
    shutil.copytree(SCRIPTS, scripts)
    (scripts / "versions" / "later.py").write_text(LATER.format(head=HEAD, more=more))
    return scripts


def test_an_old_store_is_migrated_with_all_it_holds_and_a_copy_beside_it(
    store: Store, tmp_path: Path
) -> None:
    (image_id,) = add_images(store, 1)
    score(store, image_id, 0)
    scripts = later_scripts(tmp_path)
    store.close()
    bring_up_to_date(store.path, 1, scripts)
    with closing(sqlite3.connect(store.path)) as connection:
        new = connection.execute("SELECT id, stars, hand_score FROM images")
        assert new.fetchall() == [(image_id, None, 0.0)]
    with closing(Store.open(tmp_path / "labeler.sqlite.before-later")) as copy:
        assert db.images.counts.by_hand_score(copy).distribution[0] == 1
    bring_up_to_date(store.path, 1, scripts)  # Nothing is left to do.


@pytest.mark.parametrize(
    "more",
    [
        "raise ZeroDivisionError",
        "op.execute('DELETE FROM images')",
    ],
    ids=["fails", "breaks references"],
)
def test_a_migration_that_fails_leaves_the_store_as_it_was(
    store: Store, tmp_path: Path, more: str
) -> None:
    (image_id,) = add_images(store, 1)
    with pytest.raises((ZeroDivisionError, StoreError)):
        bring_up_to_date(store.path, 1, later_scripts(tmp_path, more))
    store.close()
    with closing(Store.open(store.path)) as again:
        assert db.images.lookup.get(again, image_id) is not None
        assert "stars" not in schema_of(store.path)["images"]


def test_threads_write_at_once_and_all_get_through(store: Store) -> None:
    ids = add_images(store, 8)
    failures: list[BaseException] = []

    def write(image_id: int) -> None:
        try:
            for value in range(10):
                score(store, image_id, value)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(image_id,)) for image_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert db.scores.hand_scores.history_counts(store) == dict.fromkeys(ids, 10)
    assert db.images.counts.by_hand_score(store).distribution[9] == 8


PROCESS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import db.scores.events
from db.records import Event
from db.store.store import Store
store, image_id = Store.open(Path(sys.argv[1])), int(sys.argv[2])
for i in range(20):
    event = Event(f"{image_id}-{i}", "score", image_id, datetime.now(UTC), value=i % 11)
    assert db.scores.events.record(store, [event])[0].accepted
store.close()
"""


def test_processes_write_at_once_and_all_get_through(store: Store) -> None:
    ids = add_images(store, 3)
    command = [sys.executable, "-c", PROCESS, str(store.path)]
    processes = [subprocess.Popen([*command, str(image_id)], cwd=ROOT) for image_id in ids]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert db.scores.hand_scores.history_counts(store) == dict.fromkeys(ids, 20)


def fill_asset(store: Store) -> None:
    """A little of everything, so that a later schema shows what it makes of it."""
    ids = add_images(store, 6)
    db.images.sources.update_source(store, 1, (1.0, 4.5))
    odd = picture(7, path="/pictures/\udcff<b>.png", content_hash=None, reason="empty file")
    db.importing.files.record_files(store, [picture(0, path="/pictures/copy.png"), odd])
    db.importing.files.mark_missing(store, 1, ["/pictures/5.png"])
    db.images.lookup.set_groups(store, {ids[0]: "pair", ids[1]: "pair"})
    for image_id, value in zip(ids, (0, 10, 7.5, 2), strict=False):
        score(store, image_id, value, scorer="ann")
    encoder_id = add_encoder(store)
    db.images.embeddings.put(store, encoder_id, ids, np.arange(24, dtype=np.float32).reshape(6, 4))
    first = add_version(store, note="the first", metrics={"mae": 0.5}, curve=[[0, 1.0]])
    exceed = np.linspace(1, 0, 10, dtype=np.float32)[None].repeat(6, axis=0)
    predicted = Predictions(np.array(ids), np.linspace(0, 1, 6, dtype=np.float32), exceed)
    db.versions.predictions.put_predictions(store, first.id, predicted)
    review = db.versions.rounds.open_round(store, first.id, 0.5)
    db.versions.rounds.mark_shown(
        store, review.id, "false-positive", [(ids[4], 0.8), (ids[5], 1.0)]
    )
    details = {"queue": "false-positive", "shown_version": "v1.0", "shown_prediction": 0.8}
    score(store, ids[4], 1, **details)
    db.scores.events.record(
        store,
        [
            event("skip", "skip", ids[5], queue="false-positive", shown_version="v1.0"),
            event("undo", "undo", undoes="image-3-0"),
        ],
    )
    add_version(store, parent="v1.0", note="the second")
    run, _ = db.jobs.start(store, "train", {"recipe": "quick"})
    db.jobs.finish(store, run.id, "done", version_id=first.id)


def add_new_in_0002(store: Store) -> None:
    """What the second schema brought: random draws, and tags."""
    waiting = db.scores.queue_queries.unscored(store, order="random", limit=1)[0].id
    score(store, waiting, 6, draw=True, event_id="drawn")
    db.images.tags.put(store, db.images.tags.BESIDE, {1: ["sky", "caf\xe9"], 2: ["sky"]})
    db.images.tags.put(store, db.images.tags.TABLE, {1: ["sky", "night"]})


def test_a_store_of_the_second_schema_opens_with_its_draws_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    shutil.copy(ASSETS / "store-0002.sqlite", path)
    with closing(Store.open(path)) as old:
        assert tags_of_image(old, 1) == ["caf\xe9", "night", "sky"]
        assert tags_of_image(old, 2) == ["sky"]
        assert db.scores.hand_scores.history(old, 3)[-1].event_id == "drawn"
        assert 3 in db.scores.random_sample.random_sample(old).image_ids


def test_a_store_of_the_first_schema_opens_with_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "labeler.sqlite"
    shutil.copy(ASSETS / "store-0001.sqlite", path)
    with closing(Store.open(path)) as old:
        assert db.images.counts.by_state(old) == {"fine": 5, "unreadable": 1, "missing": 1}
        source = db.images.sources.sources(old)[0]
        assert (source.name, source.expect_low, source.expect_high) == ("drawings", 1.0, 4.5)
        odd = db.images.lookup.find_by_path(old, "/pictures/\udcff<b>.png")
        assert odd is not None
        assert (odd.state, odd.reason) == ("unreadable", "empty file")
        assert len(db.images.locations.locations(old, 1)) == 2
        assert db.images.lookup.groups(old) == {1: "pair", 2: "pair"}
        ids, values = db.scores.hand_scores.effective(old)
        assert dict(zip(ids.tolist(), values.tolist(), strict=True)) == {
            1: 0.0,
            2: 10.0,
            4: 2.0,
            5: 1.0,
        }
        undone = db.scores.hand_scores.history(old, 3)[0]
        assert (undone.value, undone.scorer, undone.at) == (7.5, "ann", NOON)
        assert undone.undone_at == NOON
        vectors = dict(
            zip(*(a.tolist() for a in db.images.embeddings.get(old, 1, [1, 6])), strict=True)
        )
        assert vectors == {1: [0, 1, 2, 3], 6: [20, 21, 22, 23]}
        first, second = db.versions.registry.history(old)
        assert (first.name, first.note, first.metrics) == ("v1.0", "the first", {"mae": 0.5})
        assert (second.parent, second.active, second.scored_count) == ("v1.0", True, 4)
        predicted = db.versions.predictions.predictions(old, first.id)
        assert predicted.scores.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
        assert predicted.exceed is not None
        assert predicted.exceed[0] == pytest.approx(np.linspace(1, 0, 10), abs=1e-3)
        assert db.versions.predictions.out_of_fold(old, first.id).folds.tolist() == [1, 2, 3, 4]
        review = db.versions.rounds.history(old)[0]
        assert (review.from_version, review.to_version) == ("v1.0", "v1.1")
        assert (review.shown, review.corrected, review.skipped) == (2, 1, 1)
        run = db.jobs.latest(old, "train")
        assert run is not None
        assert (run.state, run.version, run.params) == ("done", "v1.0", {"recipe": "quick"})
        assert score(old, 6, 4).accepted
