"""The files of a new version: they exist together with its row, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import db.versions.registry
from db.records import EncoderRecord, NewVersion
from labeler.core.files.atomic import make_parent
from labeler.core.project import Project
from labeler.versions.model_files import second_opinion_path
from model.heads.head_files import config_path, weights_path


@contextmanager
def create_files(project: Project, new: NewVersion) -> Iterator[Path]:
    """Yield the path for the head's weights; the block must add the version's row at its end.

    If the block raises and there is no row, the version's files are removed.
    """
    path = project.models / new.file
    make_parent(path)
    try:
        yield path
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # A full disk names no file.
        if db.versions.registry.by_name(project.store, new.name) is None:
            for file in (config_path(path), weights_path(path), second_opinion_path(path)):
                file.unlink(missing_ok=True)
        raise


def head_metadata(record: EncoderRecord, new: NewVersion) -> dict[str, Any]:
    """Return the metadata that the head's files hold besides its shape."""
    return {
        "encoder": record.identity,
        "width": record.width,
        "normalised": record.normalised,
        "preprocessing": record.preprocessing,
        "recipe": new.recipe,
        "settings": new.settings,
        "threshold": new.threshold,
        "scored_images": len(new.scored_ids),
        "metrics": new.metrics,
        "note": new.note,
    }
