"""GET /api/watch/…: what a page waits for, asked for by its own code without a script run.

Every answer says whether it has `ended`: then the page is made anew. POST /api/runs/{id}/stop asks
a run to stop. (A script that runs again by itself every moment meets a click that leads to another
page, and Streamlit answers such a meeting with the page that was left, or with none.)
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import db.images.counts
import db.jobs
from labeler.app.widgets import job_status
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.prediction.inference_worker.client import inference_client

TRYING = {
    "off": "Starting …",
    "starting": "Starting …",
    "loading": "Loading the encoder … The first picture waits for it, the next ones don't.",
    "looking": "Looking …",
}


def run(project: Project, request: Request) -> Response:
    """GET /api/watch/run?kind&run: how far that run is; it has ended where it is no longer the
    active one of its kind."""
    # Imported where they are used: scipy comes with it, which the Score page does without.
    from labeler.versions.evaluation import measures

    kind = request.query_params.get("kind", "")
    if kind not in job_status.DOING:
        raise BadInput(f"There are no runs of the kind {kind[:20]!r}.")
    latest = job_status.latest(project, kind)
    if (
        latest is None
        or latest.state != "active"
        or str(latest.id) != request.query_params.get("run")
    ):
        return JSONResponse({"ended": True})
    told: dict[str, Any] = {
        "ended": False,
        "run": latest.id,
        "title": job_status.DOING[kind],
        "line": job_status.progress_now(project, latest),
        "share": min(1.0, latest.done / latest.total) if latest.total else None,
        "stopping": latest.stop_requested,
        "curve": measures.points(latest.curve),
    }
    if kind in job_status.LONG_WORK:
        told["fine"] = db.images.counts.by_state(project.store)["fine"]
    return JSONResponse(told)


def begun(project: Project, request: Request) -> Response:
    """GET /api/watch/begun?after: ended as soon as there is a newer import or embedding than that
    run, or one goes on."""
    newest = job_status.newest(project, job_status.LONG_WORK)
    after = request.query_params.get("after", "")
    is_new = newest is not None and (newest.state == "active" or str(newest.id) != after)
    return JSONResponse({"ended": is_new})


def trials(project: Project, request: Request) -> Response:
    """GET /api/watch/trials?settled: what is going on with the pictures that are tried; ended as
    soon as more are answered than that many."""
    asked = inference_client(project)
    return JSONResponse(
        {
            "ended": str(asked.settled) != request.query_params.get("settled"),
            "title": "Looking at pictures",
            "line": TRYING[asked.state],
            "share": None,
        }
    )


def readable(project: Project, _request: Request) -> Response:
    """GET /api/watch/project: ended as soon as the project can be read; till then it is refused."""
    project.store.setting("encoder")
    return JSONResponse({"ended": True})


def stop(project: Project, request: Request) -> Response:
    """POST /api/runs/{run_id}/stop: ask it to stop; what is finished is kept."""
    found = db.jobs.get(project.store, request.path_params["run_id"])
    if found is None:
        return JSONResponse({"problem": "There is no such run."}, status_code=404)
    if found.state == "active":
        db.jobs.request_stop(project.store, found.id)
    return JSONResponse({"run": found.id})
