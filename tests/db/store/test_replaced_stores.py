"""A store whose files are exchanged while it is open takes nothing more, and harms neither.

Protects scores that would be acknowledged into a file that nobody will ever open, and backups that
are put over a store in use: SQLite mixes the two without a word. Also: one process doesn't take
what another does for such an exchange, and an older program stops where a newer one migrates.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from db.errors import ReplacedError, StoreError
from db.store.commit_numbers import ahead, belong, file_and_log_belong, following, new_lineage
from db.store.snapshot import copy_store
from db.store.store import Store
from labeler.app.routes.json_api import routes
from labeler.app.security.request_guards import guard_middleware
from labeler.app.server.log_checkpoint import IdleCheckpointer
from tests.support.exchanges import (
    FILES,
    NAME,
    WAYS,
    event_ids,
    instead,
    over_it,
    play,
    start_writer,
    what_is_there,
)
from tests.support.store_rows import add_images, new_store, score

HOST = "http://127.0.0.1:8501"
OURS = {"X-Labeler": "1", "Origin": HOST}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "project").mkdir()
    with new_store(tmp_path / "project") as made:
        add_images(made, 200)
        yield made


def test_what_a_killed_writer_left_in_the_log_is_no_exchange(store: Store) -> None:
    """It had written its commit, and nobody was told: the next writer writes over that."""
    score(store, 1, 3)
    log = store.path.with_name(f"{store.path.name}-wal")
    header = log.read_bytes()[:32]
    (page_size,) = struct.unpack_from(">I", header, 8)
    with store.reading() as session:
        pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar_one()
        number = session.connection().exec_driver_sql("PRAGMA user_version").scalar_one()
    page = bytearray(store.path.read_bytes()[:page_size])
    page[60:64] = following(number).to_bytes(4, "big")
    frame = struct.pack(">II", 1, pages) + header[16:24] + bytes(8) + bytes(page)
    with log.open("ab") as file:
        file.write(frame)
    with store.reading():
        pass
    for number in range(2, 6):
        score(store, number, 7)
    assert not store.is_stopped
    with store.reading() as session:
        told = session.connection().exec_driver_sql("SELECT count(*) FROM hand_scores")
        assert told.scalar_one() == 5


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_acknowledged_after_an_exchange(store: Store, tmp_path: Path, way: str) -> None:
    """In this process, one exchange between two scores: the next one is refused, for good."""
    backup, copied = tmp_path / "backup.sqlite", tmp_path / "copied"
    copied.mkdir()
    copy_store(store.path, backup)
    store.checkpoint()
    for number in range(5):
        score(store, 1 + number, number)
    for name in FILES[:2]:
        shutil.copy(store.path.with_name(name), copied / name)
    for number in range(5):
        score(store, 11 + number, number)
    store.checkpoint()
    score(store, 21, 1)
    WAYS[way](store.path, backup, copied, random.Random(way))
    for _ in range(2):
        with pytest.raises(ReplacedError, match="Nothing is written to it any more"):
            score(store, 30, 7)
    with pytest.raises(ReplacedError), store.reading():
        pass
    with pytest.raises(ReplacedError):
        store.checkpoint()
    before = {name: content(store.path.with_name(name)) for name in FILES[:2]}
    store.close()
    assert {name: content(store.path.with_name(name)) for name in FILES[:2]} == before


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize(("way", "kill"), [("backup by cp", False), ("backup by mv", True)])
def test_a_writer_of_its_own_process_stops(tmp_path: Path, way: str, kill: bool) -> None:
    played = play(tmp_path, way, random.Random(way), kill=kill, most=20)
    assert (played.lost, played.whole) == (0, True), played
    assert "labeler restore" in played.refusal


def test_a_file_that_is_moved_away_and_back_goes_on(store: Store, tmp_path: Path) -> None:
    score(store, 1, 1)
    store.path.rename(tmp_path / "away")
    with pytest.raises(ReplacedError, match="not there any more"):
        score(store, 1, 2)
    (tmp_path / "away").rename(store.path)
    assert score(store, 1, 3).accepted


@pytest.mark.parametrize("how", [over_it, instead])
def test_the_app_refuses_scores_with_a_sentence(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[[Path, Path], None]
) -> None:
    """So the browser keeps them; and a page says why."""
    copy_store(store.path, tmp_path / "backup.sqlite")
    monkeypatch.setenv("LABELER_PROJECT", str(store.path.parent))
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1"]))
    with TestClient(app, base_url=HOST) as client:

        def answered(event_id: str) -> tuple[int, str]:
            one = {"event": event_id, "kind": "score", "image": 1, "score": 7}
            answer = client.post("/api/events", json={"events": [one]}, headers=OURS)
            return answer.status_code, answer.text

        assert answered("e1")[0] == 200
        how(tmp_path / "backup.sqlite", store.path)
        for name in ("e2", "e3"):
            status, text = answered(name)
            assert status == 503 and "labeler restore" in text, text
        shown = client.get("/api/stats", headers=OURS)
        assert shown.status_code == 503 and "labeler restore" in shown.text


def test_an_idle_store_notices_it_too(store: Store, tmp_path: Path) -> None:
    """Its log is empty, so all that tells is that nothing came through it."""
    score(store, 1, 3)
    assert store.checkpoint()
    other = shutil.copy(store.path, tmp_path / "copy.sqlite")
    for number in range(3):
        score(store, 2, number)
    assert store.checkpoint()
    shutil.copyfile(other, store.path)
    with pytest.raises(ReplacedError, match="overwritten"):
        score(store, 3, 1)


def test_others_may_write_move_the_log_and_come_and_go(store: Store) -> None:
    kept = {"e1"}
    score(store, 1, 1, event_id="e1")
    for number in range(3):
        writer = start_writer(store.path, first=100 * number + 10, most=30)
        for each in range(10):
            name = f"mine-{number}-{each}"
            assert score(store, 1 + each, each, event_id=name).accepted
            kept.add(name)
            store.checkpoint()
        writer.end(kill=number == 1)
        kept |= set(writer.kept)
        assert writer.refusals == []
    with closing(Store.open(store.path)) as other:
        for each in range(20):
            assert score(other if each % 2 else store, 5, each % 11, event_id=f"t{each}").accepted
            (store if each % 3 else other).checkpoint()
            kept.add(f"t{each}")
    store.close()
    assert kept <= (event_ids(store.path) or set())


def test_a_copied_file_and_log_of_two_moments_are_told_apart(store: Store, tmp_path: Path) -> None:
    """Either may be the older one; those of one moment open with all scores."""
    moments = []
    for number in range(4):
        score(store, 1 + number, number)
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in FILES[:2]:
            shutil.copy(store.path.with_name(name), folder / name)
        moments.append(folder)
        if number in (1, 2):
            assert store.checkpoint()
    for at, moment in enumerate(moments):
        assert file_and_log_belong(moment / NAME), at
    for file, log in ((0, 2), (1, 3), (3, 0), (2, 0)):
        mixed = tmp_path / f"{file} with {log}"
        mixed.mkdir()
        shutil.copy(moments[file] / NAME, mixed / NAME)
        shutil.copy(moments[log] / FILES[1], mixed / FILES[1])
        before = content(mixed / NAME), content(mixed / FILES[1])
        with pytest.raises(ReplacedError, match=r"copied while the app was open.*labeler backup"):
            Store.open(mixed / NAME)
        assert (content(mixed / NAME), content(mixed / FILES[1])) == before


def test_after_a_moment_without_scores_the_file_alone_is_the_store(
    store: Store, tmp_path: Path
) -> None:
    for number in range(20):
        score(store, 1 + number, 5, event_id=f"e{number}")
    assert store.checkpoint()
    shutil.copy(store.path, tmp_path / NAME)
    ids, told = what_is_there(tmp_path / NAME)
    assert told == "" and ids is not None and len(ids) == 20


def test_the_log_does_not_grow_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.store.store._LONG_LOG", 400_000)
    log = store.path.with_name(FILES[1])
    sizes = []
    with closing(Store.open(store.path)) as other:
        for number in range(60):
            score(other, 1 + number, number % 11)
            sizes.append(log.stat().st_size)
        assert max(sizes) < 700_000 and sizes.count(0) >= 2
        with store.reading():  # somebody reads for long
            for number in range(60):
                score(other, 1 + number, number % 11)
        assert other.checkpoint() and log.stat().st_size == 0


def test_the_log_is_emptied_when_nothing_was_written_between_two_looks(store: Store) -> None:
    keeper, log = IdleCheckpointer(weakref.ref(store)), store.path.with_name(FILES[1])
    store.checkpoint()
    assert [keeper.look(), keeper.look()] == [False, False], "nothing to do"
    for number in range(3):
        score(store, 1 + number, 5)
        assert not keeper.look()
        assert log.stat().st_size > 0
    with store.transaction():
        assert not keeper.look(), "it waits for nobody"
    assert keeper.look() and log.stat().st_size == 0


def test_an_older_program_stops_where_a_newer_one_has_migrated(store: Store) -> None:
    score(store, 1, 3)
    with closing(sqlite3.connect(store.path)) as newer:
        newer.execute("CREATE TABLE later (id INTEGER)")
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"schema 9999 by another version.*newer version"):
            score(store, 1, 4)


def test_another_index_stops_nobody(store: Store) -> None:
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("ANALYZE")
        other.commit()
    assert score(store, 1, 4).accepted


def test_numbers_follow_each_other_also_around_their_end() -> None:
    number = new_lineage() + (1 << 20) - 2
    for _ in range(4):
        later = following(number)
        assert ahead(later, number) == 1 and ahead(number, later) == -1
        assert belong(number, later, following(later)) and belong(later, later, later)
        assert not belong(following(following(later)), later, later)
        number = later
    first = following(0)
    assert ahead(first, 0) == 1 and belong(0, first, following(first))
    assert not belong(0, following(first), following(first))
    assert not belong(number, None, following(0))


def test_every_copy_is_told_from_its_original(store: Store, tmp_path: Path) -> None:
    score(store, 1, 1)
    copy_store(store.path, tmp_path / "a.sqlite")
    score(store, 1, 2)
    shutil.copyfile(tmp_path / "a.sqlite", store.path)
    with pytest.raises(ReplacedError):
        score(store, 1, 3)
