"""Tags of images: from text and JSON files beside them, and from CSV files.

Tags are words to slice by (see `labeler.versions.evaluation.slices`), nothing learns from them. A
text that is no list of tags does no harm: its sentences are too long for tags, or never shared by
enough images. The settings that a generator of images notes in such a text are none.
"""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import db.images.locations
import db.images.tags
from labeler.core.archives.archives import read_member, through
from labeler.core.archives.opening import open_regular
from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import Line, read_lines
from labeler.core.images.lookup import BadLine, Lookup, image_on_line
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from model.errors import UnreadableImage
from model.files.bounded_json import parse_json

LONGEST_TAG = 100  # characters; what is longer is a sentence, and left out
MOST_TAGS = 300  # of one image
_LARGEST_TEXT = 64 * 1024  # bytes that are read of a text file
_LARGEST_JSON = 1024 * 1024
_IN_JSON = ("caption", "tags", "keywords")
_SPACED = "tag_string"  # Danbooru's, and those of its parts: tag_string_general, …
_BATCH = 2000
_IN_TEXTS = re.compile(r"[,\n\r]")
_IN_CELLS = re.compile(r"[,;\n\r]")
_NOWHERE = re.compile(r"(?!)")
# As a1111, its forks and ComfyUI's savers of the same form write what an image was made with.
_GENERATION = re.compile(
    r"^(?:negative prompt:|steps: *\d+ *,|.*\bsteps: *\d+, *(?:sampler|size|seed|cfg scale)\b)",
    re.IGNORECASE | re.MULTILINE,
)
# Words of image boards, which no sentence has: long_hair, 1girl, 2boys.
_BOORU_WORD = re.compile(r"\w+_\S+|\d\+?(?:girl|boy|other)s?")


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


def tag_from_texts(
    project: Project, texts: Mapping[str, Sequence[str]], progress: Progress = silent
) -> int:
    """Give images the tags in the files beside them; returns how many images have some.

    `texts` has the paths of the texts by the image's: plain text, or JSON as img2dataset writes it,
    with caption, tags or keywords. They replace what such texts said before; a file that can't be
    read changes nothing, and an empty one takes the tags away. Of several files of one image the
    tags come together.
    """
    ids = db.images.locations.ids_by_path(project.store)
    texts_of: dict[int, list[str]] = defaultdict(list)
    for image, named in texts.items():
        if image in ids:
            texts_of[ids[image]] += named
    waiting, tagged = list(texts_of.items()), 0
    for start in range(0, len(waiting), _BATCH):
        progress(start, len(waiting), "reading tags")
        tags_of = {
            image_id: [tag for one in read for tag in one]
            for image_id, files in waiting[start : start + _BATCH]
            if (read := [one for one in map(_tags_in, files) if one is not None])
        }
        db.images.tags.put(project.store, db.images.tags.BESIDE, tags_of)
        tagged += sum(bool(tags) for tags in tags_of.values())
    return tagged


def _tags_in(name: str) -> list[str] | None:
    """The tags in a file, whatever its bytes; `None` if it can't be read."""
    try:
        data = _bytes_of(name)
        if name.lower().endswith(".json"):
            return _tags_in_json(parse_json(data)) if data else []
        text = _decoded(data[:_LARGEST_TEXT])
        is_none = text.startswith(MADE_BY) or _GENERATION.search(text)
        return [] if is_none else _tags_in_text(text)
    except (OSError, UnreadableImage, ValueError):
        return None


def _decoded(data: bytes) -> str:
    """UTF-16 where a mark or a NUL in every second place says so, else UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    for coding, start in (("utf-16-le", 1), ("utf-16-be", 0)):
        places = data[start:200:2]
        if len(places) > 2 and places.count(0) > 0.8 * len(places):
            return data.decode(coding, "replace")
    return data.decode("utf-8-sig", "replace")


def _tags_in_text(text: str) -> list[str]:
    """With commas or lines between them, or, where words of image boards tell, with spaces."""
    if "," in text:
        return split_tags(text)
    lines = [
        " ".join(line.split())
        if not any(map(_BOORU_WORD.fullmatch, line.split()))
        else ",".join(line.split())
        for line in text.splitlines()
    ]
    return split_tags("\n".join(lines))


def _bytes_of(name: str) -> bytes:
    """The beginning of a file, which may lie in an archive."""
    if inside := through(name):
        return read_member(*inside, _LARGEST_JSON)
    file = Path(name)
    if file.stat().st_size == 0:
        return b""
    with open_regular(file) as opened:
        return opened.read(_LARGEST_JSON)


def _tags_in_json(document: Any) -> list[str]:
    """Of the caption, of lists of tags or keywords, also by kind (e621), and of Danbooru's
    `tag_string`; other documents hold none.
    """
    if not isinstance(document, dict):
        return []
    texts = [text for name in _IN_JSON for text in _texts_in(document.get(name))]
    spaced = [
        word
        for name, said in document.items()
        if name.startswith(_SPACED) and isinstance(said, str)
        for word in said.split()
    ]
    found = [tag for text in texts for tag in _tags_in_text(text)]
    return [*found, *(tag for word in spaced for tag in split_tags(word, _NOWHERE))]


def _texts_in(said: Any) -> list[str]:
    """The texts that stand there, alone, in a list, or in lists by their kind."""
    if isinstance(said, dict):
        said = [text for each in said.values() if isinstance(each, list) for text in each]
    return [text for text in (said if isinstance(said, list) else [said]) if isinstance(text, str)]


def tag_from_table(project: Project, file: Path) -> TagSummary:
    """Take tags from a CSV file with the columns path and tags, or path and tag.

    `tags` holds any number with commas or semicolons between them, `tag` one, on as many lines as
    an image has tags. They replace what tables said before of the images named; an image whose
    cells are empty loses its own. A line that can't be taken is in the summary's `bad`, the others
    are taken. Raises `BadInput` if the file as a whole can't be read as such a table.
    """
    summary = TagSummary()
    ids = db.images.locations.ids_by_path(project.store)
    lookup = Lookup(lambda: db.images.locations.ids_by_path(project.store, seen_only=True))
    tags_of: dict[int, list[str]] = defaultdict(list)
    for line in read_lines(file, (("path",), ("tags", "tag"))):
        try:
            tags = _tags_on(line)
            tags_of[image_on_line(ids, file.absolute().parent, line, lookup)] += tags
        except BadInput as error:
            summary.bad.append(BadLine(line.number, str(error)))
    db.images.tags.put(project.store, db.images.tags.TABLE, tags_of)
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


MADE_BY = "labeler predict"  # how a text begins that holds no tags
