"""Unexpected exceptions: whether invalid data in the store is the cause.

If it is, the exception becomes a sentence; otherwise it is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from click import Abort, ClickException
from click.exceptions import Exit

from db.errors import StoreError
from labeler.core.error_messages import message_for
from labeler.core.errors import LabelerError

if TYPE_CHECKING:
    from labeler.core.project import Project


@contextmanager
def diagnosed(project: Project) -> Iterator[None]:
    """Turn an unexpected exception into a `LabelerError` if the store holds invalid data."""
    try:
        yield
    except (ClickException, Exit, Abort):
        raise
    except Exception as error:
        if message_for(error) is not None:
            raise
        problem = first_finding(project)
        if problem is None:
            raise
        raise LabelerError(
            f"The store holds what can't be: {problem}. Mend it with: labeler doctor --repair"
        ) from error


def first_finding(project: Project) -> str | None:
    """Return the first problem that the doctor would find in the store's rows, or None."""
    # Imported where they are used: `labeler --help` imports click alone.
    import db.repair.consistency
    import db.repair.invalid_values
    from labeler.maintenance.invalid_settings import invalid_settings

    try:
        for check in db.repair.consistency.CONSISTENCY_CHECKS:
            if cases := db.repair.consistency.find(project.store, check):
                return f"{cases.count:,} {check.what} ({'; '.join(cases.examples[:1])})"
        for setting in invalid_settings(project):
            return f"the setting {setting.name} makes no sense"
        for _, image_id in islice(db.repair.invalid_values.bad_embeddings(project.store), 1):
            return f"an embedding of image {image_id} is not of finite values"
        if version := db.repair.invalid_values.version_with_bad_predictions(project.store):
            return f"predictions of {version} are not from 0 to 1"
    except StoreError as error:
        return str(error).rstrip(".")
    return None
