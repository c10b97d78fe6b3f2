"""Predictions for any files, in the project or not; nothing is imported and nothing is kept.

An image whose content the project knows uses its stored embedding; the rest is encoded on the way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from db import embeddings, images, versions
from db.records import Version
from labeler.embedding import prepare_file, register
from labeler.errors import BadInput, UnreadableImage
from labeler.finding import FoundFile, find_images, readable_name
from labeler.fingerprints import content_hash
from labeler.pictures import open_regular
from labeler.progress import Progress, silent
from labeler.project import Project

if TYPE_CHECKING:
    from model.encoders import Encoder

BATCH = 64
_STORED_BATCH = 8192


@dataclass(frozen=True)
class PredictedImage:
    """`path` as the person would write it; `relative` to the folder that was given; 0–1."""

    path: str
    relative: str
    prediction: float


@dataclass
class PredictedImages:
    """Highest prediction first; `unreadable` are (path, reason)."""

    version: str
    images: list[PredictedImage] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    file: FoundFile
    shown: str
    relative: str


def predict_paths(
    project: Project,
    paths: Sequence[Path],
    *,
    leave_out: Path | None = None,
    encoder: Encoder | None = None,
    progress: Progress = silent,
) -> PredictedImages:
    """What the active version says of every image in `paths`: files, and folders recursively.

    `leave_out` is a folder not to look into (where copies go). `encoder` is loaded if it is needed
    and not given. A file that can't be read is in the result's `unreadable`.
    Raises `BadInput` for a path that isn't there and where there is no version yet.
    """
    version = versions.active(project.store)
    if version is None:
        raise BadInput(f"{project.folder} has no version yet; make one with: labeler train")
    result = PredictedImages(version.name)
    candidates = _candidates(paths, leave_out, result)
    scored = _from_store(project, version, candidates)
    rest = [candidate for candidate in candidates if candidate.shown not in scored]
    scored |= _encoded(project, version, rest, result=result, encoder=encoder, progress=progress)
    for candidate in candidates:
        if candidate.shown in scored:
            value = round(float(scored[candidate.shown]), 6)
            result.images.append(PredictedImage(candidate.shown, candidate.relative, value))
    result.images.sort(key=lambda image: (-image.prediction, image.path))
    return result


def _candidates(
    paths: Sequence[Path], leave_out: Path | None, result: PredictedImages
) -> list[_Candidate]:
    """Every image file once, under the first of `paths` that holds it."""
    folders = [path for path in paths if path.is_dir()]
    skipped = Path(os.path.realpath(leave_out)) if leave_out else None
    candidates: dict[str, _Candidate] = {}
    for path in paths:
        root = Path(os.path.realpath(path))
        if not root.exists():
            raise BadInput(f"{readable_name(path)} is not there; check the path.")
        found = find_images(path)
        result.unreadable += found.closed
        for file in found.files:
            if skipped and Path(file.path).is_relative_to(skipped):
                continue
            candidates.setdefault(file.path, _candidate(path, root, file, many=len(folders) > 1))
    result.unreadable += [(c.shown, c.file.problem) for c in candidates.values() if c.file.problem]
    return [candidate for candidate in candidates.values() if not candidate.file.problem]


def _candidate(given: Path, root: Path, file: FoundFile, *, many: bool) -> _Candidate:
    """`many`: several folders are given, so the copies are kept apart by the folders' names."""
    if not root.is_dir():
        return _Candidate(file, str(given), given.name)
    inside = Path(file.path).relative_to(root)
    return _Candidate(file, str(given / inside), str(root.name / inside if many else inside))


def _known_images(project: Project, candidates: Sequence[_Candidate]) -> dict[str, int]:
    """Path as shown → id, where the project knows the file or another with the same content.

    Only files of a size that the project has seen are read for this.
    """
    known = images.known_locations(project.store, None)
    by_hash = {one.content_hash: one.image_id for one in known.values() if one.content_hash}
    sizes = {one.size_bytes for one in known.values()}
    ids: dict[str, int] = {}
    for candidate in candidates:
        file = candidate.file
        location = known.get(file.path)
        if location and (location.mtime_ns, location.size_bytes) == (
            file.mtime_ns,
            file.size_bytes,
        ):
            ids[candidate.shown] = location.image_id
        elif file.size_bytes in sizes and (content := _hash(file)) in by_hash:
            ids[candidate.shown] = by_hash[content]
    return ids


def _hash(file: FoundFile) -> str:
    try:
        with open_regular(Path(file.path)) as opened:
            return content_hash(opened)
    except (UnreadableImage, OSError):
        return ""  # Why it can't be read is said when it is decoded.


def _from_store(
    project: Project, version: Version, candidates: Sequence[_Candidate]
) -> dict[str, float]:
    """Predictions (path as shown → 0–1) of those that have a stored embedding."""
    record = embeddings.encoder(project.store, version.encoder)
    ids = _known_images(project, candidates) if record else {}
    if record is None or not ids:
        return {}
    wanted = sorted(set(ids.values()))
    by_id: dict[int, float] = {}
    for start in range(0, len(wanted), _STORED_BATCH):
        part = wanted[start : start + _STORED_BATCH]
        found, vectors = embeddings.get(project.store, record.id, part)
        if len(found):
            scores = _score(project, version, vectors)
            by_id |= zip((int(image_id) for image_id in found), scores.tolist(), strict=True)
    return {shown: by_id[image_id] for shown, image_id in ids.items() if image_id in by_id}


def _score(project: Project, version: Version, vectors: np.ndarray) -> np.ndarray:
    """Embeddings (n, width) → predictions (n,) 0–1; imports torch."""
    from labeler.predictors import score_embeddings

    return score_embeddings(project, version, vectors)


def _encoded(
    project: Project,
    version: Version,
    candidates: Sequence[_Candidate],
    *,
    result: PredictedImages,
    encoder: Encoder | None,
    progress: Progress,
) -> dict[str, float]:
    """Predictions (path as shown → 0–1) of files that must be decoded and encoded first."""
    if not candidates:
        return {}
    progress(0, len(candidates), "predicting")
    encoder = _fitting(project, version, encoder)
    scored: dict[str, float] = {}
    done = 0
    for part in _prepared(encoder, candidates):
        fine = {one.shown: pixels for one, pixels in part if isinstance(pixels, np.ndarray)}
        result.unreadable += [(one.shown, why) for one, why in part if isinstance(why, str)]
        if fine:
            vectors = encoder.encode(np.stack(list(fine.values())))
            scored |= zip(fine, _score(project, version, vectors).tolist(), strict=True)
        done += len(part)
        progress(done, len(candidates), "predicting")
    return scored


def _prepared(
    encoder: Encoder, candidates: Sequence[_Candidate]
) -> Iterator[list[tuple[_Candidate, np.ndarray | str]]]:
    """A batch at a time: each file with its pixels for the encoder, or with why there are none.

    The next batch is decoded while the caller computes with this one.
    """
    batches = [candidates[start : start + BATCH] for start in range(0, len(candidates), BATCH)]
    with ThreadPoolExecutor() as pool:
        ahead = pool.map(partial(_prepare, encoder), batches[0])
        for batch, following in zip_longest(batches, batches[1:], fillvalue=()):
            ready = list(ahead)
            ahead = pool.map(partial(_prepare, encoder), following)
            yield list(zip(batch, ready, strict=True))


def _prepare(encoder: Encoder, candidate: _Candidate) -> np.ndarray | str:
    try:
        return prepare_file(encoder, candidate.file.path)
    except UnreadableImage as error:
        return str(error)


def _fitting(project: Project, version: Version, encoder: Encoder | None) -> Encoder:
    """The encoder that the version reads; raises `StoreError` if it has changed since."""
    if encoder is None:
        from model.encoders import load_encoder

        encoder = load_encoder(version.encoder)
    register(project, encoder)
    return encoder


def predict_stored(project: Project, version: Version, progress: Progress = silent) -> int:
    """Let `version` predict every image that has an embedding and no prediction of its yet.

    Returns how many; what is interrupted goes on the next time. Imports torch only for images that
    wait.
    """
    record = embeddings.encoder(project.store, version.encoder)
    if record is None:
        return 0
    waiting = versions.without_prediction(project.store, version.id, record.id)
    if not len(waiting):
        return 0
    from labeler.predictors import predict_waiting

    return predict_waiting(project, version, record, waiting, progress)


def activate(project: Project, name: str, *, progress: Progress = silent) -> Version:
    """Make the version `name` the active one, and let it predict the images that came after it.

    Raises `StoreError` where there is no such version.
    """
    version = versions.activate(project.store, name)
    predict_stored(project, version, progress)
    return version


def lacks_predictions(project: Project, version: Version) -> bool:
    """Whether images were embedded since `version` was the active one; imports no torch."""
    record = embeddings.encoder(project.store, version.encoder)
    return record is not None and not versions.has_predicted_all(
        project.store, version.id, record.id
    )
