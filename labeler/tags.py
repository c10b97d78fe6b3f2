"""Tags of images: from text files beside them, and from CSV files.

Tags are words to slice by (see `labeler.slices`), nothing learns from them. A text that is no list
of tags does no harm: its sentences are too long for tags, or never shared by enough images.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import db.images
import db.tags
from labeler.csv_files import Line, read_lines
from labeler.errors import BadInput, UnreadableImage
from labeler.labels import BadLine, image_on_line
from labeler.pictures import open_regular
from labeler.progress import Progress, silent
from labeler.project import Project

LONGEST_TAG = 100  # characters; what is longer is a sentence, and left out
MOST_TAGS = 300  # of one image
_LARGEST_TEXT = 64 * 1024  # bytes that are read of a text file
_BATCH = 2000
_IN_TEXTS = re.compile(r"[,\n\r]")
_IN_CELLS = re.compile(r"[,;\n\r]")
_NOWHERE = re.compile(r"(?!)")


@dataclass
class TagSummary:
    """What a CSV file of tags brought; `images` is how many images got theirs from it."""

    images: int = 0
    bad: list[BadLine] = field(default_factory=list)

    @property
    def is_useless(self) -> bool:
        return bool(self.bad) and not self.images


def split_tags(text: str, between: re.Pattern[str] = _IN_TEXTS) -> list[str]:
    """The tags in `text`, each once: without what can't be printed, and with single spaces."""
    shown = "".join(c if c.isprintable() or c in "\n\r" else " " for c in text)
    tags = (" ".join(part.split()) for part in between.split(shown))
    return [tag for tag in dict.fromkeys(tags) if 0 < len(tag) <= LONGEST_TAG][:MOST_TAGS]


def tag_from_texts(project: Project, texts: Mapping[str, str], progress: Progress = silent) -> int:
    """Give images the tags in the text files beside them; returns how many images have some.

    `texts` has the text's path by the image's. They replace what such texts said before; a file
    that can't be read changes nothing, and an empty one takes the tags away. Of several files of
    one image the tags come together.
    """
    ids = db.images.ids_by_path(project.store)
    texts_of: dict[int, list[str]] = defaultdict(list)
    for image, text in texts.items():
        if image in ids:
            texts_of[ids[image]].append(text)
    waiting, tagged = list(texts_of.items()), 0
    for start in range(0, len(waiting), _BATCH):
        progress(start, len(waiting), "reading tags")
        tags_of = {
            image_id: [tag for one in read for tag in split_tags(one)]
            for image_id, files in waiting[start : start + _BATCH]
            if (read := [one for one in map(_read, files) if one is not None])
        }
        db.tags.put(project.store, db.tags.BESIDE, tags_of)
        tagged += sum(bool(tags) for tags in tags_of.values())
    return tagged


def _read(name: str) -> str | None:
    """The beginning of a text file, whatever its bytes; `None` if it can't be read."""
    file = Path(name)
    try:
        if file.stat().st_size == 0:
            return ""
        with open_regular(file) as opened:
            return opened.read(_LARGEST_TEXT).decode("utf-8-sig", "replace")
    except (OSError, UnreadableImage):
        return None


def tag_from_table(project: Project, file: Path) -> TagSummary:
    """Take tags from a CSV file with the columns path and tags, or path and tag.

    `tags` holds any number with commas or semicolons between them, `tag` one, on as many lines as
    an image has tags. They replace what tables said before of the images named; an image whose
    cells are empty loses its own. A line that can't be taken is in the summary's `bad`, the others
    are taken. Raises `BadInput` if the file as a whole can't be read as such a table.
    """
    summary = TagSummary()
    ids = db.images.ids_by_path(project.store)
    tags_of: dict[int, list[str]] = defaultdict(list)
    for line in read_lines(file, (("path",), ("tags", "tag"))):
        try:
            tags = _tags_on(line)
            tags_of[image_on_line(ids, file.absolute().parent, line)] += tags
        except BadInput as error:
            summary.bad.append(BadLine(line.number, str(error)))
    db.tags.put(project.store, db.tags.TABLE, tags_of)
    summary.images = len(tags_of)
    return summary


def _tags_on(line: Line) -> list[str]:
    if line.is_overfull:
        raise BadInput("there are more cells than columns; quote what holds a comma.")
    whole = " ".join(line.cell("tag").split())
    tags = [*split_tags(line.cell("tags"), _IN_CELLS), *split_tags(whole, _NOWHERE)]
    if len(whole) > LONGEST_TAG:
        raise BadInput(f"a tag has at most {LONGEST_TAG} characters; this one has {len(whole)}.")
    return tags
