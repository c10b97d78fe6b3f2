"""What every page starts with: the open project, and errors as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import streamlit as st
from streamlit.errors import StreamlitDuplicateElementKey

from db.errors import StoreError
from labeler.app.project import current_project
from labeler.app.widgets import components
from labeler.app.widgets.formatting import markdown_escaped
from labeler.core.error_messages import message_for
from labeler.core.errors import LabelerError, NoProject
from labeler.core.project import Project
from labeler.maintenance.diagnosis import diagnosed
from model.errors import ModelError

# What a person can do something about; anything else is a mistake of ours and stays a traceback.
PRESENTABLE = (LabelerError, ModelError, StoreError, OSError)


POLL_MILLISECONDS = 3000  # milliseconds


@contextmanager
def show_errors() -> Iterator[None]:
    """Show an error that a person can act on as one sentence instead of a traceback.

    Where the project can't be read the page waits until it can, and then reruns.
    """
    try:
        with _diagnosed():
            yield
    except PRESENTABLE as error:
        st.error(markdown_escaped(message_for(error) or str(error)), icon=":material/info:")
        if not _can_be_read():
            # Once on a page, however many of its parts say so.
            with suppress(StreamlitDuplicateElementKey):
                components.watch("project", {}, "project-again", every=POLL_MILLISECONDS)


@contextmanager
def _diagnosed() -> Iterator[None]:
    """Turn errors of a damaged store into a sentence about what is wrong with it."""
    try:
        project = current_project()
    except PRESENTABLE:
        project = None  # The page says why, and none of it is read.
    with nullcontext() if project is None else diagnosed(project):
        yield


def _can_be_read() -> bool:
    try:
        project = current_project()
        return project is None or project.store.setting("encoder") is not None
    except PRESENTABLE:
        return False


def opened_project() -> Project:
    """Return the project that this app serves; raises `NoProject` where there is none yet."""
    project = current_project()
    if project is None:
        raise NoProject("There is no project here yet; make one on the page Add pictures.")
    return project
