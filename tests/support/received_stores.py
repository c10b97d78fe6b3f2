"""Stores as a stranger, or a flipped bit, may have left them; and everything that is done to one.

All follows from seeds, so a store that broke something can be made again by its number.
"""

from __future__ import annotations

import math
import os
import random
import re
import shutil
import sqlite3
import traceback
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.testclient import TestClient

import db.images.tags
import db.jobs
import db.scores.events
import db.versions.registry
import db.versions.rounds
from db.store.schema import Base
from labeler.app.project import SERVED
from labeler.app.routes.json_api import routes
from labeler.app.security.request_guards import guard_middleware
from labeler.cli.main import labeler
from labeler.core.project import STORE_FILE
from labeler.maintenance.doctor import check_project
from tests.support.collection import add_version, make_collection
from tests.support.store_rows import event

HOST = "http://127.0.0.1:8501"
OURS = {"X-Labeler": "1", "Origin": HOST}
TABLES = [table for table in Base.metadata.sorted_tables if table.name != "image_counts"]


def make_filled(folder: Path) -> Path:
    """A project with a little of everything; returns its folder."""
    project = make_collection(folder, images=24, scored=18)
    add_version(project, 0.1, "the first")
    add_version(project, 0.2, "the second")
    active = db.versions.registry.active(project.store)
    assert active is not None
    review = db.versions.rounds.open_round(project.store, active.id, 0.5)
    db.versions.rounds.mark_shown(project.store, review.id, "false-positive", [(4, 0.8), (5, 0.9)])
    given = {"queue": "false-positive", "shown_version": active.name, "shown_prediction": 0.8}
    db.scores.events.record(
        project.store,
        [
            event("corrected", "score", 4, value=1, scorer="bob", **given),
            event("drawn", "score", 20, value=7, queue="score", draw=True),
            event("skipped", "skip", 21, queue="score"),
            event("taken back", "score", 6, value=2),
            event("undo", "undo", undoes="taken back"),
        ],
    )
    run, _ = db.jobs.start(project.store, "train", {"note": "x"}, pid=1)
    db.jobs.heartbeat(project.store, run.id, 3, 10, "training", curve=[{"step": 0, "train": 1.5}])
    db.jobs.finish(project.store, run.id, "done", version_id=1)
    db.images.tags.put(project.store, db.images.tags.TABLE, {1: ["sky"], 2: ["sky", "night"]})
    settings = {"licences": '{"": "CC0"}', "audit_every": "7", "effective_rule": "latest"}
    for name, value in settings.items():
        project.store.set_setting(name, value)
    project.close()
    with closing(sqlite3.connect(project.folder / STORE_FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return project.folder


def odd_value(rng: random.Random, old: Any) -> Any:
    """What a cell may be found to hold in place of what was there."""
    kind = rng.randrange(16)
    if kind == 0 and isinstance(old, str) and old:
        return flipped(rng, old.encode("utf-8", "replace")).decode("utf-8", "replace")
    if kind == 1 and isinstance(old, bytes) and old:
        return flipped(rng, old)
    if kind == 2:
        return ("bad text", bytes(rng.choices(range(128, 256), k=rng.randrange(1, 9))))
    if kind == 3:
        return old.encode("utf-8", "replace") if isinstance(old, str) else str(old)
    return rng.choice(
        [
            None,
            "",
            "x",
            "a\0b",
            "nan",
            "\u202e<b>caf\xe9 \U0001f431",
            "long " * 30_000,
            b"",
            b"\xff\xfe\x00",
            0,
            -1,
            7,
            2**62,
            -(2**63),
            0.5,
            -0.0,
            1e308,
            math.inf,
            -math.inf,
            "9" * 400,
            '{"a": NaN}',
            "[1, {}]",
            "[" * 3000,
            '{"size": "x", "mean": 3, "value": {"value": "x"}, "mae": {"value": "x"}}',
            "2025-13-45T12:00:00.000000+00:00",
            "2025-01-01",
            "0001-01-01T00:00:00.000000+00:00",
            "9999-12-31T23:59:59.999999+00:00",
            "fine",
            "../../etc/passwd",
        ]
    )


def flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def spoil_cells(path: Path, rng: random.Random, count: int) -> list[str]:
    """Replace the values of `count` random cells; says which by which."""
    told = []
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
            connection.execute(f"PRAGMA {pragma}")
        _without_not_null(connection)
        for _ in range(count):
            table = rng.choice(TABLES)
            column = rng.choice([each.name for each in table.columns if each.name != "id"])
            keys = ", ".join(each.name for each in table.primary_key)
            rows = connection.execute(f"SELECT {keys}, {column} FROM {table.name}").fetchall()
            if not rows:
                continue
            *key, old = rng.choice(rows)
            new = odd_value(rng, old)
            where = " AND ".join(f"{each.name} IS ?" for each in table.primary_key)
            put, value = ("CAST(? AS TEXT)", new[1]) if isinstance(new, tuple) else ("?", new)
            try:
                connection.execute(
                    f"UPDATE {table.name} SET {column} = {put} WHERE {where}", [value, *key]
                )
            except (sqlite3.Error, UnicodeError):
                continue
            told.append(f"{table.name}.{column} {key}: {ascii(old)[:60]} -> {ascii(new)[:60]}")
        _with_not_null(connection)
        connection.commit()
    return told


_KEPT: dict[int, list[tuple[str, str]]] = {}


def _without_not_null(connection: sqlite3.Connection) -> None:
    """For NULL where there is none: nothing but the schema's own words forbids it."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    _KEPT[id(connection)] = rows
    connection.execute("PRAGMA writable_schema = ON")
    for name, sql in rows:
        if "WITHOUT ROWID" not in sql:
            loose = re.sub("(?<! IS) NOT NULL", "", sql)
            connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (loose, name))
    _schema_changed(connection)


def _with_not_null(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    for name, sql in _KEPT.pop(id(connection)):
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))
    _schema_changed(connection)


def _schema_changed(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA schema_version").fetchone()
    connection.execute(f"PRAGMA schema_version = {version + 1}")
    connection.execute("PRAGMA writable_schema = OFF")


def flip_bits(path: Path, rng: random.Random, count: int) -> list[str]:
    """Flip single bits anywhere in the file behind its header."""
    data = bytearray(path.read_bytes())
    told = []
    for _ in range(count):
        at, bit = rng.randrange(100, len(data)), rng.randrange(8)
        data[at] ^= 1 << bit
        told.append(f"bit {bit} of byte {at}")
    path.write_bytes(bytes(data))
    return told


def spoil(folder: Path, seed: int) -> list[str]:
    """One of the two, by the seed."""
    rng = random.Random(seed)
    path = folder / STORE_FILE
    if rng.random() < 0.3:
        return flip_bits(path, rng, rng.choice((1, 2, 8, 40)))
    return spoil_cells(path, rng, rng.choice((1, 1, 1, 2, 5))) or ["nothing"]


def commands(folder: Path, out: Path) -> list[list[str]]:
    """The everyday ones that need no encoder."""
    out.mkdir(parents=True, exist_ok=True)
    return [
        ["status"],
        ["status", "--json"],
        ["versions"],
        ["versions", "--json"],
        ["rounds"],
        ["audit"],
        ["slices"],
        ["slices", "--by", "tag"],
        ["scorers"],
        ["review", "--queue", "mistake"],
        ["review", "--queue", "hand-score", "--json"],
        ["card", "show"],
        ["label", "9", "3"],
        ["export", "dataset", str(out / "all.csv")],
        ["export", "dataset", str(out / "all.parquet")],
        ["export", "label-studio", str(out / "studio.json")],
        ["export", "imagefolder", str(out / "folder")],
        ["export", "data-card", str(out / "card.md")],
        ["export", "contact-sheet", str(out / "sheet.png")],
        ["backup", str(out / "copy.sqlite")],
        ["doctor"],
    ]


ADDRESSES = (
    "/api/queue?limit=20",
    "/api/queue?order=highest",
    "/api/queue?order=others",
    "/api/recent",
    "/api/review?queue=mistake",
    "/api/review?queue=hand-score",
    "/api/stats",
    "/api/image/3",
    "/img/3/thumbnail",
    "/img/4/preview",
)
PAGES = ("score", "review", "train", "progress", "explore", "export", "add_images")


def run(folder: Path, words: list[str]) -> str | None:
    """What broke, in full; None for success and for a sentence."""
    done = CliRunner().invoke(labeler, ["--project", str(folder), *words])
    expected = done.exception is None or isinstance(done.exception, SystemExit)
    if expected and "Traceback" not in done.output:
        return None
    return f"{words}: " + "".join(traceback.format_exception(done.exception))[-1800:] + done.output


def ask(folder: Path) -> list[str]:
    """What the app's own routes answered that is no sentence."""
    os.environ["LABELER_PROJECT"] = str(folder)
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1"]))
    broken = []
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as client:
        for address in ADDRESSES:
            answer = client.get(address, headers=OURS)
            if answer.status_code == 500:
                try:
                    TestClient(app, base_url=HOST).get(address, headers=OURS)
                except Exception:
                    broken.append(f"{address}: " + traceback.format_exc()[-1800:])
        events = [{"event": "new", "kind": "score", "image": 10, "score": 3}]
        answer = client.post("/api/events", json={"events": events}, headers=OURS)
        if answer.status_code == 500:
            broken.append(f"events: {answer.text}")
    leave()
    return broken


def leave() -> None:
    """The app ends: nobody has the store open any more."""
    with suppress(Exception):
        SERVED.close()


def look(folder: Path, pages: tuple[str, ...] = PAGES) -> list[str]:
    """What the pages show that is no sentence."""
    from streamlit.testing.v1 import AppTest

    from labeler.app.widgets.navigation import page_file

    os.environ["LABELER_PROJECT"] = str(folder)
    broken = []
    for name in pages:
        page = AppTest.from_file(page_file(name), default_timeout=60).run()
        if page.exception:
            broken.append(f"page {name}: {page.exception[0].value} {page.exception[0].stack_trace}")
    leave()
    return broken


def repaired(folder: Path, usual: set[str]) -> list[str]:
    """Have the doctor mend it; says what it left but for findings that are `usual`."""
    broken = run(folder, ["doctor", "--repair"])
    if broken is not None:
        return [broken]
    left = [each for each in check_project(folder).findings if each.is_open]
    return [str(each) for each in left if each.name not in usual]


def readable_scores(path: Path) -> dict[int, tuple[int, float]]:
    """The image and value of every hand score, by its id, that can still be read."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            rows = connection.execute("SELECT id, image_id, value FROM hand_scores").fetchall()
        except sqlite3.DatabaseError:
            return {}
    return {
        row[0]: row[1:]
        for row in rows
        if isinstance(row[1], int) and isinstance(row[2], float) and 0 <= row[2] <= 10
    }


def copied(made: Path, to: Path) -> Path:
    shutil.copytree(made, to)
    return to
