"""Activating a version: it becomes active after it has predicted every embedded image."""

from __future__ import annotations

import db.images.embeddings
import db.versions.predictions
import db.versions.registry
from db.records import Version
from labeler.core.errors import BadInput
from labeler.core.progress import Progress, silent
from labeler.core.project import Project

_STORED_BATCH = 8192


def version_named(project: Project, name: str | None) -> Version:
    """Return the version `name` (None: the active one); raises `BadInput` if there is none."""
    version = (
        db.versions.registry.by_name(project.store, name)
        if name
        else db.versions.registry.active(project.store)
    )
    if version is not None:
        return version
    if name:
        raise BadInput(f"There is no version {name}; see them with: labeler versions")
    raise BadInput(f"{project.folder} has no version yet; make one with: labeler train")


def predict_active(project: Project, progress: Progress = silent) -> None:
    """Predict, with the active version if any, the embedded images without a prediction."""
    version = db.versions.registry.active(project.store)
    if version is not None:
        predict_stored(project, version, progress)


def predict_stored(project: Project, version: Version, progress: Progress = silent) -> int:
    """Predict, with `version`, every embedded image that has no prediction by it; return how many.

    An interrupted run continues at the next call. Imports torch only if there are such images.
    """
    record = db.images.embeddings.encoder(project.store, version.encoder)
    if record is None:
        return 0
    waiting = db.versions.predictions.without_prediction(project.store, version.id, record.id)
    if not len(waiting):
        return 0
    # Imported where they are used: torch takes seconds to load; pages import this module.
    from labeler.versions.inference import predict_images

    return predict_images(project, version, record, waiting, progress)


def activate(project: Project, name: str, *, progress: Progress = silent) -> Version:
    """Predict all embedded images with the version `name`, then make it the active one.

    The previous version stays active until then, so that no page reads incomplete predictions.
    Raises `StoreError` for an unknown version.
    """
    version = db.versions.registry.by_name(project.store, name)
    if version is not None:
        predict_stored(project, version, progress)
    version = db.versions.registry.activate(project.store, name)
    # Images that were embedded meanwhile have predictions by the previous version only.
    predict_stored(project, version, progress)
    return version


def lacks_predictions(project: Project, version: Version) -> bool:
    """Return whether embedded images lack a prediction by `version`; imports no torch."""
    record = db.images.embeddings.encoder(project.store, version.encoder)
    return record is not None and not db.versions.predictions.has_predicted_all(
        project.store, version.id, record.id
    )
