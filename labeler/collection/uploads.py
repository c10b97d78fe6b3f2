"""Pictures that come as bytes and not as files: kept in the project's folder, then imported."""

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
    """Keep pictures (name, format as recognised, bytes) in the project and start importing them.

    What is there already is not written again. Raises `BadInput` while another import runs, and
    `OSError` where they can't be written.
    """
    paths = [str(keep(project, *picture)) for picture in pictures]
    return runner.start_run(project, "import", {"paths": paths, "source": SOURCE})


def keep(project: Project, name: str, form: str, data: bytes) -> Path:
    """The file that holds the picture; one of that name with other content stays as it is."""
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
    """A name for a file that nothing could take for anything else, with the content's own ending.

    Letters of any language stay; `name` comes from a browser and may be anything.
    """
    stem = PurePosixPath(name.replace("\\", "/")).stem
    return f"{plain_stem(stem, 'picture')}{usual_ending(form)}"
