"""Files that were made to wear out whoever reads them: salvage ends, with rows or a sentence.

Protects whoever has the doctor look at a stranger's store: no claim in the file about its own size,
no list that leads back and no row of a million columns costs time or memory, and a hand score that
is saved satisfies every rule for one.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import db.store.cell_checks
from db.errors import StoreError
from db.repair.page_scan import rows_of
from db.store.connect import connect
from db.store.schema import Base
from db.store.store import PAGE_SIZE, Store
from labeler.core.errors import LabelerError
from labeler.core.project import STORE_FILE, Project
from labeler.maintenance.doctor import check_project
from tests.support.store_rows import add_images, score

IMAGES = 120
SCORES = Base.metadata.tables["hand_scores"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.create(tmp_path_factory.mktemp("whole") / "taste", "lite")
    for image_id in add_images(project.store, IMAGES):
        score(project.store, image_id, image_id % 11)
    project.close()
    with closing(sqlite3.connect(project.folder / STORE_FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return project.folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("db.store.connect._STEPS", 2_000_000)
    return shutil.copytree(whole, tmp_path / "taste")


def given(folder: Path) -> set[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        query = "SELECT id, event_id, image_id, value, at FROM hand_scores"
        return set(connection.execute(query).fetchall())


def root_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return int(connection.execute(query, (table,)).fetchone()[0])


def write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def mended(folder: Path) -> bool:
    """Whether the doctor led to a store; False where it said why there can be none."""
    try:
        check_project(folder, repair=True)
    except (StoreError, LabelerError) as error:
        assert "\n" not in str(error)
        return False
    with closing(connect(folder / STORE_FILE)) as connection:
        assert list(db.store.cell_checks.unreadable_cells(connection)) == []
    return True


def test_a_file_that_claims_to_be_endless_is_read_as_far_as_it_goes(folder: Path) -> None:
    path, before = folder / STORE_FILE, given(folder)
    write(path, 28, (2**31).to_bytes(4, "big"))
    write(path, 92, (2**31).to_bytes(4, "big"))
    assert mended(folder)
    assert given(folder) == before


def test_a_file_of_holes_is_passed_over(folder: Path) -> None:
    path, before = folder / STORE_FILE, given(folder)
    try:
        write(path, 1 << 40, b"x" * PAGE_SIZE)
    except OSError:
        pytest.skip("this disk takes no such file")
    found = {
        values[1] for _, values in rows_of(path, len(SCORES.columns)) if isinstance(values[1], str)
    }
    assert {event_id for _, event_id, *_ in before} <= found


def test_a_list_of_unused_pages_that_leads_back_is_no_trap(folder: Path) -> None:
    path, before = folder / STORE_FILE, given(folder)
    number = path.stat().st_size // PAGE_SIZE
    write(path, 32, number.to_bytes(4, "big") + (2**32 - 1).to_bytes(4, "big"))
    page = number.to_bytes(4, "big") + (2**32 - 1).to_bytes(4, "big") + b"\xff" * (PAGE_SIZE - 8)
    write(path, (number - 1) * PAGE_SIZE, page)
    mended(folder)
    assert given(folder) <= before


def test_cells_that_all_name_one_row_of_a_million_columns_are_passed_over(folder: Path) -> None:
    path, before = folder / STORE_FILE, given(folder)
    page = bytearray(PAGE_SIZE)
    page[0], page[3:5] = 13, (0xFFFF).to_bytes(2, "big")
    page[8:4000] = (4500).to_bytes(2, "big") * 1996
    page[4500:4504] = b"\x81\x40\x01\xff"
    page[4504:] = b"\x81" * (PAGE_SIZE - 4504)
    with path.open("ab") as file:
        file.write(page * 50)
    found = [number for number, _ in rows_of(path, len(SCORES.columns))]
    assert len(found) >= len(before)


def test_a_row_whose_pages_lead_in_a_circle_is_given_up(folder: Path) -> None:
    path = folder / STORE_FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO settings VALUES ('long', ?)", ("x" * 40_000,))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, data = given(folder), bytearray(path.read_bytes())
    for number in range(1, len(data) // PAGE_SIZE + 1):
        start = (number - 1) * PAGE_SIZE
        if data[start + 4 : start + 8] == b"xxxx":
            data[start : start + 4] = number.to_bytes(4, "big")
    path.write_bytes(bytes(data))
    assert mended(folder)
    assert given(folder) == before


def test_words_of_the_schema_that_make_no_sense_cost_their_own_table_alone(folder: Path) -> None:
    path, before = folder / STORE_FILE, given(folder)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        odd = "UPDATE sqlite_master SET sql = CAST(? AS TEXT) WHERE name = ?"
        connection.execute(odd, (b"CREATE TABLE tags\xff(" + b"x" * 500_000, "image_tags"))
        connection.execute(odd, (b"\xff\xfe", "ix_skips_image_id"))
        connection.commit()
    assert mended(folder)
    assert given(folder) == before


def test_a_score_of_a_stranger_s_table_is_none_of_ours(folder: Path) -> None:
    path, before = folder / STORE_FILE, given(folder)
    names = ", ".join(column.name for column in SCORES.columns)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE more ({names})")
        connection.execute(
            "INSERT INTO more SELECT id + 1000, event_id || 'x', image_id, 10 - value, why, scorer,"
            " at, shown_prediction, shown_version_id, round_id, queue, undone_at FROM hand_scores"
        )
        connection.commit()
    assert mended(folder)
    assert given(folder) == before


@pytest.mark.parametrize("seed", range(8))
def test_what_leads_from_page_to_page_may_lead_anywhere(folder: Path, seed: int) -> None:
    """Heads of pages, and the numbers that lead on, are other ones."""
    rng, path, before = random.Random(seed), folder / STORE_FILE, given(folder)
    data = bytearray(path.read_bytes())
    pages = len(data) // PAGE_SIZE
    for _ in range(rng.choice((1, 3, 10))):
        start = rng.randrange(1, pages) * PAGE_SIZE
        at = start + rng.choice((0, 3, 5, 8, 12, rng.randrange(PAGE_SIZE - 4)))
        value = rng.choice((0, 1, rng.randrange(1, pages + 1), 0x7FFFFFFF, 0xFFFFFFFF))
        size = rng.choice((1, 2, 4))
        data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "big")
    path.write_bytes(bytes(data))
    if mended(folder):
        assert all(0 <= value <= 10 for _, _, _, value, _ in given(folder))
        assert len(given(folder)) <= len(before)
        with closing(Store.open(path)):
            pass
