"""What in a store's schema is not ours: a received one may hold triggers, views and much else.

Such things act by themselves when rows are read or written, so a store that has any is not used.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from functools import cache
from itertools import islice

from db.errors import StoreError
from db.store.migrations.known import KNOWN

# Kept in the file's header, so that another program's SQLite file is never taken for a store.
APPLICATION_ID = 0x5461_7374
# SQLite's own, of a store that somebody has analysed; they hold figures and do nothing.
_HARMLESS = {
    "table sqlite_stat1": "CREATE TABLE sqlite_stat1(tbl,idx,stat)",
    "table sqlite_stat4": "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)",
    "table sqlite_sequence": "CREATE TABLE sqlite_sequence(name,seq)",
}
_MOST = 1000  # objects that are looked at; a store has some fifty
_MOST_NAMED = 5
_LONGEST_NAME = 60
_LONGEST_SQL = 20_000  # ours are a tenth of that
_QUERY = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_WORDS = re.compile(
    r"""\w+|\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/|.""", re.DOTALL
)
_PLAIN_NAME = re.compile(r'"([a-z_][a-z0-9_]*)"')

Described = dict[str, str]


def revision_of(connection: sqlite3.Connection, found: Described | None = None) -> str | None:
    """Return the schema revision that the store was last brought to; `None` for an empty file.

    `found` is what it holds, where that is known. Raises `StoreError` where it can't be told.
    """
    table = "alembic_version"
    found = described(connection) if found is None else found
    if found.get(f"table {table}") != next(iter(KNOWN.values()))[f"table {table}"]:
        return None
    rows = connection.execute(f"SELECT version_num FROM {table} LIMIT 2").fetchall()
    if not rows:
        return None
    if len(rows) > 1 or not isinstance(rows[0][0], str):
        raise StoreError(
            "The store doesn't say by which version of this program it was written; close the app "
            "and run: labeler doctor --repair"
        )
    return rows[0][0]


def check(connection: sqlite3.Connection, path: object) -> None:
    """Raise `StoreError`, with what to do, if there is something that is none of ours.

    A store from a newer program is not judged.
    """
    if unexpected := unexpected_objects(connection):
        names = ", ".join(unexpected[:_MOST_NAMED]) + (
            ", …" if len(unexpected) > _MOST_NAMED else ""
        )
        raise StoreError(
            f"{path} holds what this program never makes ({names}), so it is "
            "not used; close the app and run: labeler doctor --repair, which reads its rows "
            "into a new store without them."
        )


def unexpected_objects(connection: sqlite3.Connection) -> list[str]:
    """Return what no store of its schema has, each in some words; nothing of a newer program's
    store.
    """
    objects = described(connection)
    try:
        revision = revision_of(connection, objects)
    except StoreError:
        return ["several revisions in alembic_version"]
    if revision is not None and revision not in KNOWN:
        return []
    if revision is None and not objects:
        return []
    return strange(objects, revision or _likeliest(objects))


def described(connection: sqlite3.Connection) -> Described:
    """Return each object of the schema by kind and name, with a short hash of its definition."""
    objects: Described = {}
    for kind, name, table, sql in islice(connection.execute(_QUERY), _MOST):
        key = f"{kind} {name}"
        twice = key in objects
        objects[key] = "twice" if twice else summed(table, sql)
    return objects


@cache
def summed(table: str, sql: object) -> str:
    """Return a hash of a definition, without its white space and the quotes around plain names."""
    return hashlib.sha256(f"{table}\n{_normal(sql)}".encode("utf-8", "replace")).hexdigest()[:16]


def _normal(sql: object) -> str:
    """Quotes stay around what is no small word: there they may make a name of a keyword."""
    if not isinstance(sql, str) or len(sql) > _LONGEST_SQL:
        return repr(sql)
    words = [word for word in _WORDS.findall(sql) if not word.isspace()]
    return " ".join(_PLAIN_NAME.sub(r"\1", each) if each[0] == '"' else each for each in words)


@cache
def schema_of(revision: str) -> Described:
    """Return what a store of that revision holds."""
    objects: Described = {}
    for each, changes in KNOWN.items():
        objects |= changes
        if each == revision:
            break
    return {name: made for name, made in objects.items() if made}


def _likeliest(found: Described) -> str:
    """Return the revision that most of it is of."""
    return max(KNOWN, key=lambda each: len(schema_of(each).items() & found.items()))


def strange(found: Described, revision: str) -> list[str]:
    """Return what is in the one and not in the other, or made otherwise, each in some words."""
    ours = schema_of(revision)
    odd = [
        _shown(name)
        for name, made in found.items()
        if made != ours.get(name) and not _is_harmless(name, made)
    ]
    return odd + [f"no {name}" for name in ours if name not in found]


def _is_harmless(name: str, made: str) -> bool:
    return name in _HARMLESS and made == summed(name.removeprefix("table "), _HARMLESS[name])


def _shown(name: str) -> str:
    escaped = name.encode("ascii", "backslashreplace").decode()
    printable = "".join(sign if sign.isprintable() else "?" for sign in escaped)
    return printable if len(printable) <= _LONGEST_NAME else f"{printable[:_LONGEST_NAME]}…"
