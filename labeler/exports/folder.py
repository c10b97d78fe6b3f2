"""The folder of an export: it holds what exports put there, and nothing of anybody else.

A list in it names every file before it is made. So an export that was cut short goes on where it
stopped, one that is repeated removes what is no part of it any more (an image with another score
lies in another folder), and a folder with other files in it is never touched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TextIO

from db.plain_files import check_file, make_folders, open_to_read
from labeler.errors import BadInput, UnreadableImage
from labeler.exports.image_files import file_name, place
from labeler.exports.plan import Exported
from labeler.exports.rows import Dataset, Row
from labeler.outside_links import EXPORT_LIST
from labeler.progress import Progress
from labeler.whole_files import is_scratch, make_way, remove_scratch, whole_file

LIST = EXPORT_LIST
_KIND = "labeler export"


class ExportFolder:
    """An open one; made by `export_folder`."""

    def __init__(self, path: Path, kind: str, listed: set[str], journal: TextIO) -> None:
        self.path = path
        self.kind = kind
        self._before = listed
        self._now: set[str] = set()
        self._journal = journal

    def file(self, relative: str) -> Path:
        """Where the file `relative` (with / between folders) is to be written."""
        if relative not in self._now | self._before:
            self._journal.write(json.dumps(relative) + "\n")
            self._journal.flush()
        self._now.add(relative)
        place = self.path / relative
        # A link among folders that came from elsewhere would lead out of this one.
        make_folders(place.parent, self.path, 0o777)
        return place

    def forget(self, relative: str) -> None:
        """The file was not written after all; one of an earlier export is removed at the end."""
        self._now.discard(relative)
        self._before.add(relative)

    def finish(self) -> int:
        """Remove what earlier exports have left behind; returns how many files that were.

        The scratch files of one that was killed are not counted.
        """
        for parent in {(self.path / each).parent for each in self._now | self._before}:
            remove_scratch(parent)
        removed = sum(self._remove(relative) for relative in sorted(self._before - self._now))
        with whole_file(self.path / LIST) as scratch, scratch.open("w", encoding="utf-8") as file:
            file.write(json.dumps({_KIND: self.kind}) + "\n")
            file.writelines(json.dumps(relative) + "\n" for relative in sorted(self._now))
        return removed

    def _remove(self, relative: str) -> bool:
        file = self.path / relative
        inside = file.parent.resolve().is_relative_to(self.path.resolve())
        if not inside or not (file.is_file() or file.is_symlink()):
            return False
        file.unlink()
        for folder in file.parents:
            if folder == self.path or any(folder.iterdir()):
                break
            folder.rmdir()
        return True


@contextmanager
def export_folder(path: Path, kind: str) -> Iterator[ExportFolder]:
    """The folder `path`, made if needed; raises `BadInput` if other files are in it."""
    listed = _listed(path, kind)
    make_way(path / LIST)
    try:
        if not _is_begun(path / LIST):
            # Whole from the start: an empty list would be taken for somebody else's.
            with whole_file(path / LIST) as scratch:
                scratch.write_text(json.dumps({_KIND: kind}) + "\n", encoding="utf-8")
        with (path / LIST).open("a", encoding="utf-8") as journal:
            journal.write("\n")  # Ends a line that was cut short.
            yield ExportFolder(path, kind, listed, journal)
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
            made, linked = place(row.image, folder.file(relative), link)
        except UnreadableImage as problem:
            folder.forget(relative)
            exported.left_out.append((row.image.path, str(problem)))
            continue
        exported.images += 1
        exported.made += made
        exported.there += not made
        copied += not linked
        yield row, relative
    progress(len(dataset), len(dataset), what)
    if link != "copy" and copied:
        exported.notes.append(f"{copied:,} images could not be linked there and were copied.")


def _listed(path: Path, kind: str) -> set[str]:
    """The files of an earlier export in `path`."""
    if path.exists() and not path.is_dir():
        raise BadInput(f"{path} is a file; name a folder for the export.")
    others = [each for each in path.iterdir() if not is_scratch(each)] if path.exists() else []
    if not others or (others == [path / LIST] and not _is_begun(path / LIST)):
        return set()
    try:
        check_file(path / LIST)
        first, *lines = (path / LIST).read_text(encoding="utf-8").splitlines()
        former = json.loads(first)[_KIND]
        listed = [_whole(line) for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            f"{path} holds other files, and an export never mixes with them; choose a new or empty "
            "folder."
        ) from None
    if former != kind:
        raise BadInput(f"{path} holds an export of the kind {former}; choose another folder.")
    return {one for one in listed if one is not None}


def _is_begun(file: Path) -> bool:
    """Whether the list has its first line: a full disk or a power cut can take it."""
    with suppress(OSError), open_to_read(file) as opened:
        return opened.readline(1000).endswith(b"\n")
    return False


def _whole(line: str) -> str | None:
    """The place that a line names; None for one that was cut short, or leads elsewhere."""
    try:
        place = json.loads(line)
    except ValueError:
        return None
    inside = isinstance(place, str) and not {"..", "/"} & set(PurePosixPath(place).parts)
    return place if inside else None
