"""Which project this process serves: the folder in LABELER_PROJECT, else the current folder."""

from __future__ import annotations

import os
import threading
import uuid
from functools import lru_cache
from pathlib import Path

from labeler.app.server.log_checkpoint import keep_log_short
from labeler.core.error_messages import message_for
from labeler.core.errors import LabelerError, NoProject
from labeler.core.files.typed_paths import typed_path
from labeler.core.project import STORE_FILE, Project

# A page asks again by itself, and should say why before its browser gives up.
PATIENCE_SECONDS = 10.0
_naming = threading.Lock()
_opening = threading.Lock()
# Folders by their inodes and those of their stores. One that is gone is no place for a new project.
_served: dict[Path, tuple[int, int]] = {}


def current_project() -> Project | None:
    """The project being served, opened once per process; None where the folder holds none.

    Raises `StoreError` for a store that can't be used, and `LabelerError` for a folder that was
    served and is not there any more, or can't be looked into.
    """
    named = os.environ.get("LABELER_PROJECT")
    folder = (typed_path(named) if named else Path.cwd()).resolve()
    try:
        inodes = folder.stat().st_ino, (folder / STORE_FILE).stat().st_ino
        served = _served.get(folder, inodes)
        if served[0] == inodes[0] and served != inodes:
            # Opened beside what is open still, the two would write to one log.
            raise LabelerError(
                f"{folder / STORE_FILE} was replaced by another file while it was open. Close the "
                "app and start it again; scores that are not saved stay in the browser. A backup "
                "is put in place, with the app closed, by: labeler restore FILE"
            )
        with _opening:  # else those who come first, at once, would each open it
            return _opened(folder, inodes)
    except (FileNotFoundError, NotADirectoryError, NoProject):
        if folder not in _served:
            return None
        raise LabelerError(
            f"{folder} is not there any more: it was moved, or its disk is not connected. Bring it "
            "back, or start the app where it lies now: labeler --project NEWPLACE app"
        ) from None
    except OSError as error:
        raise LabelerError(message_for(error) or str(error)) from error


@lru_cache(maxsize=2)
def _opened(folder: Path, inodes: tuple[int, int]) -> Project:
    """One open project per folder; its inode tells a project made anew from the old one."""
    project = Project.open(folder, PATIENCE_SECONDS)
    _served[folder] = inodes
    keep_log_short(project.store)
    return project


def project_id(project: Project) -> str:
    """A name for the project that no other has, so that a browser never mixes two up."""
    with _naming:
        known = project.store.setting("project_id")
        if known is None:
            known = uuid.uuid4().hex
            project.store.set_setting("project_id", known)
        return known
