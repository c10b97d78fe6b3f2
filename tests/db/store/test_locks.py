"""Nobody but SQLite opens the store's files: whoever closes one drops its process's locks on it.

Protects scores that are given while a folder is imported that holds the project: without its locks
the importing process looks gone, the next one to close the store takes its log away, and what is
written afterwards is lost.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labeler.collection.importing import import_paths
from labeler.core.archives.opening import open_regular
from labeler.core.project import STORE_FILES, Project
from model.errors import UnreadableImage
from tests.support.pictures import make_jpeg

OPENED_AND_CLOSED = """
import sys
from pathlib import Path
from db.store.store import Store
Store.open(Path(sys.argv[1])).close()
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """In a folder of pictures."""
    make_jpeg(tmp_path / "pictures" / "a.jpg", 1)
    project = Project.create(tmp_path / "pictures" / "taste", "lite")
    yield project
    project.close()


def by_import(project: Project) -> None:
    import_paths(project, [project.folder.parent], workers=1)


def by_name(project: Project) -> None:
    for name in STORE_FILES:
        with pytest.raises(UnreadableImage, match="store of a project"):
            open_regular(project.folder / name)


@pytest.mark.parametrize("look", [by_import, by_name])
def test_another_process_does_not_take_the_log_away(
    project: Project, look: Callable[[Project], None]
) -> None:
    project.store.set_setting("kept", "before")
    log = project.store.path.with_name(f"{project.store.path.name}-wal")
    held = log.stat().st_ino
    look(project)
    other = [sys.executable, "-c", OPENED_AND_CLOSED, str(project.store.path)]
    subprocess.run(other, check=True)
    assert log.exists() and log.stat().st_ino == held
