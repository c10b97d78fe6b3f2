"""Find out whether invalid data in the store is the cause of an unexpected exception.

If it is, the exception becomes a sentence; otherwise it is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """Return the first problem that the doctor finds in the store's values, or None."""
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.core.progress import silent
    from labeler.maintenance.doctor_checks import store_findings

    try:
        finding = next(store_findings(project, silent), None)
    except StoreError as error:
        return str(error).rstrip(".")
    if finding is None:
        return None
    example = f" ({finding.examples[0]})" if finding.examples else ""
    return f"{finding.count:,} {finding.what}{example}"
