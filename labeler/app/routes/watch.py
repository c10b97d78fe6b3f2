"""GET /api/watch/…: the state of what a page waits for, without a script run.

Every answer says whether it has `ended`: the page then runs its script again. POST
/api/runs/{id}/stop asks a run to stop. (A script that reruns itself every moment collides with a
click that leads to another page; Streamlit then shows the page that was left, or none.)
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
    """Answer GET /api/watch/run?kind&run: the progress of that run.

    It has ended where it is no longer the active one of its kind. Raises `BadInput` for an unknown
    kind.
    """
    # Imported where they are used: scipy comes with it, which the Score page does without.
    from labeler.versions.evaluation import measures

    kind = request.query_params.get("kind", "")
    if kind not in job_status.RUNNING_LABELS:
        raise BadInput(f"There are no runs of the kind {kind[:20]!r}.")
    latest = job_status.latest(project, kind)
    if (
        latest is None
        or latest.state != "active"
        or str(latest.id) != request.query_params.get("run")
    ):
        return JSONResponse({"ended": True})
    answer: dict[str, Any] = {
        "ended": False,
        "run": latest.id,
        "title": job_status.RUNNING_LABELS[kind],
        "line": job_status.progress_now(project, latest),
        "share": min(1.0, latest.done / latest.total) if latest.total else None,
        "stopping": latest.stop_requested,
        "curve": measures.points(latest.curve),
    }
    if kind in job_status.LONG_WORK:
        answer["fine"] = db.images.counts.by_state(project.store)["fine"]
    return JSONResponse(answer)


def started_runs(project: Project, request: Request) -> Response:
    """Answer GET /api/watch/begun?after: ended when an import or embedding newer than that run
    exists, or one is active.
    """
    newest = job_status.newest(project, job_status.LONG_WORK)
    after = request.query_params.get("after", "")
    is_new = newest is not None and (newest.state == "active" or str(newest.id) != after)
    return JSONResponse({"ended": is_new})


def prediction_requests(project: Project, request: Request) -> Response:
    """Answer GET /api/watch/trials?settled: the state of the trial predictions; ended when more are
    answered than `settled`.
    """
    client = inference_client(project)
    return JSONResponse(
        {
            "ended": str(client.answered_count) != request.query_params.get("settled"),
            "title": "Looking at pictures",
            "line": TRYING[client.state],
            "share": None,
        }
    )


def readable(project: Project, _request: Request) -> Response:
    """Answer GET /api/watch/project: ended when the project can be read; before that the request
    fails.
    """
    project.store.setting("encoder")
    return JSONResponse({"ended": True})


def stop(project: Project, request: Request) -> Response:
    """Answer POST /api/runs/{run_id}/stop: ask the run to stop; finished work is kept."""
    job = db.jobs.get(project.store, request.path_params["run_id"])
    if job is None:
        return JSONResponse({"problem": "There is no such run."}, status_code=404)
    if job.state == "active":
        db.jobs.request_stop(project.store, job.id)
    return JSONResponse({"run": job.id})
