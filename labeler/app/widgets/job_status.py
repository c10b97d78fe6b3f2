"""A background run on a page: its progress, and its result afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import streamlit as st

import db.jobs
import db.versions.registry
from db.records import Run
from labeler.app.widgets import components, formatting
from labeler.core.jobs.liveness import is_dead, mark_dead
from labeler.core.progress import Pace
from labeler.core.project import Project

LONG_WORK = ("import", "embed")
MAX_PACES = 8  # runs whose pace is remembered
NEXT_STEP = {
    "import": "Start the import again: it goes on where it stopped.",
    "embed": "Start the embedding again: it goes on where it stopped.",
    "train": "Train again.",
    "export": "Write again: what lies there already is not copied anew.",
    "adopt": "Add it again.",
    "predict": "Filter again: what was predicted and copied is not done anew.",
    "backup": "Back up again; nothing is left of the one that was begun.",
    "doctor": "Check again; nothing was changed.",
}
ALREADY_TRAINED = "A version that is in the list below already can be made active there."
# What the phases of a run are called to a person; others say it themselves.
PHASES = {"training": "learning from all, and without a part to be judged on it"}
# What a run does, in order; the time left is told of the phase that it is in.
IN_ORDER = {
    "import": ("importing", "embedding", "predicting"),
    "embed": ("embedding", "predicting"),
    "train": ("embedding", "training", "predicting"),
}
RUNNING_LABELS = {
    "import": "Importing",
    "embed": "Embedding",
    "train": "Training",
    "export": "Exporting",
    "adopt": "Adding the head",
    "predict": "Filtering",
    "backup": "Backing up",
    "doctor": "Checking",
}


def latest(project: Project, kind: str) -> Run | None:
    """Return the newest run of `kind`, after runs whose process has died were marked failed."""
    run = db.jobs.latest(project.store, kind)
    if run is None or not is_dead(project, run):
        return run
    mark_dead(project)
    return db.jobs.latest(project.store, kind)


def newest(project: Project, kinds: Sequence[str]) -> Run | None:
    """Return the run among `kinds` that started last."""
    runs = [run for kind in kinds if (run := latest(project, kind)) is not None]
    return max(runs, key=lambda run: run.id, default=None)


def active(project: Project, kind: str) -> bool:
    """Return whether a run of `kind` is active."""
    run = latest(project, kind)
    return run is not None and run.state == "active"


def watch(project: Project, kind: str, offer: str | None = None) -> bool:
    """Show the active run of `kind`, if there is one, and rerun the page once when it ends.

    Return whether the person pressed `offer` (see `components.watch`).
    """
    run = latest(project, kind)
    if run is None or run.state != "active":
        return False
    return components.watch("run", {"kind": kind, "run": run.id}, f"watch-{kind}", offer=offer)


def progress_now(project: Project, run: Run) -> str:
    """Return how far the run is, and the time left by its measured pace."""
    pace, looking = project.cache.get(
        "pace of a run", run.id, None, lambda: (Pace(), threading.Lock()), newest=MAX_PACES
    )
    with looking:
        pace.seen(run.done or 0, run.what or "", time.monotonic())
        seconds_left = pace.left(run.total) if run.total else None
    return progress_line(run, seconds_left)


def progress_line(run: Run, seconds_left: float | None) -> str:
    """Return `embedding: 1,200 of 4,000, 2 minutes left, then predicting`."""
    if not run.total:
        return run.what or "Starting …"
    what = PHASES.get(run.what, run.what)
    line = f"{what}: {run.done:,} of {run.total:,}" if what else f"{run.done} / {run.total}"
    if seconds_left is not None:
        line += f", {formatting.duration(seconds_left)} left"
    following = _follow(run)
    return f"{line}, then {following}" if following else line


def _follow(run: Run) -> str:
    """Return the phases still to come: their speed isn't known yet."""
    phases = IN_ORDER.get(run.kind, ())
    return " and ".join(phases[phases.index(run.what) + 1 :]) if run.what in phases else ""


def show_outcome(run: Run | None, also: str = "") -> None:
    """Show why the last run didn't finish: its message and the next step.

    `also` is another next step.
    """
    if run is None or run.state not in ("failed", "stopped"):
        return
    step = f"{NEXT_STEP[run.kind]} {also}".rstrip()
    if run.state == "stopped":
        st.info(f"Stopped. {step}", icon=":material/stop_circle:")
    else:
        reason = run.message or "The process ended before it was finished."
        st.error(f"{formatting.markdown_escaped(reason)}  \n{step}", icon=":material/info:")


def already_trained(project: Project) -> str:
    """Return where to activate a version whose run ended before it was activated."""
    versions = db.versions.registry.history(project.store)
    return "" if all(version.active for version in versions) else ALREADY_TRAINED
