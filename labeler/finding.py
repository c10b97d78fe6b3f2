"""Which files under a folder are pictures: walks it once and opens next to nothing.

Used by the import and by predicting over folders. Hidden folders, the thumbnails that systems keep
beside the pictures, and what projects keep for themselves are not entered. A link to a file is
followed while it stays inside the folder; links to folders never are, so there are no cycles.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labeler.formats import looks_like_image
from labeler.project import STORE_FILE, SUBFOLDERS

_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"})
_LEADS_OUT = "A link to a file outside the imported folder; import the folder that holds the file."
_LINKED_FOLDER = "A link to a folder is not followed; import that folder itself if you want it."
_BAD_NAME = "Its name is not valid UTF-8 and can't be stored; rename it."


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A picture to be, by its extension or content; `problem` says why it must not be opened."""

    path: str
    mtime_ns: int
    size_bytes: int
    problem: str | None = None

    @property
    def storable(self) -> bool:
        """False for a name that no database can hold (bytes that are not UTF-8)."""
        return self.problem != _BAD_NAME


@dataclass(slots=True)
class Found:
    """What a walk saw. `closed` are the folders that could not be listed or were not followed.

    `texts` has, by the path of an image, that of the text file beside it: NAME.txt or NAME.png.txt.
    """

    files: list[FoundFile] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    other_files: int = 0
    closed: list[tuple[str, str]] = field(default_factory=list)


def find_images(root: Path) -> Found:
    """Everything under the folder `root` (in the order of names), or the one file that it is.

    A single file is always taken: whoever names it means it.
    """
    root = Path(os.path.realpath(root))
    found = Found()
    if not root.is_dir():
        found.files.append(_found(root, root.parent))
        named = (root.with_name(f"{name}.txt") for name in (root.stem, root.name))
        _pair(found, [path for path in named if path != root and path.is_file()], root.parent)
        return found
    texts = []
    for path in _files(root, found):
        if not path.name.startswith("._") and looks_like_image(path):
            found.files.append(_found(path, root))
        elif path.suffix.lower() == ".txt":
            texts.append(path)
        else:
            found.other_files += 1
    found.other_files += _pair(found, texts, root)
    return found


def _pair(found: Found, texts: list[Path], root: Path) -> int:
    """Note which text lies beside which image; returns how many lie beside none."""
    text_of = {str(path.with_suffix("")): path for path in texts}
    beside = set()
    for file in found.files:
        text = text_of.get(file.path) or text_of.get(os.path.splitext(file.path)[0])  # noqa: PTH122
        if text is None:
            continue
        beside.add(text)
        if _problem(text, root) is None:
            found.texts[file.path] = str(text)
    return len(texts) - len(beside)


def readable_name(path: str | Path) -> str:
    """The path as text that can be printed and stored, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _files(root: Path, found: Found) -> Iterator[Path]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"The folder can't be listed ({error.strerror}); check its permissions."
            found.closed.append((readable_name(folder), reason))
            continue
        own = SUBFOLDERS if any(entry.name == STORE_FILE for entry in entries) else ()
        folders = []
        for entry in entries:
            if not _is_folder(entry):
                yield Path(entry.path)
            elif entry.is_symlink():
                found.closed.append((readable_name(entry.path), _LINKED_FOLDER))
            elif not _passed_over(entry.name, own):
                folders.append(Path(entry.path))
        waiting.extend(reversed(folders))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or into a place that may not be entered
        return False


def _passed_over(name: str, own: tuple[str, ...]) -> bool:
    return name.startswith(".") or name in _SYSTEM_FOLDERS or name in own


def _found(path: Path, root: Path) -> FoundFile:
    try:
        status = path.stat()
    except OSError:  # a broken link, or no permission: the reason is found when it is opened
        return FoundFile(str(path), 0, 0, _problem(path, root))
    return FoundFile(str(path), status.st_mtime_ns, status.st_size, _problem(path, root))


def _problem(path: Path, root: Path) -> str | None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return _BAD_NAME
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
        return _LEADS_OUT
    return None
