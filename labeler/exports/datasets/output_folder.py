"""The folder of an export: it holds what exports put there, and nothing of anybody else.

A list in it names every file before it is made, with its size and content. So an export that was
cut short goes on where it stopped, one that is repeated removes what is no part of it any more (an
image with another score lies in another folder), a file that a person has put there or edited since
stays, and a folder with other files in it is never touched.
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
    """An open one; made by `export_folder`.

    `listed` has the files of earlier exports in it with what they were when they were written; an
    older program's list says only their names, and so lets none of them be replaced.
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
        """`atomic_write` for a file in here; raises `BadInput` where another's lies in its
        place.
        """
        relative = self._relative(file)
        record = _Listed(self._before.get(relative, set()))
        with ExportWriter(record, force=self.force).whole(file) as scratch:
            yield scratch
            self._note(relative, fingerprint(scratch))
            # As lasting as the file: after a power cut it would be taken for a person's own.
            os.fsync(self._journal.fileno())

    def write(self, relative: str, data: bytes) -> bool:
        """Write a small file, unless the very same lies there; returns whether it came now."""
        file = self.path / relative
        if file.is_file() and not file.is_symlink() and file.read_bytes() == data:
            self._note(relative, fingerprint(file))
            return False
        with self.whole(file) as scratch:
            scratch.write_bytes(data)
        return True

    def place(self, image: Image, relative: str, link: str) -> tuple[bool, bool]:
        """`image_files.place` for an image's file in here."""
        file = self.path / relative
        self._relative(file)
        # Listed before it is made: a copy that nobody notes would be taken for somebody else's.
        self._note(relative, file_fingerprint(image.size_bytes, image.content_hash or ""))
        try:
            made, linked = place_image(image, file, link, force=self.force)
        except UnreadableImage:
            # It was not written after all; one of an earlier export is removed at the end.
            self._before.setdefault(relative, set()).add(self._now.pop(relative))
            raise
        self._note(relative, placed_fingerprint(image, file))
        return made, linked

    def finish(self) -> tuple[int, int]:
        """Remove what earlier exports have left behind; returns how many files that were, and how
        many stay because they are not as an export left them.

        The scratch files of one that was killed are not counted.
        """
        for parent in {(self.path / each).parent for each in self._now.keys() | self._before}:
            remove_scratch(parent)
        removed = stayed = 0
        for relative in sorted(self._before.keys() - self._now.keys()):
            file = self.path / relative
            if self._holds(file) and (file.is_file() or file.is_symlink()):
                ours = self.force or _Listed(self._before[relative]).knows(file)
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
        """The place of `file` in here; raises `BadInput` where a link leads it out."""
        if not self._holds(file):
            raise BadInput(
                f"{file.parent} is a link that leads out of {self.path}; remove it, or choose "
                "another folder."
            )
        # A link among folders that came from elsewhere would lead out of this one.
        make_folders(file.parent, self.path, 0o777)
        return file.relative_to(self.path).as_posix()


class _Listed:
    """What the list says of one file."""

    def __init__(self, known: set[str]) -> None:
        self._known = known

    def knows(self, file: Path) -> bool:
        size = file.stat(follow_symlinks=False).st_size
        return any(one.startswith(f"{size} ") for one in self._known) and (
            fingerprint(file) in self._known
        )

    def keep(self, written: str) -> None: ...


def _line(relative: str, written: str) -> str:
    return json.dumps([relative, written]) + "\n"


@contextmanager
def export_folder(path: Path, kind: str, *, force: bool = False) -> Iterator[ExportFolder]:
    """The folder `path`, made if needed; raises `BadInput` if other files are in it.

    Of an earlier export's files only those are replaced or removed that are as it left them, or,
    by `force`, all.
    """
    listed = _listed(path, kind)
    make_parent(path / LIST)
    try:
        if not _is_begun(path / LIST):
            # Whole from the start: an empty list would be taken for somebody else's.
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
    """Copy or link each image into the folder that `where` says; each row with its file's place.

    What can't be read is in `exported.left_out` and gives no row.
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
    """The files of an earlier export in `path`, and what each was when it was written."""
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
    known: dict[str, set[str]] = {}
    for relative, written in filter(None, listed):
        known.setdefault(relative, set()).update(written)
    return known


def _is_begun(file: Path) -> bool:
    """Whether the list has its first line: a full disk or a power cut can take it."""
    with suppress(OSError), open_to_read(file) as opened:
        return opened.readline(1000).endswith(b"\n")
    return False


def _read_line(line: str) -> tuple[str, list[str]] | None:
    """The place that a line names, and what was written there if it says that; None for a line that
    was cut short, or leads elsewhere.
    """
    try:
        said = parse_json(line)
    except ValueError:
        return None
    place, *written = said if isinstance(said, list) and said else [said]
    if not isinstance(place, str) or {"..", "/"} & set(PurePosixPath(place).parts):
        return None
    return place, [one for one in written if isinstance(one, str)]
