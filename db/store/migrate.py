"""Bringing a store's schema up to date, without an ini file and without touching logging."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from db.errors import NotMigrated, StoreError
from db.store.engine import driver_connection, open_engine, primary_code, store_errors_explained
from db.store.regular_files import created_anew
from db.store.schema_check import check, revision_of
from db.store.snapshot import copy_store

# Imported where they are used: Alembic is needed only for a store of another revision.

_LEFT = (
    "{path} can't be brought up to date and was left as it was ({why}); restore a backup of it, or "
    "close the app and run: labeler doctor --repair"
)
SCRIPTS = Path(__file__).parent / "migrations"


def known_revisions() -> set[str]:
    """Return the schema revisions that this program can bring up to date, and the newest."""
    return {name.stem[1:].partition("_")[0] for name in (SCRIPTS / "versions").glob("r[0-9]*_*.py")}


def bring_up_to_date(path: Path, patience: float, scripts: Path = SCRIPTS) -> None:
    """Migrate the store at `path` to the newest revision in `scripts`, or leave it as it was.

    A store that holds something is copied first, to `<name>.before-<newest revision>` beside it.
    All under the write lock: of two programs opening an old store one migrates it, the other waits.
    Raises `StoreError` if the store's revision is one that this program doesn't know.
    """
    # Rebuilding a table must not drop what refers to it; references are checked in the end.
    engine = open_engine(path, patience, foreign_keys=False)
    try:
        with (
            store_errors_explained(path),
            engine.execution_options(begin="IMMEDIATE").begin() as connection,
        ):
            _migrate(connection, path, scripts)
    finally:
        engine.dispose()


def _migrate(connection: Connection, path: Path, scripts: Path) -> None:
    # Imported here: Alembic costs more time than opening a store that is up to date.
    from alembic.command import upgrade
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    directory = ScriptDirectory.from_config(config)
    driven = driver_connection(connection)
    # What a stranger has put there would act on what a migration moves.
    check(driven, path)
    revision, newest = revision_of(driven), directory.get_current_head()
    revisions = {script.revision for script in directory.walk_revisions()}
    if revision is not None and revision not in revisions:
        raise StoreError(
            f"{path} was written by a newer version of this program (schema {revision}, this one "
            f"knows those up to {newest}); update the program."
        )
    if revision == newest:
        return
    if revision is not None:
        _copy(path, path.with_name(f"{path.name}.before-{newest}"))
    try:
        upgrade(config, "head")
    except DatabaseError as error:
        if primary_code(error.orig) in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR):
            raise NotMigrated(_LEFT.format(path=path, why=error.orig)) from error
        raise
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise NotMigrated(_LEFT.format(path=path, why=f"a row of {broken[0]} refers to nothing"))


def _copy(path: Path, to: Path) -> None:
    """A consistent copy of the store as last committed, put in place whole."""
    partial = to.with_name(f"{to.name}.partial")
    try:
        # As private as the store: what a copy holds is the same.
        os.close(created_anew(partial, stat.S_IMODE(path.stat().st_mode)))
        copy_store(path, partial)
        partial.replace(to)
    except OSError as error:
        raise StoreError(
            f"Can't keep a copy of {path} before bringing it up to date ({error.strerror}); make "
            "room or check its folder's permissions."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
