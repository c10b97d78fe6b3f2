"""Which files under a folder are pictures: walks it once and opens next to nothing.

Used by the import and by predicting over folders. Hidden folders and the thumbnails that systems
keep beside the pictures are not entered, and a project's own small copies are no pictures. A link
to a file is followed while it stays inside the folder, one that leads out and links to folders only
as labeler/collection/outside_links.py says; a folder is entered once, so there are no cycles. Tar,
zip and Parquet files with pictures are looked through like folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from labeler.collection.outside_links import OutsideLinks
from labeler.core.archives.archive import TEXTS, UNKNOWN_SIZE, Listing, paired
from labeler.core.archives.archives import look_into, may_be_archive, through
from labeler.core.archives.img2dataset import failed_keys
from labeler.core.files.names import LEADS_OUT, leads_inside, readable_name
from labeler.core.project import OF_SMALL_COPIES, STORE_FILE, STORE_FILES, is_small_copy
from model.images.formats import image_extensions, looks_like_image

_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"})
_ASK = "or follow links: --follow-links"
_LINKED_FOLDER = (
    f"A link to a folder is not followed; import that folder itself if you want it, {_ASK}"
)
_LINKED_AGAIN = "A link to a folder that is looked through anyway, or can't be; it is not followed."
_BAD_NAME = "Its name is not valid UTF-8 and can't be stored; rename it."
_PACKED = "A compressed archive, in which nothing can be read in its place; unpack it to .tar."
_NO_PICTURES = (
    "There are no pictures in it. Embeddings are taken with: labeler import-embeddings; scores "
    "with: labeler label --from"
)
_HIDDEN = "A hidden folder is not entered; import that folder itself if you want what is in it."
_SYSTEMS = (
    "A system keeps thumbnails or deleted files in it, so it is not entered; import that folder "
    "itself if you want what is in it."
)
_BESIDE = "What macOS notes beside a file; it holds no picture."
_UNREAD = "An archive of a kind that is not read; unpack it, or pack it anew as a zip or tar."
_UNREAD_ARCHIVES = (".7z", ".rar", ".cbr", ".cb7", ".cba", ".lzh", ".lha", ".arj", ".ace")
_FAILED = "img2dataset notes that its download failed; download it again."
_TABLES = (".parquet", ".npy", ".csv", ".jsonl")  # which people name by mistake
_PACKED_SUFFIXES = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A picture to be, by its extension or content; `problem` says why it must not be opened.

    Inside an archive `mtime_ns` is the archive's, and `size_bytes` may be UNKNOWN_SIZE.
    """

    path: str
    mtime_ns: int
    size_bytes: int
    problem: str | None = None

    def is_as_it_was(self, mtime_ns: int, size_bytes: int) -> bool:
        """True if it has this time and size, as far as they can be told."""
        return self.mtime_ns == mtime_ns and self.size_bytes in (size_bytes, UNKNOWN_SIZE)

    @property
    def storable(self) -> bool:
        """False for a name that no database can hold (bytes that are not UTF-8)."""
        return self.problem != _BAD_NAME


@dataclass(slots=True)
class Found:
    """What a walk saw. `closed` are the folders and archives that could not be listed to their end
    or were not followed, `noted` the archives of which something was left out, `passed_over` what
    is never looked at unless it is named itself: (path, reason).

    `texts` has, by the path of an image, those of the text files beside it: NAME.txt,
    NAME.caption, NAME.json or NAME.png.txt.
    """

    files: list[FoundFile] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    other_files: int = 0
    in_archives: int = 0  # of the files
    closed: list[tuple[str, str]] = field(default_factory=list)
    noted: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def find_images(root: Path, links: OutsideLinks | None = None) -> Found:
    """Everything under the folder `root` (in the order of names), or the one file that it is.

    A single file is always taken: whoever names it means it. An archive is taken as a folder.
    `links` says which links that lead out are followed; without it none is.
    """
    root, links = Path(os.path.realpath(root)), links or OutsideLinks()
    found = Found()
    if not root.is_dir():
        _take_one(found, root, links)
        return found
    texts: list[Path] = []
    tables: list[Path] = []
    for path in _files(root, found, links):
        if path.name.startswith("._"):
            found.other_files += 1
            if path.suffix.lower() in image_extensions():
                found.passed_over.append((readable_name(path), _BESIDE))
        elif path.name not in STORE_FILES and looks_like_image(path):
            found.files.append(_found(path, root, links))
        elif path.suffix.lower() in TEXTS:
            texts.append(path)
        elif not _take_archive(found, path, root, links):
            found.other_files += 1
            if path.suffix.lower() in _UNREAD_ARCHIVES:
                found.passed_over.append((readable_name(path), _UNREAD))
            if path.suffix.lower() == ".parquet":
                tables.append(path)
    found.other_files += _pair(found, texts, root, links)
    _leave_failed(found, tables)
    return found


def _take_one(found: Found, file: Path, links: OutsideLinks) -> None:
    if _take_archive(found, file, file.parent, links):
        return
    if file.suffix.lower() in _TABLES:
        found.closed.append((readable_name(file), _NO_PICTURES))
        return
    found.files.append(_found(file, file.parent, links))
    _pair(found, _texts_beside(file), file.parent, links)


def texts_beside(image: str, root: Path) -> list[str]:
    """The paths of the texts beside one image, which may lie in an archive.

    Links that lead out of the folder `root` are left out.
    """
    if inside := through(image):
        archive, name = inside
        listing = look_into(Path(archive)) or Listing()
        return [f"{archive}{os.sep}{text}" for text in listing.texts.get(name, ())]
    beside, none = _texts_beside(Path(image)), OutsideLinks()
    return [str(path) for path in beside if _problem(path, root, none) is None]


def _texts_beside(file: Path) -> list[Path]:
    named = (
        file.with_name(f"{name}{suffix}") for name in (file.stem, file.name) for suffix in TEXTS
    )
    # Also answers for names that are too long.
    return [path for path in named if path != file and os.path.isfile(path)]  # noqa: PTH113


def _take_archive(found: Found, path: Path, root: Path, links: OutsideLinks) -> bool:
    """Take what is in the archive; False where `path` is none."""
    if path.name.lower().endswith(_PACKED_SUFFIXES):
        found.closed.append((readable_name(path), _PACKED))
        return True
    problem = _problem(path, root, links) if may_be_archive(path) else None
    listing = Listing(problem=problem) if problem else look_into(path)
    if listing is None:
        return False
    if listing.problem:
        found.closed.append((readable_name(path), listing.problem))
    if listing.note:
        found.noted.append((readable_name(path), listing.note))
    found.other_files += listing.others
    if listing.pictures:
        _take_pictures(found, path, listing)
    return True


def _take_pictures(found: Found, archive: Path, listing: Listing) -> None:
    mtime_ns = archive.stat().st_mtime_ns
    found.in_archives += len(listing.pictures)

    def inside(name: str) -> str:
        return f"{archive}{os.sep}{name}"

    for name, size in listing.pictures.items():
        problem = None if _is_text(name) else _BAD_NAME
        found.files.append(FoundFile(inside(name), mtime_ns, size, problem))
    for name, texts in listing.texts.items():
        found.texts[inside(name)] = [inside(text) for text in texts]


def _leave_failed(found: Found, tables: list[Path]) -> None:
    """Pictures whose download img2dataset notes as failed are none to take: FOLDER.parquet tells
    of the files in FOLDER.
    """
    failed: dict[str, frozenset[str]] = {}
    for table in tables:
        if table.with_suffix("").is_dir():
            failed[f"{table.with_suffix('')}"] = failed_keys(table)
    for place, file in enumerate(found.files if any(failed.values()) else ()):
        folder, name = os.path.split(file.path)
        if os.path.splitext(name)[0] in failed.get(folder, ()):  # noqa: PTH122
            found.files[place] = replace(file, problem=_FAILED)


def _pair(found: Found, texts: list[Path], root: Path, links: OutsideLinks) -> int:
    """Note which texts lie beside which image; returns how many lie beside none."""
    beside: dict[str, list[str]] = {}
    for path in texts:
        beside.setdefault(os.path.splitext(path)[0], []).append(str(path))  # noqa: PTH122
    pairs = paired([file.path for file in found.files], beside)
    for image, named in pairs.items():
        if allowed := [text for text in named if _problem(Path(text), root, links) is None]:
            found.texts[image] = allowed
    return len(texts) - len({text for named in pairs.values() for text in named})


def _files(root: Path, found: Found, links: OutsideLinks) -> Iterator[Path]:
    waiting = [root]
    own: set[Path] = set()  # folders in which a project keeps its small copies
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"The folder can't be listed ({error.strerror}); check its permissions."
            found.closed.append((readable_name(folder), reason))
            continue
        if any(entry.name == STORE_FILE for entry in entries):
            own |= {folder / name for name in OF_SMALL_COPIES}
        folders = []
        for entry in entries:
            if not _is_folder(entry):
                if folder.parent not in own or not is_small_copy(folder.name, entry.name):
                    yield Path(entry.path)
            elif entry.is_symlink() and not _is_entered(Path(entry.path), root, links):
                why = _LINKED_AGAIN if links.follow else _LINKED_FOLDER
                found.closed.append((readable_name(entry.path), why))
            elif passed := _why_passed_over(entry.name):
                found.passed_over.append((readable_name(entry.path), passed))
            else:
                folders.append(Path(entry.path))
        waiting.extend(reversed(folders))


def _is_entered(link: Path, root: Path, links: OutsideLinks) -> bool:
    try:
        return links.may_enter(link, root)
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or into a place that may not be entered
        return False


def _why_passed_over(name: str) -> str | None:
    if name in _SYSTEM_FOLDERS:
        return _SYSTEMS
    return _HIDDEN if name.startswith(".") else None


def _found(path: Path, root: Path, links: OutsideLinks) -> FoundFile:
    try:
        status = path.stat()
    except OSError:  # a broken link, or no permission: the reason is found when it is opened
        return FoundFile(str(path), 0, 0, _problem(path, root, links))
    return FoundFile(str(path), status.st_mtime_ns, status.st_size, _problem(path, root, links))


def _problem(path: Path, root: Path, links: OutsideLinks) -> str | None:
    if not _is_text(str(path)):
        return _BAD_NAME
    is_link = os.path.islink(path)  # noqa: PTH114 (never raises)
    if is_link and not leads_inside(path, root) and not links.may_read(path):
        return f"{LEADS_OUT.removesuffix('.')}, {_ASK}"
    return None


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
