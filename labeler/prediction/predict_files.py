"""Predictions for any files, in the project or not; nothing is imported.

An image whose content the project knows uses its stored embedding; the rest is encoded on the way.
What was predicted is kept by the file's place, time and size: interrupted work goes on from there.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import db.images.embeddings
import db.images.locations
import db.versions.predictions
from db.records import Version
from db.versions.file_predictions import file_key, open_file_predictions
from labeler.collection.discovery import FoundFile
from labeler.collection.outside_links import PREDICTIONS_FILE, links_for
from labeler.core.archives.opening import open_regular
from labeler.core.archives.protocol import UNKNOWN_SIZE
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.core.scale import Bracket, bracket_of
from labeler.embedding.embed import BATCH_SIZE, prepare_file, register
from labeler.embedding.pipeline import encoded
from labeler.prediction.inputs import InputFile, input_files
from labeler.versions.activate import _STORED_BATCH, version_named
from model.encoders.load import load_encoder
from model.errors import UnreadableImage
from model.images.hashing import content_hash

if TYPE_CHECKING:
    from model.encoders.encoder import Encoder


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """`path` as the person would write it; `relative` to the folder that was given; 0–1.

    `file` is what was predicted: the file as it was then, and the content that the project knows at
    its place, if it was taken for that.
    """

    path: str
    relative: str
    prediction: float
    file: FoundFile | None = None
    content_hash: str | None = None

    @property
    def bracket(self) -> Bracket:
        return bracket_of(self.prediction)


@dataclass
class PredictedImages:
    """Highest prediction first; `unreadable` are (path, reason)."""

    version: str
    images: list[PredictedImage] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def predict_paths(
    project: Project,
    paths: Sequence[Path],
    *,
    version: str | None = None,
    leave_out: Path | None = None,
    follow_links: bool = False,
    encoder: Encoder | None = None,
    progress: Progress = silent,
) -> PredictedImages:
    """What a version says of every image in `paths`: files, folders and archives to the bottom.

    It is the active version unless another is named. `leave_out` is a folder not to look into
    (where copies go). With `follow_links` what links lead to elsewhere is predicted, too.
    `encoder` is loaded if it is needed and not given. A file that can't be read is in the result's
    `unreadable`. Raises `BadInput` for a path that isn't there and where there is no such version.
    """
    chosen = version_named(project, version)
    wanted = input_files(paths, leave_out, links_for(project, follow=follow_links))
    result = PredictedImages(chosen.name, unreadable=wanted.unreadable)
    run = _Run(project, chosen, wanted.files, progress, result.unreadable)
    made = run.predictions(encoder)
    result.images = [
        PredictedImage(one.shown, one.relative, round(value, 6), one.file)
        for one, value in zip(wanted.files, made, strict=True)
        if value is not None
    ]
    result.images.sort(key=lambda image: (-image.prediction, image.path))
    return result


@dataclass
class _Run:
    """Predictions for files by their places in `files`; what can't be read goes to `unreadable`."""

    project: Project
    version: Version
    files: Sequence[InputFile]
    progress: Progress
    unreadable: list[tuple[str, str]]

    def predictions(self, encoder: Encoder | None) -> list[float | None]:
        """In the order of `files`, None for what can't be read; each kept as soon as it is made."""
        keys = [
            file_key(one.file.path, one.file.mtime_ns, one.file.size_bytes) for one in self.files
        ]
        made_by = f"{self.version.name} {self.version.created_at.isoformat()}"
        with open_file_predictions(self.project.runs_folder / PREDICTIONS_FILE, made_by) as kept:
            known = kept.get(keys)
            made = [known.get(key) for key in keys]
            with closing(self._missing(tuple(made), encoder)) as parts:
                for places, values in parts:
                    kept.put({keys[at]: value for at, value in zip(places, values, strict=True)})
                    for at, value in zip(places, values, strict=True):
                        made[at] = value
        return made

    def _missing(
        self, made: Sequence[float | None], encoder: Encoder | None
    ) -> Generator[tuple[list[int], list[float]], None, None]:
        """Places without a prediction, and theirs: from stored embeddings, else by encoding."""
        waiting = [at for at, value in enumerate(made) if value is None]
        found: set[int] = set()
        for places, values in self._from_store(waiting):
            found.update(places)
            yield places, values
        yield from self._encoded([at for at in waiting if at not in found], encoder)

    def _from_store(self, waiting: Sequence[int]) -> Iterator[tuple[list[int], list[float]]]:
        record = db.images.embeddings.encoder(self.project.store, self.version.encoder)
        ids = _known_images(self.project, self.files, waiting) if record and waiting else {}
        if record is None or not ids:
            return
        # Imported where they are used: torch takes seconds to load; pages import this module.
        from labeler.versions.inference import score_embeddings

        known = list(ids)
        size = db.images.embeddings.rows_at_once(record.width, _STORED_BATCH)
        for start in range(0, len(known), size):
            part = known[start : start + size]
            found, vectors = db.images.embeddings.get(
                self.project.store, record.id, sorted({ids[at] for at in part})
            )
            said = (
                score_embeddings(self.project, self.version, vectors).tolist() if len(found) else []
            )
            by_id = dict(zip(found.tolist(), said, strict=True))
            places = [at for at in part if ids[at] in by_id]
            yield places, [by_id[ids[at]] for at in places]

    def _encoded(
        self, waiting: Sequence[int], encoder: Encoder | None
    ) -> Iterator[tuple[list[int], list[float]]]:
        """Of files that must be decoded and encoded first."""
        if not waiting:
            return
        from labeler.versions.inference import load_version

        total, done = len(self.files), len(self.files) - len(waiting)
        self.progress(done, total, "predicting")
        fitting = _fitting(self.project, self.version, encoder)
        head = load_version(self.project, self.version).head

        def prepare(at: int) -> np.ndarray:
            return prepare_file(fitting, self.files[at].file.path)

        with closing(encoded(fitting, waiting, prepare, BATCH_SIZE)) as batches:
            for batch in batches:
                self.unreadable += [(self.files[at].shown, why) for at, why in batch.failed]
                if batch.items:
                    yield batch.items, head(batch.vectors).tolist()
                done += len(batch.items) + len(batch.failed)
                self.progress(done, total, "predicting")


def with_contents(project: Project, predicted: Sequence[PredictedImage]) -> list[PredictedImage]:
    """The same with the content of those that were taken, by place, time and size, for what the
    project knows: their prediction is of that content.
    """
    known = db.images.locations.known_locations(project.store, None) if predicted else {}

    def content(one: PredictedImage) -> str | None:
        at = known.get(one.file.path) if one.file else None
        taken = at and one.file and one.file.is_as_it_was(at.mtime_ns, at.size_bytes)
        return at.content_hash if at and taken else None

    return [replace(one, content_hash=content(one)) for one in predicted]


def _known_images(
    project: Project, files: Sequence[InputFile], waiting: Sequence[int]
) -> dict[int, int]:
    """Place in `files` → id, where the project knows the file or another with the same content.

    Only files of a size that the project has seen are read for this.
    """
    known = db.images.locations.known_locations(project.store, None)
    by_hash = {one.content_hash: one.image_id for one in known.values() if one.content_hash}
    sizes = {UNKNOWN_SIZE, *(one.size_bytes for one in known.values())}
    ids: dict[int, int] = {}
    for at in waiting:
        file = files[at].file
        location = known.get(file.path)
        if location and file.is_as_it_was(location.mtime_ns, location.size_bytes):
            ids[at] = location.image_id
        elif file.size_bytes in sizes and (content := _hash(file)) in by_hash:
            ids[at] = by_hash[content]
    return ids


def _hash(file: FoundFile) -> str:
    try:
        with open_regular(Path(file.path)) as opened:
            return content_hash(opened)
    except (UnreadableImage, OSError):
        return ""  # Why it can't be read is said when it is decoded.


def _fitting(project: Project, version: Version, encoder: Encoder | None) -> Encoder:
    """The encoder that the version reads; raises `StoreError` if it has changed since."""
    if encoder is None:
        encoder = load_encoder(version.encoder)
    register(project, encoder)
    return encoder
