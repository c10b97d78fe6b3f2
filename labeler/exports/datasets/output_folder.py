"""The folder of an export: a list in it records every file that exports wrote there.

Each file is listed with its size and content hash before it is written. So an interrupted export
continues, a repeated one removes files that are no longer part of it (an image with another score
moves to another folder), files that a user added or edited stay, and a folder with other files is
refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TextIO

from db.records import Image
from db.store.regular_files import check_file, make_folders, open_to_read
from labeler.collection.outside_links import EXPORT_LIST
from labeler.core.errors import BadInput
from labeler.core.files.atomic import atomic_write, is_scratch, make_parent, remove_scratch
from labeler.core.files.export_writer import ExportWriter, file_fingerprint, fingerprint
from labeler.core.progress import Progress
from labeler.exports.datasets.image_files import file_name, place_image, placed_fingerprint
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import Dataset, Row
from model.errors import UnreadableImage
from model.files.bounded_json import parse_json

LIST = EXPORT_LIST
_KIND = "labeler export"


class ExportFolder:
    """An open export folder, made by `export_folder`.

    `listed` maps the files of earlier exports to their fingerprints. The list of an older program
    holds only names, so none of its files is replaced.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        listed: dict[str, set[str]],
        journal: TextIO,
        *,
        force: bool = False,
    ) -> None:
        self.path = path
        self.kind = kind
        self.force = force
        self._before = listed
        self._now: dict[str, str] = {}
        self._journal = journal

    @contextmanager
    def whole(self, file: Path) -> Iterator[Path]:
        """Write a file of the export atomically.

        Raises `BadInput` if a file that no export wrote is in its place.
        """
        relative = self._relative(file)
        record = _ListedFile(self._before.get(relative, set()))
        with ExportWriter(record, force=self.force).whole(file) as scratch:
            yield scratch
            self._note(relative, fingerprint(scratch))
            # Without this sync a power cut could leave the file unlisted: it would look foreign.
            os.fsync(self._journal.fileno())

    def write(self, relative: str, data: bytes) -> bool:
        """Write a small file unless it has this content already; return whether it was written."""
        file = self.path / relative
        if file.is_file() and not file.is_symlink() and file.read_bytes() == data:
            self._note(relative, fingerprint(file))
            return False
        with self.whole(file) as scratch:
            scratch.write_bytes(data)
        return True

    def place(self, image: Image, relative: str, link: str) -> tuple[bool, bool]:
        """Copy or link an image's file, as `image_files.place_image` does with the same result."""
        file = self.path / relative
        self._relative(file)
        # Listed before it is written: an unlisted copy would look foreign.
        self._note(relative, file_fingerprint(image.size_bytes, image.content_hash or ""))
        try:
            made, linked = place_image(image, file, link, force=self.force)
        except UnreadableImage:
            # It was not written; the file of an earlier export is removed by `finish`.
            self._before.setdefault(relative, set()).add(self._now.pop(relative))
            raise
        self._note(relative, placed_fingerprint(image, file))
        return made, linked

    def finish(self) -> tuple[int, int]:
        """Remove files of earlier exports that are no longer part of this one; write the list.

        Returns the number of removed files and of those that stay because they were edited.
        Temporary files of a killed export are removed, too, and not counted.
        """
        for parent in {(self.path / each).parent for each in self._now.keys() | self._before}:
            remove_scratch(parent)
        removed = stayed = 0
        for relative in sorted(self._before.keys() - self._now.keys()):
            file = self.path / relative
            if self._holds(file) and (file.is_file() or file.is_symlink()):
                ours = self.force or _ListedFile(self._before[relative]).knows(file)
                removed, stayed = removed + ours, stayed + (not ours)
                if ours:
                    self._remove(file)
        with (
            atomic_write(self.path / LIST) as scratch,
            scratch.open("w", encoding="utf-8") as listed,
        ):
            listed.write(json.dumps({_KIND: self.kind}) + "\n")
            listed.writelines(_line(*each) for each in sorted(self._now.items()))
        return removed, stayed

    def _remove(self, file: Path) -> None:
        file.unlink()
        for folder in file.parents:
            if folder == self.path or any(folder.iterdir()):
                break
            folder.rmdir()

    def _note(self, relative: str, written: str) -> None:
        if self._now.get(relative) != written:
            self._now[relative] = written
            if written not in self._before.get(relative, set()):
                self._journal.write(_line(relative, written))
                self._journal.flush()

    def _holds(self, file: Path) -> bool:
        return file.parent.resolve().is_relative_to(self.path.resolve())

    def _relative(self, file: Path) -> str:
        """Return the path of `file` in the folder; raises `BadInput` if a link leads out of it."""
        if not self._holds(file):
            raise BadInput(
                f"{file.parent} is a link that leads out of {self.path}; remove it, or choose "
                "another folder."
            )
        # A link among the parent folders would lead out of this one.
        make_folders(file.parent, self.path, 0o777)
        return file.relative_to(self.path).as_posix()


class _ListedFile:
    """The listed fingerprints of one file; the record that `ExportWriter` asks."""

    def __init__(self, fingerprints: set[str]) -> None:
        self._fingerprints = fingerprints

    def knows(self, file: Path) -> bool:
        size = file.stat(follow_symlinks=False).st_size
        return any(one.startswith(f"{size} ") for one in self._fingerprints) and (
            fingerprint(file) in self._fingerprints
        )

    def keep(self, written: str) -> None: ...


def _line(relative: str, written: str) -> str:
    return json.dumps([relative, written]) + "\n"


@contextmanager
def export_folder(path: Path, kind: str, *, force: bool = False) -> Iterator[ExportFolder]:
    """Open the folder `path`, created if needed; raises `BadInput` if it holds other files.

    Files of an earlier export are replaced or removed only if they are unchanged, or with `force`.
    """
    listed = _listed(path, kind)
    make_parent(path / LIST)
    try:
        if not _is_begun(path / LIST):
            # Written atomically: an empty list would look foreign.
            with atomic_write(path / LIST) as scratch:
                scratch.write_text(json.dumps({_KIND: kind}) + "\n", encoding="utf-8")
        with (path / LIST).open("a", encoding="utf-8") as journal:
            journal.write("\n")  # Ends a line that was cut short.
            yield ExportFolder(path, kind, listed, journal, force=force)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)  # A full disk names no file.
        raise


def place_images(
    dataset: Dataset,
    folder: ExportFolder,
    exported: Exported,
    where: Callable[[Row], str],
    progress: Progress,
) -> Iterator[tuple[Row, str]]:
    """Copy or link each image into the folder `where(row)`; yield (row, relative path).

    Unreadable images are added to `exported.left_out` and not yielded.
    """
    link, copied = dataset.plan.link, 0
    what = "copying images" if link == "copy" else "linking images"
    for done, row in enumerate(dataset.rows()):
        progress(done, len(dataset), what)
        relative = f"{where(row)}/{file_name(row.image)}"
        try:
            made, linked = folder.place(row.image, relative, link)
        except UnreadableImage as problem:
            exported.left_out.append((row.image.path, str(problem)))
            continue
        exported.contents[relative] = row.image.content_hash or ""
        exported.images += 1
        exported.made += made
        exported.there += not made
        copied += not linked
        yield row, relative
    progress(len(dataset), len(dataset), what)
    if link != "copy" and copied:
        exported.notes.append(f"{copied:,} images could not be linked there and were copied.")


def _listed(path: Path, kind: str) -> dict[str, set[str]]:
    """Return {relative path: fingerprints} of an earlier export in `path`; raises `BadInput`."""
    if path.exists() and not path.is_dir():
        raise BadInput(f"{path} is a file; name a folder for the export.")
    if (path / LIST).is_symlink():
        raise BadInput(f"{path / LIST} is a link, and an export writes there; remove it first.")
    others = [each for each in path.iterdir() if not is_scratch(each)] if path.exists() else []
    if not others or (others == [path / LIST] and not _is_begun(path / LIST)):
        return {}
    try:
        check_file(path / LIST)
        first, *lines = (path / LIST).read_text(encoding="utf-8").splitlines()
        former = parse_json(first)[_KIND]
        listed = [_read_line(line) for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            f"{path} holds other files, and an export never mixes with them; choose a new or empty "
            "folder."
        ) from None
    if former != kind:
        raise BadInput(f"{path} holds an export of the kind {former}; choose another folder.")
    fingerprints: dict[str, set[str]] = {}
    for relative, written in filter(None, listed):
        fingerprints.setdefault(relative, set()).update(written)
    return fingerprints


def _is_begun(file: Path) -> bool:
    """Return whether the list has its first line: a full disk or a power cut can lose it."""
    with suppress(OSError), open_to_read(file) as opened:
        return opened.readline(1000).endswith(b"\n")
    return False


def _read_line(line: str) -> tuple[str, list[str]] | None:
    """Return the relative path in a line of the list and its fingerprints, if any.

    None for a truncated line and for a path out of the folder.
    """
    try:
        values = parse_json(line)
    except ValueError:
        return None
    relative, *written = values if isinstance(values, list) and values else [values]
    if not isinstance(relative, str) or {"..", "/"} & set(PurePosixPath(relative).parts):
        return None
    return relative, [one for one in written if isinstance(one, str)]
