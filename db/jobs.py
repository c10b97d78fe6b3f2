"""Background jobs: at most one of a kind at a time, and none that looks alive when it is dead."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import exists, insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from db.errors import StoreError
from db.query_parts import NO_SYNC, is_in
from db.records import Run
from db.store.schema import RunRow, VersionRow
from db.store.store import Store

STALE_AFTER_SECONDS = 20.0
DIED = "The process ended without a word; its log in the project's runs folder may say why."


def start(
    store: Store,
    kind: str,
    params: dict[str, Any],
    pid: int | None = None,
    *,
    alive: Collection[int] = (),
) -> tuple[Run, bool]:
    """Return the active run of that kind and whether it is a new one; `False`: it was running
    already.

    A silent run makes room for it, unless its id is among those that are known to be `alive`.
    """
    now = datetime.now(UTC)
    with store.transaction() as session:
        _mark_stale(session, now, STALE_AFTER_SECONDS, alive)
        running = _first(session, RunRow.kind == kind, RunRow.state == "active")
        if running is not None:
            return running, False
        run_id = session.execute(
            insert(RunRow)
            .values(
                kind=kind,
                state="active",
                params=params,
                pid=pid,
                started_at=now,
                heartbeat_at=now,
                done=0,
                total=0,
                what="",
                curve=[],
                stop_requested=False,
            )
            .returning(RunRow.id)
        ).scalar_one()
        return _existing(session, run_id), True


def heartbeat(
    store: Store,
    run_id: int,
    done: int,
    total: int,
    what: str,
    *,
    curve: list[Any] | None = None,
) -> bool:
    """Say that the run is alive and how far it is; returns whether it should stop.

    A run that was thought dead (the machine slept) goes on, unless another of its kind took over.
    """
    values: dict[str, Any] = {
        "heartbeat_at": datetime.now(UTC),
        "done": int(done),
        "total": int(total),
        "what": what,
    }
    if curve is not None:
        values["curve"] = curve
    with store.transaction() as session:
        _revive(session, run_id)
        _update(session, run_id, values)
        run = _existing(session, run_id)
        return run.stop_requested or run.state != "active"


def finish(
    store: Store,
    run_id: int,
    state: str,
    message: str | None = None,
    version_id: int | None = None,
) -> None:
    """End the run: `state` is done, failed or stopped, `message` the sentence to show."""
    now = datetime.now(UTC)
    values = {"state": state, "message": message, "version_id": version_id}
    with store.transaction() as session:
        _update(session, run_id, values | {"finished_at": now, "heartbeat_at": now})


def request_stop(store: Store, run_id: int) -> None:
    """Ask the run to stop at its next beat."""
    with store.transaction() as session:
        _update(session, run_id, {"stop_requested": True})


def set_pid(store: Store, run_id: int, pid: int) -> None:
    """Note the process that does the run."""
    with store.transaction() as session:
        _update(session, run_id, {"pid": pid})


def get(store: Store, run_id: int) -> Run | None:
    """Return the run, `None` if there is none with that id."""
    with store.reading() as session:
        return _first(session, is_in(RunRow.id, [run_id]))


def active(store: Store, kind: str) -> Run | None:
    """Return the run of that kind that goes on now (or died so lately that nobody noticed)."""
    with store.reading() as session:
        return _first(session, RunRow.kind == kind, RunRow.state == "active")


def latest(store: Store, kind: str) -> Run | None:
    """Return the run of that kind that was started last."""
    with store.reading() as session:
        return _first(session, RunRow.kind == kind)


def last_training(store: Store, recipe: str) -> Run | None:
    """Return the training by that recipe that came to its end last."""
    of_recipe = RunRow.params["recipe"].as_string() == recipe
    with store.reading() as session:
        return _first(session, RunRow.kind == "train", RunRow.state == "done", of_recipe)


def ids(store: Store) -> set[int]:
    """Return the ids of all runs that there ever were."""
    with store.reading() as session:
        return set(session.scalars(select(RunRow.id)))


def all_active(store: Store) -> list[Run]:
    """Return the runs of every kind that are active, whether or not their process lives."""
    with store.reading() as session:
        active_ids = session.scalars(select(RunRow.id).where(RunRow.state == "active")).all()
        return [_existing(session, run_id) for run_id in active_ids]


def mark_stale(
    store: Store,
    now: datetime,
    older_than_seconds: float = STALE_AFTER_SECONDS,
    *,
    alive: Collection[int] = (),
) -> list[Run]:
    """Mark active runs that have not been heard of for so long as failed; returns them.

    `alive` are the ids of runs that are known to be. Where there are none to mark nothing is
    written, and nobody who writes is waited for.
    """
    with store.reading() as session:
        if not _silent(session, now, older_than_seconds, alive):
            return []
    with store.transaction() as session:
        return _mark_stale(session, now, older_than_seconds, alive)


def is_silent(run: Run, now: datetime, older_than_seconds: float = STALE_AFTER_SECONDS) -> bool:
    """Return whether an active run's last sign of life is not of now.

    Not of now is also what lies ahead: a clock that was set back would let the dead live on.
    """
    return run.state == "active" and abs(now - run.heartbeat_at) > timedelta(
        seconds=older_than_seconds
    )


def _silent(
    session: Session, now: datetime, seconds: float, alive: Collection[int]
) -> Sequence[int]:
    """Return the ids of the active runs that are, but for those that are known to be alive."""
    limit = timedelta(seconds=seconds)
    not_of_now = or_(RunRow.heartbeat_at < now - limit, RunRow.heartbeat_at > now + limit)
    query = select(RunRow.id).where(RunRow.state == "active", not_of_now)
    return session.scalars(query.where(~is_in(RunRow.id, list(alive)))).all()


def mark_died(store: Store, run_id: int) -> None:
    """Mark the run as failed, if it is active still: its process is known to be dead."""
    died = update(RunRow).where(RunRow.id == run_id, RunRow.state == "active")
    with store.transaction() as session:
        session.execute(
            died.values(state="failed", finished_at=datetime.now(UTC), message=DIED),
            execution_options=NO_SYNC,
        )


def _mark_stale(
    session: Session, now: datetime, older_than_seconds: float, alive: Collection[int]
) -> list[Run]:
    ids = _silent(session, now, older_than_seconds, alive)
    for run_id in ids:
        _update(session, run_id, {"state": "failed", "finished_at": now, "message": DIED})
    return [_existing(session, run_id) for run_id in ids]


def _revive(session: Session, run_id: int) -> None:
    other = aliased(RunRow)
    replaced = exists().where(other.kind == RunRow.kind, other.id > RunRow.id)
    session.execute(
        update(RunRow)
        .where(
            RunRow.id == run_id,
            RunRow.state == "failed",
            RunRow.message == DIED,
            ~replaced.correlate(RunRow),
        )
        .values(state="active", finished_at=None, message=None),
        execution_options=NO_SYNC,
    )


def _update(session: Session, run_id: int, values: dict[str, Any]) -> None:
    session.execute(
        update(RunRow).where(RunRow.id == run_id).values(values), execution_options=NO_SYNC
    )


def _existing(session: Session, run_id: int) -> Run:
    run = _first(session, is_in(RunRow.id, [run_id]))
    if run is None:
        raise StoreError(f"There is no run {run_id}; start one first.")
    return run


def _first(session: Session, *conditions: Any) -> Run | None:
    """Return the latest run that meets the conditions."""
    columns = [
        VersionRow.name if name == "version" else getattr(RunRow, name) for name in Run.__slots__
    ]
    query = (
        select(*columns)
        .outerjoin(VersionRow, VersionRow.id == RunRow.version_id)
        .where(*conditions)
        .order_by(RunRow.id.desc())
    )
    row = session.execute(query.limit(1)).first()
    return None if row is None else Run(*row)
