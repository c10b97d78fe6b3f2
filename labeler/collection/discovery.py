"""Discovery of pictures in a folder or an archive, for the import and for predictions over folders.

A walk opens few files. Hidden folders, the folders in which systems keep thumbnails, and a
project's own previews are left out. A link to a file inside the folder is followed; for other links
labeler/collection/outside_links.py decides. Each folder is entered once, so cycles end. Tar, zip
and Parquet files with pictures are read like folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from labeler.collection.outside_links import OutsideLinks
from labeler.core.archives.archives import look_into, may_be_archive, through
from labeler.core.archives.img2dataset import failed_keys
from labeler.core.archives.protocol import TEXTS, UNKNOWN_SIZE, Listing, paired
from labeler.core.files.names import LEADS_OUT, leads_inside, readable_name
from labeler.core.project import OF_SMALL_COPIES, STORE_FILE, STORE_FILES, is_small_copy
from model.images.formats import image_extensions, looks_like_image

_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"})
_OR_FOLLOW = "or follow links: --follow-links"
_LINKED_FOLDER = (
    f"A link to a folder is not followed; import that folder itself if you want it, {_OR_FOLLOW}"
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
_APPLE_DOUBLE = "What macOS notes beside a file; it holds no picture."
_UNREAD_ARCHIVE = (
    "An archive of a kind that is not read; unpack it, or pack it anew as a zip or tar."
)
_UNREAD_SUFFIXES = (".7z", ".rar", ".cbr", ".cb7", ".cba", ".lzh", ".lha", ".arj", ".ace")
_FAILED = "img2dataset notes that its download failed; download it again."
_TABLES = (".parquet", ".npy", ".csv", ".jsonl")  # which people name by mistake
_PACKED_SUFFIXES = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is a picture by its extension or content.

    `problem` is the reason why it must not be opened. For a member of an archive `mtime_ns` is the
    archive's, and `size_bytes` may be UNKNOWN_SIZE.
    """

    path: str
    mtime_ns: int
    size_bytes: int
    problem: str | None = None

    def is_as_it_was(self, mtime_ns: int, size_bytes: int) -> bool:
        """Return whether it has this time and size; an unknown size matches every size."""
        return self.mtime_ns == mtime_ns and self.size_bytes in (size_bytes, UNKNOWN_SIZE)

    @property
    def storable(self) -> bool:
        """Whether the store can hold its path: False for bytes that are not UTF-8."""
        return self.problem != _BAD_NAME


@dataclass(slots=True)
class ScanResult:
    """Files that a walk found, and (path, reason) of what it left out.

    `texts` has the paths of the text files beside an image, by the image's path: NAME.txt,
    NAME.caption, NAME.json or NAME.png.txt. `other_files` counts what is neither. `closed` are
    folders and archives that could not be listed completely, and links that were not followed;
    `noted` archives with members that were left out; `passed_over` what is read only if it is named
    itself.
    """

    files: list[FoundFile] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    other_files: int = 0
    in_archives: int = 0  # of the files
    closed: list[tuple[str, str]] = field(default_factory=list)
    noted: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def find_images(root: Path, links: OutsideLinks | None = None) -> ScanResult:
    """Find the pictures in `root`: a folder, searched in the order of names, an archive or a file.

    A single file is always a result, whatever its name. `links` decides about links that lead out
    of the folder; by default none is followed.
    """
    root, links = Path(os.path.realpath(root)), links or OutsideLinks()
    result = ScanResult()
    if not root.is_dir():
        _add_file(result, root, links)
        return result
    texts: list[Path] = []
    tables: list[Path] = []
    for path in _walk(root, result, links):
        if path.name.startswith("._"):
            result.other_files += 1
            if path.suffix.lower() in image_extensions():
                result.passed_over.append((readable_name(path), _APPLE_DOUBLE))
        elif path.name not in STORE_FILES and looks_like_image(path):
            result.files.append(_found_file(path, root, links))
        elif path.suffix.lower() in TEXTS:
            texts.append(path)
        elif not _add_archive(result, path, root, links):
            result.other_files += 1
            if path.suffix.lower() in _UNREAD_SUFFIXES:
                result.passed_over.append((readable_name(path), _UNREAD_ARCHIVE))
            if path.suffix.lower() == ".parquet":
                tables.append(path)
    result.other_files += _pair_texts(result, texts, root, links)
    _mark_failed_downloads(result, tables)
    return result


def _add_file(result: ScanResult, file: Path, links: OutsideLinks) -> None:
    if _add_archive(result, file, file.parent, links):
        return
    if file.suffix.lower() in _TABLES:
        result.closed.append((readable_name(file), _NO_PICTURES))
        return
    result.files.append(_found_file(file, file.parent, links))
    _pair_texts(result, _texts_beside(file), file.parent, links)


def texts_beside(image: str, root: Path) -> list[str]:
    """Return the paths of the text files beside an image, which may be a member of an archive.

    Links that lead out of the folder `root` are left out.
    """
    if inside := through(image):
        archive, name = inside
        listing = look_into(Path(archive)) or Listing()
        return [f"{archive}{os.sep}{text}" for text in listing.texts.get(name, ())]
    beside, none = _texts_beside(Path(image)), OutsideLinks()
    return [str(path) for path in beside if _problem(path, root, none) is None]


def _texts_beside(file: Path) -> list[Path]:
    candidates = (
        file.with_name(f"{name}{suffix}") for name in (file.stem, file.name) for suffix in TEXTS
    )
    # os.path.isfile, since Path.is_file raises for names that are too long.
    return [path for path in candidates if path != file and os.path.isfile(path)]  # noqa: PTH113


def _add_archive(result: ScanResult, path: Path, root: Path, links: OutsideLinks) -> bool:
    """Add the members of an archive; returns False if `path` is not one."""
    if path.name.lower().endswith(_PACKED_SUFFIXES):
        result.closed.append((readable_name(path), _PACKED))
        return True
    problem = _problem(path, root, links) if may_be_archive(path) else None
    listing = Listing(problem=problem) if problem else look_into(path)
    if listing is None:
        return False
    if listing.problem:
        result.closed.append((readable_name(path), listing.problem))
    if listing.note:
        result.noted.append((readable_name(path), listing.note))
    result.other_files += listing.others
    if listing.pictures:
        _add_members(result, path, listing)
    return True


def _add_members(result: ScanResult, archive: Path, listing: Listing) -> None:
    mtime_ns = archive.stat().st_mtime_ns
    result.in_archives += len(listing.pictures)

    def inside(name: str) -> str:
        return f"{archive}{os.sep}{name}"

    for name, size in listing.pictures.items():
        problem = None if _is_text(name) else _BAD_NAME
        result.files.append(FoundFile(inside(name), mtime_ns, size, problem))
    for name, texts in listing.texts.items():
        result.texts[inside(name)] = [inside(text) for text in texts]


def _mark_failed_downloads(result: ScanResult, tables: list[Path]) -> None:
    """Set the `problem` of files whose download failed, as img2dataset's FOLDER.parquet says.

    Such a table describes the files in FOLDER.
    """
    failed: dict[str, frozenset[str]] = {}
    for table in tables:
        if table.with_suffix("").is_dir():
            failed[f"{table.with_suffix('')}"] = failed_keys(table)
    for position, file in enumerate(result.files if any(failed.values()) else ()):
        folder, name = os.path.split(file.path)
        if os.path.splitext(name)[0] in failed.get(folder, ()):  # noqa: PTH122
            result.files[position] = replace(file, problem=_FAILED)


def _pair_texts(result: ScanResult, texts: list[Path], root: Path, links: OutsideLinks) -> int:
    """Set the texts beside each image; returns how many are beside none."""
    beside: dict[str, list[str]] = {}
    for path in texts:
        beside.setdefault(os.path.splitext(path)[0], []).append(str(path))  # noqa: PTH122
    pairs = paired([file.path for file in result.files], beside)
    for image, paths in pairs.items():
        if allowed := [text for text in paths if _problem(Path(text), root, links) is None]:
            result.texts[image] = allowed
    return len(texts) - len({text for paths in pairs.values() for text in paths})


def _walk(root: Path, result: ScanResult, links: OutsideLinks) -> Iterator[Path]:
    queue = [root]
    own: set[Path] = set()  # folders of a project's previews and thumbnails
    while queue:
        folder = queue.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"The folder can't be listed ({error.strerror}); check its permissions."
            result.closed.append((readable_name(folder), reason))
            continue
        if any(entry.name == STORE_FILE for entry in entries):
            own |= {folder / name for name in OF_SMALL_COPIES}
        folders = []
        for entry in entries:
            if not _is_folder(entry):
                if folder.parent not in own or not is_small_copy(folder.name, entry.name):
                    yield Path(entry.path)
            elif entry.is_symlink() and not _is_entered(Path(entry.path), root, links):
                reason = _LINKED_AGAIN if links.follow else _LINKED_FOLDER
                result.closed.append((readable_name(entry.path), reason))
            elif skip_reason := _why_passed_over(entry.name):
                result.passed_over.append((readable_name(entry.path), skip_reason))
            else:
                folders.append(Path(entry.path))
        queue.extend(reversed(folders))


def _is_entered(link: Path, root: Path, links: OutsideLinks) -> bool:
    try:
        return links.may_enter(link, root)
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a cycle of links, or a target without permission
        return False


def _why_passed_over(name: str) -> str | None:
    if name in _SYSTEM_FOLDERS:
        return _SYSTEMS
    return _HIDDEN if name.startswith(".") else None


def _found_file(path: Path, root: Path, links: OutsideLinks) -> FoundFile:
    try:
        status = path.stat()
    except OSError:  # a broken link, or no permission: opening it gives the reason
        return FoundFile(str(path), 0, 0, _problem(path, root, links))
    return FoundFile(str(path), status.st_mtime_ns, status.st_size, _problem(path, root, links))


def _problem(path: Path, root: Path, links: OutsideLinks) -> str | None:
    if not _is_text(str(path)):
        return _BAD_NAME
    is_link = os.path.islink(path)  # noqa: PTH114 (never raises)
    if is_link and not leads_inside(path, root) and not links.may_read(path):
        return f"{LEADS_OUT.removesuffix('.')}, {_OR_FOLLOW}"
    return None


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
