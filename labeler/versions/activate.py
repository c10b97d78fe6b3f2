"""Put a version into use: it becomes the active one when it has predicted every embedded image."""

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
    """The version of that name, without one the active one; raises `BadInput` if there is none."""
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
    """Let the active version, if there is one, predict the embedded images that it has not yet."""
    version = db.versions.registry.active(project.store)
    if version is not None:
        predict_stored(project, version, progress)


def predict_stored(project: Project, version: Version, progress: Progress = silent) -> int:
    """Let `version` predict every image that has an embedding and no prediction of its yet.

    Returns how many; what is interrupted goes on the next time. Imports torch only for images that
    wait.
    """
    record = db.images.embeddings.encoder(project.store, version.encoder)
    if record is None:
        return 0
    waiting = db.versions.predictions.without_prediction(project.store, version.id, record.id)
    if not len(waiting):
        return 0
    # Imported where they are used: torch takes seconds to load; pages import this module.
    from labeler.versions.inference import predict_waiting

    return predict_waiting(project, version, record, waiting, progress)


def activate(project: Project, name: str, *, progress: Progress = silent) -> Version:
    """Make the version `name` the active one as soon as it has predicted all embedded images.

    Until then the one before stays active, so that no page finds half of the predictions. Raises
    `StoreError` where there is no such version.
    """
    version = db.versions.registry.by_name(project.store, name)
    if version is not None:
        predict_stored(project, version, progress)
    version = db.versions.registry.activate(project.store, name)
    # What was embedded meanwhile was predicted by the one before.
    predict_stored(project, version, progress)
    return version


def lacks_predictions(project: Project, version: Version) -> bool:
    """Whether images were embedded since `version` was the active one; imports no torch."""
    record = db.images.embeddings.encoder(project.store, version.encoder)
    return record is not None and not db.versions.predictions.has_predicted_all(
        project.store, version.id, record.id
    )
