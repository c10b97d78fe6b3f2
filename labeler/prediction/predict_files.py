"""Predictions for any files, in the project or not; nothing is imported.

An image whose content is in the project uses its stored embedding; other images are encoded.
Predictions are cached by the file's path, time and size, so an interrupted run continues.
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
    """The prediction of one file."""

    path: str  # as the user would write it
    relative: str  # to the input folder
    prediction: float  # 0–1
    file: FoundFile | None = None  # as it was when it was predicted
    content_hash: str | None = None  # of the project's image that it was predicted as

    @property
    def bracket(self) -> Bracket:
        """Return the bracket of scores that the prediction is in."""
        return bracket_of(self.prediction)


@dataclass
class PredictedImages:
    """The predictions of one run, highest first; `unreadable` are (path, reason)."""

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
    """Predict every image in `paths`: files, and folders and archives recursively.

    `version` is a name (default: the active version). `leave_out` is a folder to skip, the one that
    copies go to. With `follow_links` the targets of links out of `paths` are predicted, too.
    `encoder` is loaded if it is needed and None. A file that can't be read is in the result's
    `unreadable`. Raises `BadInput` for a missing path or an unknown version.
    """
    version_record = version_named(project, version)
    inputs = input_files(paths, leave_out, links_for(project, follow=follow_links))
    result = PredictedImages(version_record.name, unreadable=inputs.unreadable)
    run = _FilePredictor(project, version_record, inputs.files, progress, result.unreadable)
    predictions = run.predict(encoder)
    result.images = [
        PredictedImage(input_file.shown, input_file.relative, round(value, 6), input_file.file)
        for input_file, value in zip(inputs.files, predictions, strict=True)
        if value is not None
    ]
    result.images.sort(key=lambda image: (-image.prediction, image.path))
    return result


@dataclass
class _FilePredictor:
    """Predicts `files`; unreadable ones are appended to `unreadable` as (path, reason)."""

    project: Project
    version: Version
    files: Sequence[InputFile]
    progress: Progress
    unreadable: list[tuple[str, str]]

    def predict(self, encoder: Encoder | None) -> list[float | None]:
        """Return predictions (0–1) in the order of `files`, None for unreadable files.

        Each batch is cached as soon as it is predicted.
        """
        keys = [
            file_key(input_file.file.path, input_file.file.mtime_ns, input_file.file.size_bytes)
            for input_file in self.files
        ]
        made_by = f"{self.version.name} {self.version.created_at.isoformat()}"
        with open_file_predictions(self.project.runs_folder / PREDICTIONS_FILE, made_by) as kept:
            cached = kept.get(keys)
            predictions = [cached.get(key) for key in keys]
            with closing(self._predict_missing(tuple(predictions), encoder)) as parts:
                for indices, values in parts:
                    kept.put(
                        {keys[index]: value for index, value in zip(indices, values, strict=True)}
                    )
                    for index, value in zip(indices, values, strict=True):
                        predictions[index] = value
        return predictions

    def _predict_missing(
        self, predictions: Sequence[float | None], encoder: Encoder | None
    ) -> Generator[tuple[list[int], list[float]], None, None]:
        """Yield (indices, predictions) of the files whose entry in `predictions` is None.

        Files with a stored embedding come first, then those that are encoded.
        """
        waiting = [index for index, value in enumerate(predictions) if value is None]
        stored_indices: set[int] = set()
        for indices, values in self._predict_stored(waiting):
            stored_indices.update(indices)
            yield indices, values
        yield from self._predict_encoded(
            [index for index in waiting if index not in stored_indices], encoder
        )

    def _predict_stored(self, waiting: Sequence[int]) -> Iterator[tuple[list[int], list[float]]]:
        """Yield (indices, predictions) of the files whose embedding is stored."""
        record = db.images.embeddings.encoder(self.project.store, self.version.encoder)
        ids = _image_ids(self.project, self.files, waiting) if record and waiting else {}
        if record is None or not ids:
            return
        # Imported where they are used: torch takes seconds to load; pages import this module.
        from labeler.versions.inference import score_embeddings

        stored = list(ids)
        size = db.images.embeddings.rows_at_once(record.width, _STORED_BATCH)
        for start in range(0, len(stored), size):
            batch = stored[start : start + size]
            found_ids, vectors = db.images.embeddings.get(
                self.project.store, record.id, sorted({ids[index] for index in batch})
            )
            predictions = (
                score_embeddings(self.project, self.version, vectors).tolist()
                if len(found_ids)
                else []
            )
            by_id = dict(zip(found_ids.tolist(), predictions, strict=True))
            indices = [index for index in batch if ids[index] in by_id]
            yield indices, [by_id[ids[index]] for index in indices]

    def _predict_encoded(
        self, waiting: Sequence[int], encoder: Encoder | None
    ) -> Iterator[tuple[list[int], list[float]]]:
        """Yield (indices, predictions) of files after decoding and encoding them."""
        if not waiting:
            return
        from labeler.versions.inference import load_version

        total, done = len(self.files), len(self.files) - len(waiting)
        self.progress(done, total, "predicting")
        checked_encoder = _encoder_of(self.project, self.version, encoder)
        head = load_version(self.project, self.version).head

        def prepare(index: int) -> np.ndarray:
            return prepare_file(checked_encoder, self.files[index].file.path)

        with closing(encoded(checked_encoder, waiting, prepare, BATCH_SIZE)) as batches:
            for batch in batches:
                self.unreadable += [(self.files[index].shown, why) for index, why in batch.failed]
                if batch.items:
                    yield batch.items, head(batch.vectors).tolist()
                done += len(batch.items) + len(batch.failed)
                self.progress(done, total, "predicting")


def with_content_hashes(
    project: Project, predicted: Sequence[PredictedImage]
) -> list[PredictedImage]:
    """Return the predictions with the content hashes of files that are the project's images.

    A file is one if its path, time and size are those of an image's location.
    """
    locations = db.images.locations.known_locations(project.store, None) if predicted else {}

    def content(image: PredictedImage) -> str | None:
        location = locations.get(image.file.path) if image.file else None
        unchanged = (
            location
            and image.file
            and image.file.is_as_it_was(location.mtime_ns, location.size_bytes)
        )
        return location.content_hash if location and unchanged else None

    return [replace(image, content_hash=content(image)) for image in predicted]


def _image_ids(
    project: Project, files: Sequence[InputFile], waiting: Sequence[int]
) -> dict[int, int]:
    """Return {index in `files`: image id} of files whose path or content is in the project.

    Only files that have the size of one of the project's files are hashed.
    """
    locations = db.images.locations.known_locations(project.store, None)
    by_hash = {each.content_hash: each.image_id for each in locations.values() if each.content_hash}
    sizes = {UNKNOWN_SIZE, *(each.size_bytes for each in locations.values())}
    ids: dict[int, int] = {}
    for at in waiting:
        file = files[at].file
        location = locations.get(file.path)
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
        return ""  # Decoding reports why it can't be read.


def _encoder_of(project: Project, version: Version, encoder: Encoder | None) -> Encoder:
    """Return `encoder`, or load the version's; raises `StoreError` if it has changed since."""
    if encoder is None:
        encoder = load_encoder(version.encoder)
    register(project, encoder)
    return encoder
