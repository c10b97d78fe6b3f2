"""Which project this process serves: the folder in LABELER_PROJECT, else the current folder."""

from __future__ import annotations

import os
import threading
import uuid
from functools import lru_cache
from pathlib import Path

from labeler.errors import NoProject
from labeler.project import STORE_FILE, Project

_naming = threading.Lock()


def current_project() -> Project | None:
    """The project being served, opened once per process; None where the folder holds none.

    Raises `StoreError` for a store that can't be used.
    """
    folder = Path(os.environ.get("LABELER_PROJECT") or Path.cwd()).expanduser().resolve()
    try:
        store_file = (folder / STORE_FILE).stat()
        return _opened(folder, store_file.st_ino)
    except (OSError, NoProject):
        return None


@lru_cache(maxsize=2)
def _opened(folder: Path, _inode: int) -> Project:
    """One open project per folder; the file's inode tells a project made anew from the old one."""
    return Project.open(folder)


def project_id(project: Project) -> str:
    """A name for the project that no other has, so that a browser never mixes two up."""
    with _naming:
        known = project.store.setting("project_id")
        if known is None:
            known = uuid.uuid4().hex
            project.store.set_setting("project_id", known)
        return known
