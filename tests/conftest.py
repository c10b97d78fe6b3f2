"""What every test may rely on."""

from __future__ import annotations

import gc
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

import db.store.engine
import db.store.store
from db.store.migrate import bring_up_to_date

# Of these folders a few tests of a file take longest: begun last, they would run on alone.
FIRST = ("browser", "faults")
# Where SQLite keeps `PRAGMA user_version` in a file.
USER_VERSION = slice(60, 64)
# Here it is tested how a store comes to be.
MIGRATING = Path(__file__).parent / "db" / "store"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first; otherwise as collected. Files are dealt out in this order."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in FIRST)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave what is imported out of garbage collections; Streamlit runs one for each page."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _own_main_module() -> Iterator[None]:
    """Streamlit's AppTest leaves its page as the main module, which spawned processes would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session", autouse=True)
def _stores_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """New stores are copies of the first one: the migrations cost as much as all else of a test."""
    made = tmp_path_factory.mktemp("store") / "made"

    def bring(path: Path, patience: float) -> None:
        begun = path.suffix == ".part"  # by `Store.create`, and nothing in it yet
        if begun and made.exists():
            own = path.read_bytes()[USER_VERSION]  # the store's lineage, which no other one has
            whole = bytearray(made.read_bytes())
            whole[USER_VERSION] = own
            path.write_bytes(whole)
            return
        bring_up_to_date(path, patience)
        if begun:
            shutil.copyfile(path, made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db.store.store, "bring_up_to_date", bring)
        yield


@pytest.fixture(scope="session", autouse=True)
def _statements_are_compiled_once() -> Iterator[None]:
    """SQLAlchemy keeps what it has compiled for each engine, and each store of a test has one."""
    common = create_engine("sqlite://")
    common.connect().close()  # only now its dialect knows this SQLite
    compiled: dict[Any, Any] = {}

    def sharing(*arguments: Any, **named: Any) -> Engine:
        engine = create_engine(*arguments, **named)
        engine.dialect = common.dialect
        engine.update_execution_options(compiled_cache=compiled)
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db.store.engine, "create_engine", sharing)
        yield
    common.dispose()


@pytest.fixture(autouse=True)
def _stores_are_migrated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.is_relative_to(MIGRATING):
        monkeypatch.setattr(db.store.store, "bring_up_to_date", bring_up_to_date)
