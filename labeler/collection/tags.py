"""Tags of images, from text and JSON files beside them and from CSV files.

Evaluations are sliced by tags (`labeler.versions.evaluation.slices`); no model learns from them. A
text that is no list of tags is harmless: its sentences are too long for tags, or too few images
share them. Texts with the settings of an image generator are ignored.
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

LONGEST_TAG = 100  # characters; longer ones are sentences and left out
MOST_TAGS = 300  # of one image
SIDECAR_MARK = "labeler predict"  # beginning of the texts that `labeler predict` writes: no tags
_LARGEST_TEXT = 64 * 1024  # bytes that are read of a text file
_LARGEST_JSON = 1024 * 1024
_JSON_KEYS = ("caption", "tags", "keywords")
_SPACED_KEYS = "tag_string"  # Danbooru's, and those of its parts: tag_string_general, …
_BATCH = 2000
_TEXT_SEPARATORS = re.compile(r"[,\n\r]")
_CELL_SEPARATORS = re.compile(r"[,;\n\r]")
_NO_SEPARATOR = re.compile(r"(?!)")
# As a1111, its forks and ComfyUI's savers of the same form write what an image was made with.
_GENERATION = re.compile(
    r"^(?:negative prompt:|steps: *\d+ *,|.*\bsteps: *\d+, *(?:sampler|size|seed|cfg scale)\b)",
    re.IGNORECASE | re.MULTILINE,
)
# Words of image boards, which no sentence has: long_hair, 1girl, 2boys.
_BOORU_WORD = re.compile(r"\w+_\S+|\d\+?(?:girl|boy|other)s?")


@dataclass
class TagSummary:
    """Result of reading a CSV file of tags: how many images it tags, and the lines left out."""

    images: int = 0
    bad: list[BadLine] = field(default_factory=list)

    @property
    def is_useless(self) -> bool:
        """Whether there are lines and none could be used."""
        return bool(self.bad) and not self.images


def split_tags(text: str, between: re.Pattern[str] = _TEXT_SEPARATORS) -> list[str]:
    """Return the tags in `text`, each once, with single spaces and printable characters only."""
    shown = "".join(c if c.isprintable() or c in "\n\r" else " " for c in text)
    tags = (" ".join(part.split()) for part in between.split(shown))
    return [tag for tag in dict.fromkeys(tags) if 0 < len(tag) <= LONGEST_TAG][:MOST_TAGS]


def tag_from_texts(
    project: Project, texts: Mapping[str, Sequence[str]], progress: Progress = silent
) -> int:
    """Record the tags in the text files beside images; returns how many images have some.

    `texts` has the paths of an image's files by the image's path: plain text, or JSON as
    img2dataset writes it, with caption, tags or keywords. The tags of all its files replace the
    image's earlier tags from such files; an empty file means no tags. A file that can't be read
    is ignored.
    """
    ids = db.images.locations.ids_by_path(project.store)
    texts_of: dict[int, list[str]] = defaultdict(list)
    for image, files_of_image in texts.items():
        if image in ids:
            texts_of[ids[image]] += files_of_image
    pending, tagged = list(texts_of.items()), 0
    for start in range(0, len(pending), _BATCH):
        progress(start, len(pending), "reading tags")
        tags_of = {
            image_id: [tag for one in read for tag in one]
            for image_id, files in pending[start : start + _BATCH]
            if (read := [one for one in map(_read_tags, files) if one is not None])
        }
        db.images.tags.put(project.store, db.images.tags.BESIDE, tags_of)
        tagged += sum(bool(tags) for tags in tags_of.values())
    return tagged


def _read_tags(name: str) -> list[str] | None:
    """Return the tags in a text or JSON file; `None` if it can't be read."""
    try:
        data = _read_start(name)
        if name.lower().endswith(".json"):
            return _tags_in_json(parse_json(data)) if data else []
        text = _decode(data[:_LARGEST_TEXT])
        has_no_tags = text.startswith(SIDECAR_MARK) or _GENERATION.search(text)
        return [] if has_no_tags else _tags_in_text(text)
    except (OSError, UnreadableImage, ValueError):
        return None


def _decode(data: bytes) -> str:
    """Decode UTF-16 if there is its mark or nearly every second byte is 0, else UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    for coding, start in (("utf-16-le", 1), ("utf-16-be", 0)):
        places = data[start:200:2]
        if len(places) > 2 and places.count(0) > 0.8 * len(places):
            return data.decode(coding, "replace")
    return data.decode("utf-8-sig", "replace")


def _tags_in_text(text: str) -> list[str]:
    """Split `text` at commas and line ends, and a line with words of image boards at spaces."""
    if "," in text:
        return split_tags(text)
    lines = [
        " ".join(line.split())
        if not any(map(_BOORU_WORD.fullmatch, line.split()))
        else ",".join(line.split())
        for line in text.splitlines()
    ]
    return split_tags("\n".join(lines))


def _read_start(name: str) -> bytes:
    """Return the first bytes of a file, which may be a member of an archive."""
    if inside := through(name):
        return read_member(*inside, _LARGEST_JSON)
    file = Path(name)
    if file.stat().st_size == 0:
        return b""
    with open_regular(file) as opened:
        return opened.read(_LARGEST_JSON)


def _tags_in_json(document: Any) -> list[str]:
    """Return the tags in `caption`, `tags` and `keywords`, and in Danbooru's `tag_string…`.

    `tags` may be lists by kind, as of e621. Other documents have none.
    """
    if not isinstance(document, dict):
        return []
    texts = [text for name in _JSON_KEYS for text in _texts_in(document.get(name))]
    spaced = [
        word
        for name, value in document.items()
        if name.startswith(_SPACED_KEYS) and isinstance(value, str)
        for word in value.split()
    ]
    tags = [tag for text in texts for tag in _tags_in_text(text)]
    return [*tags, *(tag for word in spaced for tag in split_tags(word, _NO_SEPARATOR))]


def _texts_in(value: Any) -> list[str]:
    """Return the texts in a text, a list of them, or lists by kind."""
    if isinstance(value, dict):
        value = [text for each in value.values() if isinstance(each, list) for text in each]
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def tag_from_table(project: Project, file: Path) -> TagSummary:
    """Record the tags in a CSV file with the columns path and tags, or path and tag.

    A cell of `tags` holds any number of tags, separated by commas or semicolons; one of `tag` holds
    one, on as many lines as the image has tags. They replace the tags that the named images have
    from tables; empty cells mean no tags. Invalid lines are listed in the summary's `bad`, and the
    others count. Raises `BadInput` if the file is not such a table.
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
    tags = [*split_tags(line.cell("tags"), _CELL_SEPARATORS), *split_tags(whole, _NO_SEPARATOR)]
    if len(whole) > LONGEST_TAG:
        raise BadInput(f"a tag has at most {LONGEST_TAG} characters; this one has {len(whole)}.")
    return tags
