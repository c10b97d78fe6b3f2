"""The JSON routes of the pages' JavaScript: events in, queues out, without a script run.

Every answer is JSON and never cached by the browser; an error is one sentence in `problem`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import wraps
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import db.images.lookup
import db.scores.undo_history
from db.errors import StoreError
from db.records import MISTAKES, Receipt
from db.scores.undo_history import UndoableEvent
from labeler.app.project import current_project, project_id
from labeler.app.routes import watch
from labeler.app.routes.images import picture
from labeler.app.routes.payloads import image_items, review_item, what_if_item
from labeler.core.error_messages import message_for
from labeler.core.errors import BadInput, LabelerError, NoProject
from labeler.core.project import Project
from labeler.core.scorers import account_name, clean_name
from labeler.maintenance.diagnosis import diagnosed
from labeler.scoring.events import record_events
from labeler.scoring.queue import OTHERS
from labeler.scoring.reservations import reservations_of
from labeler.scoring.stats import score_stats
from model.errors import ModelError
from model.files.bounded_json import parse_json

MAX_ITEMS = 200  # images or cards in one answer
MAX_EVENTS = 2000
MAX_UNDOABLE = 60  # acts that a page can take back after it was opened anew


class _RowId(IntegerConvertor):
    """A row's id in an address: no more digits than an id can have."""

    regex = "[0-9]{1,18}"


register_url_convertor("row", _RowId())


def routes() -> list[Route]:
    """Return the app's own routes, to be served beside Streamlit's."""
    return [
        Route("/img/{image_id:row}/{kind}", _json_handler(picture), methods=["GET"]),
        Route("/api/queue", _json_handler(queue), methods=["GET"]),
        Route("/api/recent", _json_handler(recent), methods=["GET"]),
        Route("/api/review", _json_handler(cards), methods=["GET"]),
        Route("/api/review/moved", _json_handler(what_if), methods=["GET"]),
        Route("/api/stats", _json_handler(stats), methods=["GET"]),
        Route("/api/image/{image_id:row}", _json_handler(one_image), methods=["GET"]),
        Route("/api/events", events, methods=["POST"]),
        Route("/api/watch/run", _json_handler(watch.run), methods=["GET"]),
        Route("/api/watch/begun", _json_handler(watch.started_runs), methods=["GET"]),
        Route("/api/watch/trials", _json_handler(watch.prediction_requests), methods=["GET"]),
        Route("/api/watch/project", _json_handler(watch.readable), methods=["GET"]),
        Route("/api/runs/{run_id:row}/stop", _json_handler(watch.stop), methods=["POST"]),
        # Else Streamlit would answer a mistyped path with its page and status 200.
        Route("/api/{rest:path}", not_found),
        Route("/img/{rest:path}", not_found),
    ]


def _json_handler(handler: Callable[[Project, Request], Response]) -> Callable[[Request], Response]:
    """Call `handler` with the project; turn errors that a person can act on into a sentence."""

    @wraps(handler)
    def respond(request: Request) -> Response:
        try:
            project = _project()
            with diagnosed(project):
                return handler(project, request)
        except BadInput as error:
            return _problem(400, error)
        except (
            LabelerError,
            StoreError,
            ModelError,
        ) as error:  # Not 404, which says that one thing is gone.
            return _problem(503, error)
        except OSError as error:
            if (message := message_for(error)) is None:
                raise
            return _problem(503, message)

    return respond


def _project() -> Project:
    project = current_project()
    if project is None:
        raise NoProject("There is no project here; make one with: labeler init DIR")
    return project


def _problem(status: int, error: Exception | str) -> JSONResponse:
    return JSONResponse({"problem": str(error)}, status_code=status)


def not_found(_request: Request) -> Response:
    """Answer 404."""
    return _problem(404, "There is nothing at this address.")


def queue(project: Project, request: Request) -> Response:
    """Answer GET /api/queue?order&limit&exclude=1,2&scorer: images to score next, random draws
    and repeats marked.
    """
    order = request.query_params.get("order", "random")
    offer = reservations_of(project).offer(
        project,
        order,
        limit=_number(request, "limit", 40),
        exclude=_ids(request, "exclude"),
        scorer=_scorer(request),
    )
    # A second opinion that has seen the first is none, somebody else's or one's own.
    hidden = offer.repeats.union(image.id for image in offer.images if order == OTHERS)
    return JSONResponse(
        {
            "items": [
                {
                    **item,
                    **({"score": None} if item["id"] in hidden else {}),
                    "draw": item["id"] in offer.draws,
                    "repeat": item["id"] in offer.repeats,
                }
                for item in image_items(project, offer.images)
            ],
            "explanation": offer.explanation,
            "stats": asdict(score_stats(project)),
        }
    )


def recent(project: Project, request: Request) -> Response:
    """Answer GET /api/recent?queue&scorer: this person's last events in a queue, oldest first."""
    queue = request.query_params.get("queue", "score")
    limit = _number(request, "limit", 60)
    acts = db.scores.undo_history.recent_events(project.store, (queue,), limit, _scorer(request))
    images = db.images.lookup.by_ids(project.store, list({act.image_id: None for act in acts}))
    return JSONResponse(
        {
            "events": [_undoable_item(act) for act in acts],
            "items": image_items(project, images),
            "stats": asdict(score_stats(project)),
        }
    )


def _undoable_item(act: UndoableEvent) -> dict[str, Any]:
    return {
        "event": act.event_id,
        "image": act.image_id,
        "skip": act.value is None,
        "before": None if act.is_repeat else act.before,
        "repeat": act.is_repeat,
        "together": [{"event": event_id, "image": image_id} for event_id, image_id in act.together],
    }


def cards(project: Project, request: Request) -> Response:
    """Answer GET /api/review?queue&limit&shown&exclude&scorer with cards, the surest mistake first.

    `shown` are on the screen, `exclude` are others to leave out. With `ahead` the answer is not for
    the screen yet. What this person can undo in the queue comes with it.
    """
    # Imported where they are used: scipy comes with it, which the Score page does without.
    from labeler.review import pages

    queue, shown = request.query_params.get("queue", MISTAKES), _ids(request, "shown")
    page = pages.review_page(
        project,
        queue,
        limit=_number(request, "limit", 40),
        exclude=shown | _ids(request, "exclude"),
        first=int(first) if _is_id(first := request.query_params.get("first", "")) else None,
    )
    if not request.query_params.get("ahead"):
        shown |= page.image_ids()
    acts = db.scores.undo_history.recent_events(
        project.store, pages.image_queues(queue), MAX_UNDOABLE, _scorer(request)
    )
    # Written after the answer is sent, so that the page doesn't wait for another writer.
    record_shown = BackgroundTask(_note_shown, project, queue, shown)
    answer = review_item(page) | {"events": [_undoable_item(act) for act in acts]}
    return JSONResponse(answer, background=record_shown)


def _note_shown(project: Project, queue: str, shown: set[int]) -> None:
    from labeler.review import pages

    # The answer is sent; what can't be written now is written with the next request for cards.
    with suppress(LabelerError, StoreError):
        pages.note_shown(project, queue, shown)


def what_if(project: Project, request: Request) -> Response:
    """Answer GET /api/review/moved?ids: the effect of the open round's scores before training."""
    from labeler.review import what_if

    return JSONResponse(what_if_item(what_if.what_if(project, _ids(request, "ids"))))


def stats(project: Project, _request: Request) -> Response:
    """Answer GET /api/stats: the counts of scored and unscored images."""
    return JSONResponse(asdict(score_stats(project)))


def one_image(project: Project, request: Request) -> Response:
    """Answer GET /api/image/{id}: one image with its prediction, or 404."""
    image = db.images.lookup.get(project.store, request.path_params["image_id"])
    if image is None:
        return _problem(404, "There is no such image.")
    return JSONResponse(image_items(project, [image])[0])


async def events(request: Request) -> Response:
    """Answer POST /api/events {"project", "events": […]} with {"receipts": […], "stats"}."""
    try:
        body = parse_json(await request.body())
        raw = body["events"]
        if not isinstance(raw, list) or len(raw) > MAX_EVENTS:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        return _problem(400, f'Send {{"events": […]}} with at most {MAX_EVENTS} events.')
    record = _json_handler(
        lambda project, _request: _record_events(project, body.get("project"), raw)
    )
    return await run_in_threadpool(record, request)


def _record_events(project: Project, page_project: str | None, events: list[Any]) -> Response:
    """Record the events; 409 where the page belongs to another project."""
    if page_project is not None and page_project != project_id(project):
        # A page of another project that is still open: its image ids are other images here.
        return _problem(409, "Another project is served here now; these belong to the former one.")
    receipts = record_events(project, events, account_name())
    return JSONResponse(
        {
            "receipts": [_receipt(receipt) for receipt in receipts],
            "stats": asdict(score_stats(project)),
        }
    )


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "event": receipt.event_id,
        "accepted": receipt.accepted,
        "repeated": receipt.repeated,
        "problem": receipt.problem,
        "before": receipt.before,
        "after": receipt.after,
    }


def _scorer(request: Request) -> str:
    """Return the scorer's name as it is stored, the account's by default."""
    return clean_name(request.query_params.get("scorer")) or account_name()


def _number(request: Request, name: str, default: int) -> int:
    """Return a parameter as a number from 1 to `MAX_IDLE`; raises `BadInput`."""
    raw = request.query_params.get(name, str(default))
    if not (raw.isdecimal() and len(raw) < 10) or not 1 <= int(raw) <= MAX_ITEMS:
        raise BadInput(f"{name} must be between 1 and {MAX_ITEMS}.")
    return int(raw)


def _ids(request: Request, name: str) -> set[int]:
    """Return a parameter as a set of image ids; raises `BadInput`."""
    raw = [part for part in request.query_params.get(name, "").split(",") if part]
    if not all(map(_is_id, raw)):
        raise BadInput(f"{name} must be image ids with commas between them.")
    return {int(part) for part in raw}


def _is_id(part: str) -> bool:
    return part.isdecimal() and len(part) < 19
