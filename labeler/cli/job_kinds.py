"""Define the work of each kind of background job, and its message at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeler.core.errors import LabelerError, Stopped
from labeler.core.jobs.heartbeat import Heartbeat
from labeler.core.jobs.runner import Job, Outcome
from labeler.core.project import Project
from model.errors import ModelError

if TYPE_CHECKING:
    from labeler.collection.import_summary import ImportSummary


def _import(
    project: Project, params: dict[str, Any], heartbeat: Heartbeat, encoder: Any
) -> Outcome:
    """Import, then embed what is new; the images are kept also where embedding fails."""
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.collection.importing import import_paths

    expect = params.get("expect")
    summary = import_paths(
        project,
        [Path(path) for path in params["paths"]],
        source=params.get("source"),
        expect=(float(expect[0]), float(expect[1])) if expect else None,
        follow_links=bool(params.get("follow_links")),
        progress=heartbeat.progress,
    )
    # The count of all pictures first, then what a person may act on.
    message = " ".join(
        [_count_message(summary), *summary.sentences()[1:], *summary.left_out_briefly()]
    )
    if not params.get("embed", True):
        return message, None
    try:
        embedded, _ = _embed(project, {}, heartbeat, encoder)
    except (LabelerError, ModelError) as error:
        if isinstance(error, Stopped):
            raise
        raise LabelerError(f"{message} They are not embedded yet: {error}") from error
    return f"{message} {embedded}", None


def _count_message(summary: ImportSummary) -> str:
    """Return how many files were found, and how many are new."""
    others = "".join(f", {n} {name}" for name, n in summary.parts().items() if name != "new")
    return f"Found {summary.found} image files, {summary.new} of them new{others}."


def _embed(project: Project, params: dict[str, Any], heartbeat: Heartbeat, encoder: Any) -> Outcome:
    from labeler.embedding.embed import embed
    from labeler.versions.activate import predict_active

    summary = embed(project, encoder=encoder, progress=heartbeat.progress, only=params.get("only"))
    predict_active(project, heartbeat.progress)
    message = f"Embedded {summary.embedded} images."
    if summary.failed:
        message += f" {len(summary.failed)} could not be read."
    return message, None


def _train(project: Project, params: dict[str, Any], heartbeat: Heartbeat, encoder: Any) -> Outcome:
    from labeler.versions.train import train

    version = train(
        project,
        recipe=params.get("recipe") or "quick",
        note=params.get("note") or "",
        encoder=encoder,
        progress=heartbeat.progress,
        on_curve=heartbeat.show_curve,
    )
    return f"Trained {version.name} on {version.scored_count} scored images.", version.id


def _adopt(
    project: Project, params: dict[str, Any], heartbeat: Heartbeat, _encoder: Any
) -> Outcome:
    from labeler.versions.adopt import adopt

    scale = params.get("scale")
    version = adopt(
        project,
        Path(params["path"]),
        name=params.get("name"),
        encoder=params.get("encoder"),
        scale=(float(scale[0]), float(scale[1])) if scale else None,
        label=params.get("label"),
        note=params.get("note") or "",
        activate=params.get("activate"),
        progress=heartbeat.progress,
    )
    return f"Added {version.name}.", version.id


def _export(
    project: Project, params: dict[str, Any], heartbeat: Heartbeat, _encoder: Any
) -> Outcome:
    from labeler.exports.datasets.export import export
    from labeler.exports.datasets.plan import Plan

    plan = Plan.read(params["plan"])
    force = bool(params.get("force"))
    done = export(
        project, params["kind"], Path(params["out"]), plan, heartbeat.progress, force=force
    )
    return done.sentences(), None


def _predict(
    project: Project, params: dict[str, Any], heartbeat: Heartbeat, encoder: Any
) -> Outcome:
    from labeler.prediction.filter import Filter, filter_images

    paths, image_filter = [Path(path) for path in params["paths"]], Filter.read(params["filter"])
    done = filter_images(project, paths, image_filter, encoder=encoder, progress=heartbeat.progress)
    return done.sentences(), None


def _backup(
    project: Project, params: dict[str, Any], heartbeat: Heartbeat, _encoder: Any
) -> Outcome:
    from labeler.maintenance.backup import write_backup

    force = bool(params.get("force"))
    done = write_backup(project, Path(params["out"]), force=force, progress=heartbeat.progress)
    return done.sentences(), None


def _doctor(
    project: Project, _params: dict[str, Any], heartbeat: Heartbeat, _encoder: Any
) -> Outcome:
    from labeler.maintenance.doctor import check_project

    return "\n".join(check_project(project.folder, progress=heartbeat.progress).lines()), None


JOBS: dict[str, Job] = {
    "import": _import,
    "embed": _embed,
    "train": _train,
    "export": _export,
    "adopt": _adopt,
    "predict": _predict,
    "backup": _backup,
    "doctor": _doctor,
}
