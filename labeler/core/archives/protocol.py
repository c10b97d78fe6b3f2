"""The interface of archives of pictures, their limits, and the checks that all kinds share."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from model.errors import UnreadableImage
from model.images.formats import begins_like_image, image_extensions

UNKNOWN_SIZE = -1  # of a file in an archive that doesn't tell sizes without being read
MOST_BYTES = 512 << 20  # of one file in an archive
MOST_MEMBERS = 2_000_000
HEAD = 32  # bytes that tell whether a file without a picture's extension is one
TEXTS = (".txt", ".caption", ".json")
_LONGEST_NAME = 1024
_OTHERS = "__MACOSX/"  # what macOS keeps beside the files themselves


@dataclass(slots=True)
class Listing:
    """The pictures of an archive (name → bytes, or UNKNOWN_SIZE) in its order.

    `texts` are the names of the text files beside each picture, `others` counts the other files.
    `problem` is the reason why it could not be read completely, `note` says what was left out.
    """

    pictures: dict[str, int] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    others: int = 0
    problem: str | None = None
    note: str | None = None


class Archive(Protocol):
    """An archive whose members are listed; safe to share between threads."""

    listing: Listing

    def __len__(self) -> int:
        """Return the number of names that it keeps in memory."""
        ...

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        """Return the first `most` bytes of a member.

        Raises `UnreadableImage` for a member of more than MOST_BYTES, `KeyError` and `OSError`.
        """
        ...

    def rows(self) -> dict[int, str]:
        """Return the members' names by row of a table, empty for other archives."""
        ...


def stays_inside(name: str) -> bool:
    """Return whether a member's name stays inside the archive and is one that a file can have."""
    parts = name.replace("\\", "/").split("/")
    return (
        0 < len(name) <= _LONGEST_NAME
        and "\0" not in name
        and not any(part in ("", ".", "..") for part in parts)
        and not (len(parts[0]) == 2 and parts[0][1] == ":")
    )


def check_plain(path: str) -> os.stat_result:
    """Return the status of a plain file; raises `UnreadableImage` for others, and `OSError`."""
    status = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
        raise UnreadableImage("It is no plain file, so it can't be an archive.")
    return status


def check_size(size: int) -> None:
    """Raise `UnreadableImage` for a file in an archive that is too large to be read into memory."""
    if size > MOST_BYTES:
        raise UnreadableImage(
            f"It takes {size:,} bytes, more than the limit of {MOST_BYTES:,} within an "
            "archive; unpack it."
        )


def listed(members: Iterable[tuple[str, int]], head: Callable[[str], bytes]) -> Listing:
    """Return the pictures among files (name → bytes), and the texts beside them.

    `head` returns a file's first HEAD bytes.
    """
    listing, texts = Listing(), 0
    beside: dict[str, list[str]] = {}
    extensions = image_extensions()
    for name, size in members:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        suffix = suffix.lower()
        if os.path.basename(name).startswith("._") or name.startswith(_OTHERS):  # noqa: PTH119
            listing.others += 1
        elif suffix in TEXTS:
            beside.setdefault(stem, []).append(name)
            texts += 1
        elif suffix in extensions or begins_like_image(head(name)):
            listing.pictures[name] = size
        else:
            listing.others += 1
    listing.texts = paired(listing.pictures, beside)
    listing.others += texts - len({one for each in listing.texts.values() for one in each})
    return listing


def paired(pictures: Sequence[str] | dict[str, int], beside: dict[str, list[str]]) -> dict:
    """Return the texts of each picture that has some; `beside` has texts by name without suffix.

    NAME.txt, NAME.caption and NAME.json are about NAME.png, NAME.png.txt is about that picture
    alone.
    """
    pairs = {}
    for name in pictures:
        stem = os.path.splitext(name)[0]  # noqa: PTH122
        texts = [*beside.get(name, ()), *(beside.get(stem, ()) if stem != name else ())]
        if texts:
            pairs[name] = texts
    return pairs
