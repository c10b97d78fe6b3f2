"""Which project this process serves: the folder in LABELER_PROJECT, else the current folder."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path

from labeler.app.server.log_checkpoint import checkpoint_when_idle
from labeler.core.error_messages import message_for
from labeler.core.errors import LabelerError, NoProject
from labeler.core.files.typed_paths import typed_path
from labeler.core.project import STORE_FILE, Project

# A page asks again by itself, and should say why before its browser gives up.
OPEN_TIMEOUT_SECONDS = 10.0
Inodes = tuple[int, int]  # of the folder, and of the store in it


class ServedProject:
    """The one project that a process serves, opened when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # else those who come first, at once, would each open it
        self._folder: Path | None = None
        self._inodes: Inodes = 0, 0
        self._project: Project | None = None

    def get(self, folder: Path) -> Project | None:
        """Return the project in `folder`; raises as `current_project` does."""
        with self._lock:
            try:
                inodes = folder.stat().st_ino, (folder / STORE_FILE).stat().st_ino
                if self._project is None or (folder, inodes) != (self._folder, self._inodes):
                    self._open(folder, inodes)
                return self._project
            except (FileNotFoundError, NotADirectoryError, NoProject):
                if folder != self._folder:
                    return None
                # One that is gone is no place for a new project.
                raise LabelerError(
                    f"{folder} is not there any more: it was moved, or its disk is not connected. "
                    "Bring it back, or start the app where it lies now: labeler --project NEWPLACE "
                    "app"
                ) from None
            except OSError as error:
                raise LabelerError(message_for(error) or str(error)) from error

    def close(self) -> None:
        """Close it; whoever asks next opens it again."""
        with self._lock:
            project, self._folder, self._project = self._project, None, None
        if project is not None:
            project.close()

    def _open(self, folder: Path, inodes: Inodes) -> None:
        """Open it, or one made anew in its place: another inode of the folder tells that."""
        if folder == self._folder and inodes[0] == self._inodes[0]:
            # Opened beside what is open still, the two would write to one log.
            raise LabelerError(
                f"{folder / STORE_FILE} was replaced by another file while it was open. Close the "
                "app and start it again; scores that are not saved stay in the browser. A backup "
                "is put in place, with the app closed, by: labeler restore FILE"
            )
        project = Project.open(folder, OPEN_TIMEOUT_SECONDS)
        self._folder, self._inodes, self._project = folder, inodes, project
        checkpoint_when_idle(project.store)


SERVED = ServedProject()


def current_project() -> Project | None:
    """Return the project being served, opened once per process; None if the folder holds none.

    Raises `StoreError` for a store that can't be used, and `LabelerError` for a folder that was
    served and is not there any more, or can't be looked into.
    """
    named = os.environ.get("LABELER_PROJECT")
    return SERVED.get((typed_path(named) if named else Path.cwd()).resolve())


def project_id(project: Project) -> str:
    """Return a name for the project that no other has, so that a browser never mixes two up."""
    named = project.store.setting("project_id")
    if named is None:
        named = project.store.keep_setting("project_id", uuid.uuid4().hex)
    return named
