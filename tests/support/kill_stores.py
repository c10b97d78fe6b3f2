"""Stores of earlier schemas, made so large that bringing them up to date takes a while."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from labeler.core.project import STORE_FILE
from tests.support.kill_works import Results, Work

ASSETS = Path(__file__).parents[1] / "assets"


def old_stores() -> list[Path]:
    """One of each schema that was ever released but the newest."""
    return sorted(ASSETS.glob("store-*.sqlite"))[:-1]


def migrating(folder: Path, store: Path, copies: int, *, log: bool = True) -> Work:
    """`labeler versions` in a project with `copies` of each image of an old `store` and its scores.

    With `log` the store keeps one beside it, as projects do.
    """
    start = folder / f"{store.stem} {copies} {log}"
    if not start.exists():
        (start / "project").mkdir(parents=True)
        shutil.copy(store, start / "project" / STORE_FILE)
        multiply(start / "project" / STORE_FILE, copies, log=log)
    before = tables(start / "project" / STORE_FILE)

    def check(trial: Path, _whole: Results) -> None:
        """A copy that has its name is all of the old store."""
        for copy in (trial / "project").glob(f"{STORE_FILE}.before-*"):
            if copy.suffix != ".partial" and not copy.name.endswith(("-journal", "-wal", "-shm")):
                assert tables(copy, "immutable=1") == before

    return Work(
        f"migration of {store.stem}",
        start,
        ["versions", "--json"],
        lambda trial: migrated(trial / "project"),
        check,
        aims=("project/*.partial", "project/*.before-????", "project/*-journal"),
    )


def multiply(store: Path, copies: int, *, log: bool) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("VACUUM")
        last = connection.execute("SELECT max(id) FROM images").fetchone()[0]
        connection.execute(
            "CREATE TEMP TABLE k AS WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL "
            f"SELECT k + 1 FROM n WHERE k < {copies}) SELECT k FROM n"
        )
        for table, changed in _NEW.items():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(
                changed.get(name, name).replace("LAST", str(last)) for name in columns
            )
            connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM "
                f"(SELECT * FROM {table} ORDER BY 1), k ORDER BY k"
            )
        connection.commit()
        if log:
            connection.execute("PRAGMA journal_mode = WAL")


_IMAGE = "image_id + LAST * k"
_NEW = {
    "images": {"id": "id + LAST * k", "content_hash": "content_hash || '-' || k"},
    "locations": {"id": "NULL", "image_id": _IMAGE, "path": "path || '-' || k"},
    "hand_scores": {"id": "NULL", "image_id": _IMAGE, "event_id": "event_id || '-' || k"},
    "embeddings": {"id": "NULL", "image_id": _IMAGE},
    "predictions": {"image_id": _IMAGE},
    "version_scores": {"image_id": _IMAGE},
}


def tables(store: Path, how: str = "mode=ro") -> dict[str, str]:
    """What is in the store's tables: of the large ones how many rows; it must be sound."""
    with closing(sqlite3.connect(f"file:{store}?{how}", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        # Blobs told apart by their length: the whole of them would take long.
        return {
            name: repr(connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall())
            if name in ("alembic_version", "settings", "sources", "versions", "rounds")
            else repr(connection.execute(f"SELECT count(*) FROM {name}").fetchall())
            for name in names
        }


def migrated(project: Path) -> Results:
    """The store, and which files lie in its folder."""
    names = sorted(path.name for path in project.iterdir() if path.is_file())
    return {"tables": tables(project / STORE_FILE), "files": names}
