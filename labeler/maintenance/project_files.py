"""Comparison of a project's files with its rows: missing, broken and unreferenced files.

Recent files are ignored, since another process may be writing them: a preview precedes its row.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import db.images.lookup
import db.jobs
import db.versions.registry
from db.records import Version
from db.store.regular_files import NotPlain, check_folder, is_plain
from labeler.collection import uploads
from labeler.collection.previews import preview_of, thumbnail_of
from labeler.core.errors import LabelerError
from labeler.core.files.atomic import is_scratch
from labeler.core.files.locks import is_held
from labeler.core.project import STORE_FILE, Project, preview_path, thumbnail_path
from labeler.embedding.quantized_index import broken_files
from labeler.versions.model_files import head_path, load_second_opinion
from model.errors import ModelError, UnreadableImage
from model.images.resize import OWN_THUMBNAIL_SIDE

FRESH_SECONDS = 3600.0
MOST_PROBLEMS = 10
Watch = Callable[[int, int], None]
_DIGITS = "0123456789abcdef"
_COPY = re.compile(r"[0-9a-f]{64}\.jpg")
_LOG = re.compile(r"(\d+)\.log")
# Other files in a project's folders may belong to the user and are never removed.
_SALVAGED = r"\.labeler-[0-9a-z]{2,16}(-[0-9a-f]{8})?\.part\.sqlite"
_STORE_PART = re.compile(
    rf"(\.({re.escape(STORE_FILE)}|{_SALVAGED})\.\d+\.part"
    rf"|{re.escape(STORE_FILE)}\.before-\w+\.partial|{_SALVAGED})(-wal|-shm)?"
)


@dataclass
class SmallCopies:
    """Missing and unreferenced previews and thumbnails."""

    missing: list[str] = field(default_factory=list)  # content hashes of large, readable images
    left: list[Path] = field(default_factory=list)  # files without an image


def check_small_copies(project: Project, watch: Watch) -> SmallCopies:
    """Compare previews and thumbnails with the images, folder by folder to bound the memory."""
    result = SmallCopies()
    for number, digit in enumerate(_DIGITS):
        watch(number, len(_DIGITS))
        end = _DIGITS[number + 1] if number + 1 < len(_DIGITS) else "g"
        contents = groupby(
            db.images.lookup.contents_from(project.store, digit, end), key=lambda each: each[0][:2]
        )
        images_by_folder = {name: list(images) for name, images in contents}
        for name in (f"{digit}{second}" for second in _DIGITS):
            _compare_folder(project, name, images_by_folder.get(name, []), result)
    watch(len(_DIGITS), len(_DIGITS))
    return result


def _compare_folder(
    project: Project, name: str, contents: list[tuple[str, bool, int]], result: SmallCopies
) -> None:
    """Compare the folders `name` of previews and thumbnails with `contents`; add to `result`.

    `contents` are (content hash, readable, longer side in pixels).
    """
    folders = project.previews / name, project.thumbnails / name
    previews, thumbnails = (_files_in(folder) for folder in folders)
    for digest, readable, side in contents:
        preview_size = previews.pop(f"{digest}.jpg", 0)
        thumbnail_size = thumbnails.pop(f"{digest}.jpg", 0)
        # Thumbnails of small images are made when they are first shown.
        if readable and side > OWN_THUMBNAIL_SIDE and not (preview_size and thumbnail_size):
            result.missing.append(digest)
    for folder, others in zip(folders, (previews, thumbnails), strict=True):
        result.left += [path for file in others if _is_own_file(path := folder / file, name)]


def recreate_small_copies(project: Project, hashes: list[str], watch: Watch) -> list[str]:
    """Create previews and thumbnails again; return sentences about those that failed.

    The first sentence is their number, the others the reasons of at most `MOST_PROBLEMS`.
    """
    problems: list[str] = []
    failed = 0
    for number, digest in enumerate(hashes):
        watch(number, len(hashes))
        image = db.images.lookup.find_by_content(project.store, digest)
        if image is None:
            continue
        try:
            for path in (preview_path(project, digest), thumbnail_path(project, digest)):
                if is_plain(path, project.folder) and not path.stat().st_size:
                    path.unlink()
            source = digest, Path(image.path), image.pixel_hash
            preview_of(project, *source)
            thumbnail_of(project, *source)
        except UnreadableImage as error:
            failed += 1
            if len(problems) < MOST_PROBLEMS:
                problems.append(f"{image.path}: {error}")
    watch(len(hashes), len(hashes))
    return [f"{failed} of them can't be made again", *problems] if failed else []


def removable(project: Project, paths: list[Path]) -> list[Path]:
    """Return those of `paths` that may be removed now.

    While a store from before a repair or a restoration is kept, previews and thumbnails may not:
    one of an image whose row is lost may be the only copy left.
    """
    names = tuple(f"{STORE_FILE}.{why}-" for why in ("damaged", "before-repair", "before-restore"))
    if not any(name.startswith(names) for name in _files_in(project.folder)):
        return [path for path in paths if _is_old(path)]
    cache_folders = (project.previews, project.thumbnails)
    return [path for path in paths if path.parent.parent not in cache_folders and _is_old(path)]


def leftovers(project: Project) -> Iterator[Path]:
    """Yield unfinished files of processes that have ended, and logs without a job."""
    folders = [project.folder, project.models, project.sketches, project.runs_folder]
    folders += [project.folder / uploads.FOLDER]
    for folder in folders:
        for name in _files_in(folder):
            path = folder / name
            is_store_part = folder == project.folder and _STORE_PART.fullmatch(name)
            unfinished = is_scratch(path) or is_store_part
            if unfinished and _is_old(path) and not is_held(path):
                yield path
    job_ids = db.jobs.ids(project.store)
    for name in _files_in(project.runs_folder):
        match = _LOG.fullmatch(name)
        path = project.runs_folder / name
        if match and int(match[1]) not in job_ids and _is_old(path):
            yield path
    yield from broken_files(project)


def broken_version(project: Project, version: Version, width: int) -> str | None:
    """Return why the version's head or second opinion can't be loaded, or None if both can."""
    # Imported where they are used: torch takes seconds to load; restoring does without.
    from model.heads.head_files import load_head

    try:
        load_head(head_path(project, version), width)
        if not version.is_foreign:
            load_second_opinion(project, version)
    except ModelError as error:
        return str(error)
    return None


def unreferenced_heads(project: Project) -> list[Path]:
    """Return trained heads that no version names: of a killed training, or added by the user."""
    stems = {Path(version.file).stem for version in db.versions.registry.history(project.store)}
    paths = (project.models / name for name in _files_in(project.models))
    return [path for path in paths if path.suffix == ".safetensors" and path.stem not in stems]


def remove_sketches(project: Project) -> None:
    """Remove the quantized indexes, which then are built again when they are needed."""
    names = () if project.sketches.is_symlink() else _files_in(project.sketches)
    remove([project.sketches / name for name in names if name.endswith(".npy")])


def remove(paths: list[Path]) -> None:
    """Remove files; missing ones are ignored. Raises `LabelerError` if one can't be removed."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise LabelerError(
                f"{path} can't be removed ({error.strerror}); check the permissions of its folder."
            ) from error


def _files_in(folder: Path) -> dict[str, int]:
    """Return {name: bytes} of the plain files in a folder, empty if it doesn't exist."""
    sizes: dict[str, int] = {}
    with suppress(NotPlain):
        if not check_folder(folder):
            return sizes
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
    return sizes


def _is_own_file(path: Path, digits: str) -> bool:
    """Return whether the program wrote the file into its folder `digits`, and not recently."""
    copy = _COPY.fullmatch(path.name) and path.name.startswith(digits)
    return bool(copy or is_scratch(path)) and _is_old(path)


def _is_old(path: Path) -> bool:
    with suppress(OSError):
        return abs(time.time() - path.stat(follow_symlinks=False).st_mtime) > FRESH_SECONDS
    return False
