"""Uploaded pictures: written to a folder of the project, then imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from db.records import Run
from db.store.regular_files import is_plain, read_up_to
from labeler.core.files.atomic import atomic_write
from labeler.core.files.names import plain_stem, usual_ending
from labeler.core.jobs import runner
from labeler.core.project import Project

FOLDER = SOURCE = "added"  # in the project's folder, and what the source is called


def add_pictures(project: Project, pictures: Sequence[tuple[str, str, bytes]]) -> Run:
    """Write `pictures` (name, format, bytes) to the project's folder and start their import.

    A file with the same name and bytes is not written again. Raises `BadInput` while another import
    runs, and `OSError` where a file can't be written.
    """
    paths = [str(keep_picture(project, *picture)) for picture in pictures]
    return runner.start_run(project, "import", {"paths": paths, "source": SOURCE})


def keep_picture(project: Project, name: str, form: str, data: bytes) -> Path:
    """Write the picture to a file and return its path.

    An existing file with the same name and other bytes is kept; the new one gets a number.
    """
    name = file_name(name, form)
    number, place = 1, project.folder / FOLDER / name
    while os.path.lexists(place):
        if is_plain(place, project.folder) and read_up_to(place, len(data) + 1) == data:
            return place
        number += 1
        place = place.with_name(f"{Path(name).stem}-{number}{Path(name).suffix}")
    with atomic_write(place) as scratch:
        scratch.write_bytes(data)
    return place


def file_name(name: str, form: str) -> str:
    """Return a safe file name with the usual extension of the format `form`.

    `name` comes from a browser and may be any text; letters of every language are kept.
    """
    stem = PurePosixPath(name.replace("\\", "/")).stem
    return f"{plain_stem(stem, 'picture')}{usual_ending(form)}"
