"""Hand scores given one at a time, and how an image is named: by a path or an id."""

from __future__ import annotations

import os
import shlex
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import db.images.bulk_lookup
import db.images.lookup
import db.scores.events
from db.records import Event, Image
from labeler.collection.lookup import Lookup, folded
from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import Line
from labeler.core.files.typed_paths import path_within
from labeler.core.project import Project
from labeler.core.scorers import account_name, clean_name
from labeler.scoring.score_files import statements


@dataclass(frozen=True)
class Labelled:
    """One hand score as taken; `before` is the image's score until then (0–10, None: unscored)."""

    image: Image
    score: float
    before: float | None


@dataclass(frozen=True)
class BadLine:
    line: int
    problem: str


def read_score(text: str) -> float:
    """A hand score 0–10 from what was written; raises `BadInput`."""
    score = statements.read_score(text)
    if score is None:
        raise BadInput(f"{text!r} is not a score; give a number from 0 to 10.")
    return score


def find_image(project: Project, named: str) -> Image:
    """The image that `named` means: a whole number is an id, anything else a path.

    For a file whose name is a number, write ./12. Raises `BadInput` if it isn't in the project.
    """
    if not (named.isascii() and named.isdigit()):
        return _find_by_path(project, named)
    found = db.images.lookup.get(project.store, int(named)) if len(named) < 19 else None
    if found is None:
        raise BadInput(
            f"No image has the id {named}; give a path instead, and for a file whose name is "
            f"{named} write ./{named}"
        )
    return found


def _find_by_path(project: Project, named: str) -> Image:
    for path in _spellings(Path.cwd(), named):
        if found := db.images.lookup.find_by_path(project.store, path):
            return found
    lookup = Lookup(lambda: db.images.bulk_lookup.ids_of_pictures(project.store))
    meant = lookup.find(named, _spellings(Path.cwd(), folded(named)))
    if meant is not None and (found := db.images.lookup.get(project.store, meant)):
        return found
    if not os.path.exists(named):  # noqa: PTH110 - also answers for names too long for the system
        raise BadInput(f"{named} does not exist; check the path.")
    raise BadInput(
        f"{named} is not in this project yet; add it with: labeler import {shlex.quote(named)}"
    )


def _spellings(folder: Path, named: str) -> list[str]:
    """The absolute paths that `named`, seen from `folder`, may be stored under."""
    if not named or "\0" in named:
        return []
    # Path.resolve() follows symlinks.
    ways = [os.path.abspath(folder / way) for way in (named, path_within(named))]  # noqa: PTH100
    return list(dict.fromkeys(path for way in ways for path in (way, os.path.realpath(way))))


def label_one(project: Project, named: str, score: float, scorer: str | None = None) -> Labelled:
    """Give the image `named` (a path or an id) the hand score `score`; raises `BadInput`."""
    image = find_image(project, named)
    if image.state == "unreadable":
        raise BadInput(f"{named} can't be scored: {image.reason}")
    # Nothing is shown on the command line, so the event names no prediction and no version.
    event = Event(
        uuid.uuid4().hex,
        "score",
        image.id,
        datetime.now(UTC),
        value=score,
        scorer=clean_name(scorer) or account_name(),
    )
    receipt = db.scores.events.record(project.store, [event])[0]
    if not receipt.accepted:
        raise BadInput(f"{named} was not scored: {receipt.problem}")
    return Labelled(image, score, image.hand_score)


def image_on_line(ids: dict[str, int], folder: Path, line: Line, lookup: Lookup) -> int:
    """The id of the image that the line's column `path` names, absolute or seen from `folder`.

    `ids` are of all known paths, `lookup` knows other ways to write them; raises `BadInput`.
    """
    given = line.cell("path")
    for named in (given, given.strip()):
        for path in _spellings(folder, named):
            if path in ids:
                return ids[path]
        found = lookup.find(named, _spellings(folder, folded(named)))
        if found is not None:
            return found
    if not given.strip():
        raise BadInput("there is no path in this line; fill in its path column.")
    if line.doubt is not None:
        raise BadInput(line.doubt)
    if os.path.exists(folder / given):  # noqa: PTH110 - also answers for names too long
        raise BadInput(f"{given} is not in this project; import it first.")
    raise BadInput(f"{given} does not exist; paths are absolute or relative to the CSV file.")
