"""A store with values that can't be is told by a sentence everywhere, and mended by the doctor.

Protects people with a flipped bit on their disk, or with somebody else's project: no command, route
or page breaks over a value; the doctor finds each, and afterwards everything works with every hand
score that could be read. (Stores by the hundred, and the pages, are in tests/torture.)
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import db.store.cell_checks
from db.store.column_types import Checked
from db.store.connect import connect
from db.store.schema import Base
from db.store.snapshot import problems_of
from labeler.core.project import STORE_FILE
from labeler.maintenance.doctor import check_project
from tests.support.received_stores import (
    ask,
    commands,
    copied,
    make_filled,
    odd_value,
    readable_scores,
    repaired,
    run,
    spoil,
    spoil_cells,
)

SEEDS = range(6)
AFTERWARDS = {"heads"}  # there are none here


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_filled(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "taste")


def harm(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_sound_store_has_no_odd_values(folder: Path) -> None:
    assert {each.name for each in check_project(folder).findings} <= AFTERWARDS | {"backups"}


# Each kind of column once: what it held, and in which words it is told.
ODD = {
    "a bit of JSON": ("UPDATE versions SET metrics = '{\"mae\" 1}' WHERE id = 2", "metrics"),
    "figures that are words": (
        """UPDATE versions SET metrics = '{"mae": {"value": "x"}}' WHERE id = 2""",
        "metrics",
    ),
    "a threshold": ("UPDATE versions SET threshold = 'nan' WHERE id = 2", "threshold"),
    "bytes in a name": ("UPDATE versions SET name = x'ff00' WHERE id = 1", "name"),
    "a time": ("UPDATE versions SET created_at = '2025-13-45' WHERE id = 1", "created_at"),
    "a reference": ("UPDATE round_images SET image_id = 'x' WHERE image_id = 4", "image_id"),
    "an encoder's way": ("""UPDATE encoders SET preprocessing = '{"size": "x"}'""", "size"),
    "a number": ("UPDATE images SET size_bytes = 'many' WHERE id = 2", "size_bytes"),
    "text that is no UTF-8": (
        "UPDATE image_tags SET tag = CAST(x'61ff' AS TEXT) WHERE image_id = 1",
        "tag",
    ),
    "a name that is no UTF-8": (
        "UPDATE sources SET name = CAST(x'61ff' AS TEXT)",
        "name",
    ),
    "a score in words": ("UPDATE hand_scores SET value = 'nine' WHERE id = 3", "value"),
}


@pytest.mark.parametrize("what", ODD)
def test_a_value_that_cannot_be_read_is_told_and_mended(
    folder: Path, what: str, tmp_path: Path
) -> None:
    statement, column = ODD[what]
    harm(folder, statement)
    before = readable_scores(folder / STORE_FILE)
    for words in (
        ["status"],
        ["versions"],
        ["review"],
        ["export", "dataset", str(tmp_path / "a.csv")],
    ):
        assert run(folder, words) is None
    assert ask(folder) == []
    if not problems_of(folder / STORE_FILE):
        (found,) = [each for each in check_project(folder).findings if each.name == "values"]
        assert column in found.examples[0]
    assert repaired(folder, AFTERWARDS) == []
    assert readable_scores(folder / STORE_FILE).items() >= before.items()


@pytest.mark.parametrize(
    ("statement", "setting"),
    [
        ("UPDATE settings SET value = 'nan' WHERE name = 'threshold'", "threshold"),
        ("UPDATE settings SET value = '[]' WHERE name = 'licences'", "licences"),
        ("UPDATE settings SET value = '1e9' WHERE name = 'audit_every'", "audit_every"),
    ],
)
def test_a_setting_that_makes_no_sense_is_a_sentence(
    folder: Path, statement: str, setting: str
) -> None:
    harm(folder, statement)
    assert ask(folder) == []
    for words in commands(folder, folder / "out"):
        assert run(folder, words) is None
    assert any(setting in each.what for each in check_project(folder).findings)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_breaks_over_a_store_that_was_spoilt(made: Path, tmp_path: Path, seed: int) -> None:
    folder = copied(made, tmp_path / "taste")
    told = spoil(folder, seed)
    before = readable_scores(folder / STORE_FILE)
    for words in random.Random(seed).sample(commands(folder, tmp_path / "out"), 6):
        assert run(folder, words) is None, told
    assert ask(folder) == [], told
    assert repaired(folder, AFTERWARDS) == [], told
    assert readable_scores(folder / STORE_FILE).items() >= before.items(), told


def test_what_is_refused_when_it_is_read_is_what_the_doctor_finds(
    made: Path, tmp_path: Path
) -> None:
    """The doctor passes over most rows by SQL alone: over none that a reader stumbles at."""
    rng = random.Random(5)
    path = copied(made, tmp_path / "taste") / STORE_FILE
    spoil_cells(path, rng, 150)
    with closing(connect(path)) as connection:
        found = {
            (each.table.name, column)
            for each in db.store.cell_checks.unreadable_cells(connection)
            for column in each.columns
        }
        for table in Base.metadata.sorted_tables:
            for column in table.columns:
                if column.name in ("score", "exceed", "vector"):
                    continue
                values = connection.execute(f"SELECT {column.name} FROM {table.name}").fetchall()
                refused = any(is_refused(column.type, value) for (value,) in values)
                assert not refused or (table.name, column.name) in found


def is_refused(kind: object, value: object) -> bool:
    if not isinstance(kind, Checked) or value is None:
        return False
    try:
        kind.read(value)
    except (ValueError, RecursionError):
        return True
    return False


def test_odd_values_are_odd() -> None:
    rng = random.Random(1)
    assert len({repr(odd_value(rng, "fine"))[:80] for _ in range(500)}) > 25
