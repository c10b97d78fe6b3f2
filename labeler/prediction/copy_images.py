"""Copies of chosen images in another folder: copied or linked, never over something else.

Doing it again makes only what is missing. Nothing is written into the folders that the images were
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
    """Where copies go and how: `link` is one of `image_copies.LINKS`, `sidecar` json, txt or None.

    Each lies at its path relative to the folder that was given, `flat` ones all in one folder.
    """

    folder: Path
    link: str = "copy"
    flat: bool = False
    sidecar: str | None = None

    def place_of(self, image: PredictedImage) -> Path:
        relative = Path(image.relative)
        if relative.is_absolute() or ".." in relative.parts:
            raise BadInput(f"{image.path} would be copied out of {self.folder}; rename it.")
        return self.folder / (relative.name if self.flat else relative)


@dataclass
class CopyResult:
    """`made` now, `there` already; `renamed` (from, to) where another file had the name.

    `unlinked` of those made were copied although links were asked for; `lost` are (path, reason) of
    images that could not be read any more, `without_sidecar` copies beside which another's file has
    the name, or it is too long. `texts` came along now; `other_texts` are names beside copies that
    hold something else than the original's text.
    """

    made: int = 0
    there: int = 0
    unlinked: int = 0
    renamed: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    without_sidecar: list[str] = field(default_factory=list)
    texts: int = 0
    other_texts: list[str] = field(default_factory=list)


def copy_images(
    chosen: Sequence[PredictedImage],
    destination: Destination,
    version: str,
    *,
    sources: Iterable[Path] = (),
    progress: Progress = silent,
) -> CopyResult:
    """Copy or link the images, with what `version` said of them beside them if that is wanted.

    The texts beside an image (captions, tags) come along under the copy's name. A name that
    another file has stays its own: the copy gets -2, -3 … after its name. A link that can't be made
    (another disk, a picture in an archive) becomes a copy. `sources` are the paths that the images
    were found in. Raises `BadInput` before anything is written if a copy would come to lie in one
    of them, `OSError` where the folder can't be written.
    """
    _check_apart(chosen, destination, sources)
    copies = CopyResult()
    roots = [Path(source) for source in sources if Path(source).is_dir()]
    # By their places: what is packed in one archive is read forwards.
    for done, image in enumerate(sorted(chosen, key=lambda one: one.path)):
        progress(done, len(chosen), "copying")
        target = destination.place_of(image)
        texts = texts_beside(image.path, _root_of(image.path, roots))
        try:
            place = _put(image, target, destination.link, texts, copies)
        except UnreadableImage as error:
            copies.lost.append((image.path, str(error)))
            continue
        _put_texts(image.path, place, destination.link, texts, copies)
        if place != target:
            copies.renamed.append((image.path, str(place)))
        if destination.sidecar and not _sidecar(place, destination.sidecar, image, version):
            copies.without_sidecar.append(str(place))
    for folder in {destination.place_of(image).parent for image in chosen}:
        remove_scratch(folder)
    progress(len(chosen), len(chosen), "copying")
    return copies


def _sidecar(place: Path, kind: str, image: PredictedImage, version: str) -> Path | None:
    return write_sidecar(
        place,
        kind,
        path=os.path.abspath(image.path),  # noqa: PTH100
        prediction=image.prediction,
        version=version,
        bracket=image.bracket,
    )


def check_folder(folder: Path, sources: Iterable[Path]) -> None:
    """Raise `BadInput` if copies in `folder` would lie among the images themselves.

    A folder of its own within one of the sources is none of them: it is not looked into.
    """
    real = Path(os.path.realpath(folder))
    for source in sources:
        if source.is_dir() and real == Path(os.path.realpath(source)):
            raise BadInput(
                f"{folder} is where the images are; copy them to another folder, such as "
                f"{folder / 'chosen'}."
            )


def check_own(folder: Path, project: Path) -> None:
    """Raise `BadInput` if copies in `folder` would lie among what a project itself keeps."""
    real, home = Path(os.path.realpath(folder)), Path(os.path.realpath(project))
    if real == home or any(real.is_relative_to(home / name) for name in OWN_FOLDERS):
        raise BadInput(f"{folder} is a folder of the project's own; copy to another folder.")


def check_unmixed(
    predicted: Sequence[PredictedImage], destination: Destination, sources: Iterable[Path]
) -> None:
    """Raise `BadInput` if the folder lies within one of the sources and holds pictures of theirs.

    One that is empty or new is meant for copies, and so is one that has any: a picture at the place
    of one that was `predicted`, of its size.
    """
    folder = destination.folder
    real = Path(os.path.realpath(folder))
    roots = (Path(os.path.realpath(source)) for source in sources)
    if not real.is_dir() or not any(real.is_relative_to(root) for root in roots):
        return
    held = find_images(folder).files
    if held and not any(_is_copy(each, destination) for each in predicted):
        raise BadInput(
            f"{folder} holds pictures that are among the images themselves, such as "
            f"{held[0].path}; copy to a new folder, such as {folder / 'chosen'}."
        )


def _is_copy(image: PredictedImage, destination: Destination) -> bool:
    try:
        held = destination.place_of(image).stat().st_size
    except OSError:
        return False
    return image.file is None or image.file.size_bytes in (UNKNOWN_SIZE, held)


def _check_apart(
    chosen: Sequence[PredictedImage], destination: Destination, sources: Iterable[Path]
) -> None:
    sources = list(sources)
    check_folder(destination.folder, sources)
    own = Path(os.path.realpath(destination.folder))
    roots = [Path(os.path.realpath(source)) for source in sources if source.is_dir()]

    @cache
    def real(parent: Path) -> Path:
        return Path(os.path.realpath(parent))

    @cache
    def among_sources(parent: Path) -> bool:
        # In a folder of its own within a source copies are meant to be.
        return any(
            real(parent).is_relative_to(root)
            and not (own.is_relative_to(root) and real(parent).is_relative_to(own))
            for root in roots
        )

    for image in chosen:
        target, source = destination.place_of(image), Path(image.path)
        itself = target.name == source.name and real(target.parent) == real(source.parent)
        if itself or among_sources(target.parent):
            raise BadInput(
                f"The copy of {image.path} would lie among the images themselves, at {target}; "
                "copy to a folder apart from them."
            )


def _root_of(image: str, roots: Sequence[Path]) -> Path:
    """The folder of `roots` that the image was found in, else its own."""
    real = Path(os.path.realpath(image))
    return next((one for one in roots if real.is_relative_to(os.path.realpath(one))), real.parent)


def _put(
    image: PredictedImage, target: Path, link: str, texts: Sequence[str], copies: CopyResult
) -> Path:
    """Have the image at `target` or beside it; returns where it is.

    A name is taken also where a text would come to lie on another image's. Raises `UnreadableImage`
    where the file is not what was predicted any more.
    """
    source = Path(image.path)
    archive = through(source)
    inside = archive is not None
    real = source if inside else Path(os.path.realpath(source))
    with open_regular(source) as original:
        _check_unchanged(image, Path(archive[0]) if archive else real)
        if image.content_hash is not None:
            check_known(original, image.content_hash)
        number, place = 1, target
        while _is_taken(place, str(source), texts):
            if _serves(place, original, None if inside else real):
                copies.there += 1
                return place
            number += 1
            place = target.with_name(_numbered(target, number))
        if link == "copy" or inside or not linked(real, place, link):
            _copy(original, place, None if inside else real)
            copies.unlinked += link != "copy"
    copies.made += 1
    return place


def _is_taken(place: Path, source: str, texts: Sequence[str]) -> bool:
    if os.path.lexists(place):
        return True
    return any(
        os.path.lexists(beside := _text_place(source, place, text)) and not _is_text(beside, text)
        for text in texts
    )


def _text_place(image: str, place: Path, text: str) -> Path:
    """Where the text beside the image comes to lie beside its copy."""
    original, name = PurePath(image), PurePath(text).name
    if name.startswith(f"{original.name}."):
        return place.with_name(place.name + name.removeprefix(original.name))
    return place.with_name(place.stem + name.removeprefix(original.stem))


def _is_text(place: Path, text: str) -> bool:
    try:
        with _opened_text(text) as original:
            return _serves(place, original, None)
    except (OSError, UnreadableImage):
        return False


def _opened_text(text: str) -> BinaryIO:
    """A text, also an empty one; raises `OSError`, and `UnreadableImage` for one that can't be read
    in its archive or is far too large for a text.
    """
    if inside := through(text):
        return io.BytesIO(read_member(*inside))
    try:
        return open_plain(text, limit=_LARGEST_TEXT)
    except TooLarge as error:
        raise UnreadableImage(f"It can't be a text, for {error.strerror}; leave it out.") from error


def _put_texts(
    image: str, place: Path, link: str, texts: Sequence[str], copies: CopyResult
) -> None:
    """Have the texts beside the copy; what lies there already stays, whatever it says by now."""
    for text in texts:
        beside = _text_place(image, place, text)
        if os.path.lexists(beside):
            if not _is_text(beside, text):
                copies.other_texts.append(str(beside))
            continue
        if len(os.fsencode(beside.name)) > _LONGEST_NAME:
            copies.lost.append((text, "The name of its copy would be too long."))
            continue
        real = None if through(text) else Path(os.path.realpath(text))
        if link == "copy" or real is None or not linked(real, beside, link):
            try:
                with _opened_text(text) as original:
                    _copy(original, beside, real)
            except UnreadableImage as error:
                copies.lost.append((text, str(error)))
                continue
        copies.texts += 1


def _check_unchanged(image: PredictedImage, holder: Path) -> None:
    """`holder` is the image's file, or the archive that it is in."""
    if image.file is None:
        return
    found = holder.stat()
    # Of what is packed only the archive's time is known for sure.
    size = UNKNOWN_SIZE if str(holder) != image.file.path else found.st_size
    if not (
        image.file.mtime_ns == found.st_mtime_ns and size in (UNKNOWN_SIZE, image.file.size_bytes)
    ):
        raise UnreadableImage(_CHANGED)


def _numbered(target: Path, number: int) -> str:
    """The name with `-number` before its ending, its stem cut to what a name may have."""
    ending = f"-{number}{target.suffix}"
    stem = target.stem
    while stem and len(os.fsencode(stem + ending)) > _LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending


def _serves(place: Path, original: BinaryIO, real: Path | None) -> bool:
    """Whether what lies at `place` is the image already, or a link to it."""
    if not place.is_file():
        return False
    if real is not None and place.samefile(real):
        return True
    original.seek(0, os.SEEK_END)
    if place.stat().st_size != original.tell():
        return False
    original.seek(0)
    with place.open("rb") as other:
        return all(other.read(len(block)) == block for block in blocks(original))


def _copy(original: BinaryIO, place: Path, real: Path | None) -> None:
    original.seek(0)
    with atomic_write(place) as scratch:
        with scratch.open("wb") as written:
            written.writelines(blocks(original))
        if real is not None:
            keep_times(real, scratch)
