"""Copies of chosen images in another folder: copied or linked, never over an existing file.

A second run makes only the missing copies. Nothing is written into the folders that the images were
found in.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import BinaryIO

from labeler.collection.discovery import find_images, texts_beside
from labeler.core.archives.archives import read_member, through
from labeler.core.archives.opening import open_regular
from labeler.core.archives.protocol import UNKNOWN_SIZE
from labeler.core.errors import BadInput
from labeler.core.files.atomic import atomic_write, remove_scratch
from labeler.core.files.links import blocks, keep_times, linked
from labeler.core.images.originals import check_known
from labeler.core.progress import Progress, silent
from labeler.core.project import OWN_FOLDERS
from labeler.prediction.predict_files import PredictedImage
from labeler.prediction.sidecars import write_sidecar
from model.errors import UnreadableImage
from model.files.bounded import TooLarge, open_plain

_CHANGED = "The file has changed since it was predicted; run the same command again."
_LONGEST_NAME = 255  # bytes, on the usual file systems
_LARGEST_TEXT = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Destination:
    """Where copies go and how: `link` is one of `links.LINKS`, `sidecar` is json, txt or None.

    A copy has its path relative to the input folder; with `flat` all copies are in one folder.
    """

    folder: Path
    link: str = "copy"
    flat: bool = False
    sidecar: str | None = None

    def target_of(self, image: PredictedImage) -> Path:
        """Return the path of the image's copy; raises `BadInput` if it is outside the folder."""
        relative = Path(image.relative)
        if relative.is_absolute() or ".." in relative.parts:
            raise BadInput(f"{image.path} would be copied out of {self.folder}; rename it.")
        return self.folder / (relative.name if self.flat else relative)


@dataclass
class CopyResult:
    """The numbers of copies by outcome, and the paths of the exceptions."""

    made: int = 0  # copies written by this run
    there: int = 0  # copies that existed already
    unlinked: int = 0  # of `made`: copied although links were requested
    renamed: list[tuple[str, str]] = field(default_factory=list)  # (from, to): the name was in use
    lost: list[tuple[str, str]] = field(default_factory=list)  # (path, reason): no longer readable
    # Copies whose sidecar's name belongs to another file or is too long.
    without_sidecar: list[str] = field(default_factory=list)
    texts: int = 0  # text files written by this run
    other_texts: list[str] = field(default_factory=list)  # existing texts with another content


def copy_images(
    chosen: Sequence[PredictedImage],
    destination: Destination,
    version: str,
    *,
    sources: Iterable[Path] = (),
    progress: Progress = silent,
) -> CopyResult:
    """Copy or link the images, each with a sidecar of `version`'s prediction if requested.

    Text files beside an image (captions, tags) are copied under the copy's name. Existing files
    are not replaced: the copy gets -2, -3 … after its name. A link that can't be made (another
    disk, an image in an archive) becomes a copy. `sources` are the paths that the images were found
    in. Raises `BadInput` before anything is written if a copy would be in one of them, `OSError`
    where the folder can't be written.
    """
    _check_separate(chosen, destination, sources)
    copies = CopyResult()
    roots = [Path(source) for source in sources if Path(source).is_dir()]
    # Sorted by path, so that an archive is read in one forward pass.
    for done, image in enumerate(sorted(chosen, key=lambda one: one.path)):
        progress(done, len(chosen), "copying")
        target = destination.target_of(image)
        texts = texts_beside(image.path, _root_of(image.path, roots))
        try:
            copy_path = _copy_image(image, target, destination.link, texts, copies)
        except UnreadableImage as error:
            copies.lost.append((image.path, str(error)))
            continue
        _copy_texts(image.path, copy_path, destination.link, texts, copies)
        if copy_path != target:
            copies.renamed.append((image.path, str(copy_path)))
        if destination.sidecar and not _write_sidecar(
            copy_path, destination.sidecar, image, version
        ):
            copies.without_sidecar.append(str(copy_path))
    for folder in {destination.target_of(image).parent for image in chosen}:
        remove_scratch(folder)
    progress(len(chosen), len(chosen), "copying")
    return copies


def _write_sidecar(copy_path: Path, kind: str, image: PredictedImage, version: str) -> Path | None:
    return write_sidecar(
        copy_path,
        kind,
        path=os.path.abspath(image.path),  # noqa: PTH100
        prediction=image.prediction,
        version=version,
        bracket=image.bracket,
    )


def check_not_a_source(folder: Path, sources: Iterable[Path]) -> None:
    """Check that `folder` is none of `sources`; raises `BadInput`.

    A separate folder within a source is allowed: prediction leaves it out.
    """
    real = Path(os.path.realpath(folder))
    for source in sources:
        if source.is_dir() and real == Path(os.path.realpath(source)):
            raise BadInput(
                f"{folder} is where the images are; copy them to another folder, such as "
                f"{folder / 'chosen'}."
            )


def check_outside_project(folder: Path, project: Path) -> None:
    """Check that `folder` is none of the folders that a project manages; raises `BadInput`."""
    real, home = Path(os.path.realpath(folder)), Path(os.path.realpath(project))
    if real == home or any(real.is_relative_to(home / name) for name in OWN_FOLDERS):
        raise BadInput(f"{folder} is a folder of the project's own; copy to another folder.")


def check_holds_no_originals(
    predicted: Sequence[PredictedImage], destination: Destination, sources: Iterable[Path]
) -> None:
    """Check that the destination, if it is within a source, holds no original images.

    A new or empty folder passes, and so does one that holds at least one copy: an image at the
    target path of one of `predicted`, with its size. Raises `BadInput` otherwise.
    """
    folder = destination.folder
    real = Path(os.path.realpath(folder))
    roots = (Path(os.path.realpath(source)) for source in sources)
    if not real.is_dir() or not any(real.is_relative_to(root) for root in roots):
        return
    files = find_images(folder).files
    if files and not any(_is_copy(each, destination) for each in predicted):
        raise BadInput(
            f"{folder} holds pictures that are among the images themselves, such as "
            f"{files[0].path}; copy to a new folder, such as {folder / 'chosen'}."
        )


def _is_copy(image: PredictedImage, destination: Destination) -> bool:
    try:
        size = destination.target_of(image).stat().st_size
    except OSError:
        return False
    return image.file is None or image.file.size_bytes in (UNKNOWN_SIZE, size)


def _check_separate(
    chosen: Sequence[PredictedImage], destination: Destination, sources: Iterable[Path]
) -> None:
    """Check that no copy would be among the originals; raises `BadInput`."""
    sources = list(sources)
    check_not_a_source(destination.folder, sources)
    destination_folder = Path(os.path.realpath(destination.folder))
    roots = [Path(os.path.realpath(source)) for source in sources if source.is_dir()]

    @cache
    def real(parent: Path) -> Path:
        return Path(os.path.realpath(parent))

    @cache
    def among_sources(parent: Path) -> bool:
        # A separate folder within a source may hold copies.
        return any(
            real(parent).is_relative_to(root)
            and not (
                destination_folder.is_relative_to(root)
                and real(parent).is_relative_to(destination_folder)
            )
            for root in roots
        )

    for image in chosen:
        target, source = destination.target_of(image), Path(image.path)
        is_original = target.name == source.name and real(target.parent) == real(source.parent)
        if is_original or among_sources(target.parent):
            raise BadInput(
                f"The copy of {image.path} would lie among the images themselves, at {target}; "
                "copy to a folder apart from them."
            )


def _root_of(image: str, roots: Sequence[Path]) -> Path:
    """Return the folder of `roots` that the image is in, else the image's own folder."""
    real = Path(os.path.realpath(image))
    return next(
        (root for root in roots if real.is_relative_to(os.path.realpath(root))), real.parent
    )


def _copy_image(
    image: PredictedImage, target: Path, link: str, texts: Sequence[str], copies: CopyResult
) -> Path:
    """Copy the image to `target`, or under a numbered name if that is occupied; return the path.

    A name is occupied also if a text of the image would replace another image's text. Raises
    `UnreadableImage` if the file has changed since it was predicted.
    """
    source = Path(image.path)
    archive = through(source)
    in_archive = archive is not None
    real_path = source if in_archive else Path(os.path.realpath(source))
    with open_regular(source) as original:
        _check_unchanged(image, Path(archive[0]) if archive else real_path)
        if image.content_hash is not None:
            check_known(original, image.content_hash)
        number, copy_path = 1, target
        while _is_occupied(copy_path, str(source), texts):
            if _has_content(copy_path, original, None if in_archive else real_path):
                copies.there += 1
                return copy_path
            number += 1
            copy_path = target.with_name(_with_number(target, number))
        if link == "copy" or in_archive or not linked(real_path, copy_path, link):
            _write_copy(original, copy_path, None if in_archive else real_path)
            copies.unlinked += link != "copy"
    copies.made += 1
    return copy_path


def _is_occupied(path: Path, source: str, texts: Sequence[str]) -> bool:
    if os.path.lexists(path):
        return True
    return any(
        os.path.lexists(text_target := _text_target(source, path, text))
        and not _holds_text(text_target, text)
        for text in texts
    )


def _text_target(image: str, copy_path: Path, text: str) -> Path:
    """Return the path, beside the copy, for a text file beside the image."""
    original, name = PurePath(image), PurePath(text).name
    if name.startswith(f"{original.name}."):
        return copy_path.with_name(copy_path.name + name.removeprefix(original.name))
    return copy_path.with_name(copy_path.stem + name.removeprefix(original.stem))


def _holds_text(path: Path, text: str) -> bool:
    try:
        with _open_text(text) as original:
            return _has_content(path, original, None)
    except (OSError, UnreadableImage):
        return False


def _open_text(text: str) -> BinaryIO:
    """Open a text file, which may be empty.

    Raises `OSError`, and `UnreadableImage` for one that can't be read in its archive or is larger
    than `_LARGEST_TEXT`.
    """
    if inside := through(text):
        return io.BytesIO(read_member(*inside))
    try:
        return open_plain(text, limit=_LARGEST_TEXT)
    except TooLarge as error:
        raise UnreadableImage(f"It can't be a text, for {error.strerror}; leave it out.") from error


def _copy_texts(
    image: str, copy_path: Path, link: str, texts: Sequence[str], copies: CopyResult
) -> None:
    """Copy the image's texts to beside its copy; existing files stay, whatever they contain."""
    for text in texts:
        target = _text_target(image, copy_path, text)
        if os.path.lexists(target):
            if not _holds_text(target, text):
                copies.other_texts.append(str(target))
            continue
        if len(os.fsencode(target.name)) > _LONGEST_NAME:
            copies.lost.append((text, "The name of its copy would be too long."))
            continue
        real_path = None if through(text) else Path(os.path.realpath(text))
        if link == "copy" or real_path is None or not linked(real_path, target, link):
            try:
                with _open_text(text) as original:
                    _write_copy(original, target, real_path)
            except UnreadableImage as error:
                copies.lost.append((text, str(error)))
                continue
        copies.texts += 1


def _check_unchanged(image: PredictedImage, container: Path) -> None:
    """Check that `container`, the image's file or its archive, is as it was when predicted.

    Raises `UnreadableImage` if its time or size differ.
    """
    if image.file is None:
        return
    status = container.stat()
    # For a member of an archive only the archive's time can be compared.
    size = UNKNOWN_SIZE if str(container) != image.file.path else status.st_size
    if not (
        image.file.mtime_ns == status.st_mtime_ns and size in (UNKNOWN_SIZE, image.file.size_bytes)
    ):
        raise UnreadableImage(_CHANGED)


def _with_number(target: Path, number: int) -> str:
    """Return the name with `-number` before its suffix, the stem cut to the longest name."""
    ending = f"-{number}{target.suffix}"
    stem = target.stem
    while stem and len(os.fsencode(stem + ending)) > _LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending


def _has_content(path: Path, original: BinaryIO, real_path: Path | None) -> bool:
    """Return whether the file at `path` has the content of `original` or links to `real_path`."""
    if not path.is_file():
        return False
    if real_path is not None and path.samefile(real_path):
        return True
    original.seek(0, os.SEEK_END)
    if path.stat().st_size != original.tell():
        return False
    original.seek(0)
    with path.open("rb") as other:
        return all(other.read(len(block)) == block for block in blocks(original))


def _write_copy(original: BinaryIO, target: Path, real_path: Path | None) -> None:
    original.seek(0)
    with atomic_write(target) as scratch:
        with scratch.open("wb") as written:
            written.writelines(blocks(original))
        if real_path is not None:
            keep_times(real_path, scratch)
