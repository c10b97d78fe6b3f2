"""Import of embeddings that were made elsewhere, with or without their images.

An embedding belongs to the image that its row names; without such an image it makes one that has no
file. Rows are recorded in blocks of one transaction each: an import after an interrupted one
continues behind the last block.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
import db.images.locations
import db.importing.embeddings
import db.scores.events
import db.scores.hand_scores
from db.records import EncoderRecord, Event
from labeler.core.errors import BadInput
from labeler.core.files.names import readable_name
from labeler.core.images.lookup import Lookup, normalised
from labeler.core.images.sources import source_for
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.core.scorers import account_name
from labeler.embedding.files.block import Block, Columns, EmbeddingFile
from labeler.embedding.files.checks import ExpectedEmbeddings, lengths, sample_of
from labeler.embedding.files.find import find_embeddings
from labeler.embedding.files.match_images import NamedImages, absolute
from labeler.embedding.files.npy import ArrayFile
from model.encoders.names import NORMALISED, canonical, known_width


@dataclass
class EmbeddingImportSummary:
    """Counts of rows and images.

    Of the `rows`, `embedded` were recorded, `kept` belong to an image that has an embedding
    already, and `left_out` hold no usable embedding. `matched` rows named an image of the project;
    `images` are new ones without a file; `scored` got a hand score. `unusable` has (file, reason),
    `unnamed` the files that don't name the images of their rows. `rate` is rows per second.
    """

    rows: int = 0
    embedded: int = 0
    kept: int = 0
    left_out: int = 0
    images: int = 0
    matched: int = 0
    scored: int = 0
    unusable: list[tuple[str, str]] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import.

    `by_name`: a row with an unknown path belongs to the only image whose file has that name.
    `replace`: overwrite existing embeddings. `with_scores`: record the hand scores, too. `source`:
    name of the source of new images, by default that of the folder.
    """

    by_name: bool = False
    replace: bool = False
    with_scores: bool = False
    source: str | None = None


def import_embeddings(
    project: Project,
    paths: Sequence[Path],
    encoder: str,
    *,
    columns: Columns = Columns(),  # noqa: B008
    how: ImportOptions = ImportOptions(),
    progress: Progress = silent,
) -> EmbeddingImportSummary:
    """Record the embeddings in `paths`, which `encoder` made.

    No version predicts the images: that is `labeler.versions.activate.predict_active`. A file that
    can't be used is listed in the summary's `unusable`. Raises `BadInput` if `encoder` is not the
    project's, or if the vectors are normalised and the encoder's are not, or the reverse;
    `ModelError` for an unknown encoder. If `progress` raises, the rows so far stay recorded.
    """
    identity = _check_encoder(project, encoder)
    resolved = [_existing(path) for path in paths]
    summary = EmbeddingImportSummary()
    files: list[tuple[Path, EmbeddingFile]] = []
    for path in resolved:
        contents = find_embeddings(path, columns)
        summary.unusable += contents.unusable
        files += [(path, file) for file in contents.files]
    record = db.images.embeddings.encoder(project.store, identity)
    expected = _wanted(identity, record, [file for _, file in files])
    fitting = [(path, file) for path, file in files if expected.misfit(file) is None]
    summary.unusable += [(f.shown, why) for _, f in files if (why := expected.misfit(f))]
    sample_of([file for _, file in fitting], expected)
    if fitting:
        record = db.images.embeddings.register_encoder(
            project.store, identity, expected.width, bool(expected.normalised), {}
        )
        _Taking(project, record, how, summary).take(fitting, resolved, progress)
    return summary


def _check_encoder(project: Project, encoder: str) -> str:
    requested = canonical(encoder)
    if requested != project.encoder:
        raise BadInput(
            f"This project's embeddings are by {project.encoder}, not by {requested}; make a "
            f"project for these with: labeler init DIR --encoder {encoder}"
        )
    return requested


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"{readable_name(path)} is not there; check the path.")
    return Path(os.path.realpath(path))


def _wanted(
    identity: str, record: EncoderRecord | None, files: Sequence[EmbeddingFile]
) -> ExpectedEmbeddings:
    """Return what to expect of the encoder's embeddings: by its record, else by its name."""
    raw = identity.removesuffix(NORMALISED)
    if record is not None:
        width, normalised = record.width, record.normalised
    else:
        width = known_width(identity) or (files[0].width if files else 0)
        normalised = identity != raw
    return ExpectedEmbeddings(
        reader="this project",
        identity=identity,
        width=width,
        normalised=normalised,
        instead_of_unit=(
            "save them without normalising, or make a project that reads them so: "
            f"labeler init DIR --encoder {raw}{NORMALISED}"
        ),
        instead_of_raw=(
            "divide each by its length, or make a project that reads them raw: "
            f"labeler init DIR --encoder {raw}"
        ),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """The n of some `rows` that hold an embedding.

    `names` are the images' paths as written in the file, `paths` the absolute ones, `vectors`
    (n, width) float32, `scores` (n,) hand scores 0–10, NaN for none, or None without a column.
    """

    rows: int
    names: list[str]
    paths: list[str]
    vectors: NDArray[np.float32]
    scores: NDArray[np.float64] | None


def _ahead(file: EmbeddingFile) -> Generator[_Part, None, None]:
    """Yield the rows of a file; a thread reads the next part while the caller records this one."""
    parts = (_part(block, file.base) for block in file.blocks())
    with ThreadPoolExecutor(1, thread_name_prefix="embeddings") as pool:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            yield part


def _part(block: Block, base: Path) -> _Part:
    vectors = np.asarray(block.vectors, dtype=np.float32)
    norms = lengths(vectors)
    fine = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    names, scored = block.names.to_pylist(), block.scores
    if len(fine) < len(names):
        vectors, names = vectors[fine], [names[place] for place in fine]
        scored = None if scored is None else scored[fine]
    return _Part(len(block), names, absolute(base, names), vectors, scored)


class _Taking:
    """One import of several files."""

    def __init__(
        self,
        project: Project,
        record: EncoderRecord,
        how: ImportOptions,
        summary: EmbeddingImportSummary,
    ) -> None:
        self.project, self.record, self.how, self.summary = project, record, how, summary
        self.named = (
            NamedImages(db.images.locations.ids_by_path(project.store)) if how.by_name else None
        )
        self.lookup = Lookup(lambda: db.images.locations.ids_by_path(project.store, seen_only=True))
        self.scores: dict[int, float] = {}
        if how.with_scores:
            ids, values = db.scores.hand_scores.effective(project.store)
            self.scores = dict(zip(ids.tolist(), values.tolist(), strict=True))

    def take(
        self,
        files: Sequence[tuple[Path, EmbeddingFile]],
        together: Sequence[Path],
        progress: Progress,
    ) -> None:
        self.summary.unnamed += [
            file.shown for _, file in files if isinstance(file, ArrayFile) and file.named is None
        ]
        started, total = time.perf_counter(), sum(file.rows for _, file in files)
        progress(0, total, "taking in embeddings")
        for path, file in files:
            source, _ = source_for(self.project.store, path, together, self.how.source, None)
            left_out = 0
            with closing(_ahead(file)) as parts:
                for part in parts:
                    left_out += part.rows - len(part.paths)
                    self._take_part(part, source.id)
                    self.summary.rows += part.rows
                    self.summary.rate = self.summary.rows / (time.perf_counter() - started)
                    progress(self.summary.rows, total, "taking in embeddings")
            if left_out:
                self.summary.left_out += left_out
                self.summary.unusable.append((file.shown, _left_out(left_out)))

    def _take_part(self, part: _Part, source_id: int) -> None:
        imported = db.importing.embeddings.import_embeddings(
            self.project.store,
            self.record.id,
            source_id,
            part.paths,
            part.vectors,
            known=self._known(part),
            replace=self.how.replace,
        )
        self.summary.images += imported.images
        self.summary.embedded += imported.embedded
        self.summary.kept += len(part.paths) - imported.embedded
        if self.how.with_scores and part.scores is not None:
            self._score(imported.ids, part.paths, part.scores)

    def _known(self, part: _Part) -> list[int | None]:
        """Return the image id of each row whose name is not a stored path, None for the others."""
        stored = db.images.locations.ids_of_paths(self.project.store, part.paths)
        ids: list[int | None] = []
        for name, path in zip(part.names, part.paths, strict=True):
            image_id = self.named.image(path) if self.named is not None else None
            if image_id is None and path not in stored:
                image_id = self.lookup.find(name, (path, normalised(path)))
            ids.append(image_id)
            self.summary.matched += image_id is not None or path in stored
        return ids

    def _score(
        self, ids: NDArray[np.int64], paths: Sequence[str], values: NDArray[np.float64]
    ) -> None:
        """Record hand scores; a score that this file gave before is skipped, also if revised."""
        now, scorer = datetime.now(UTC), account_name()
        events = [
            Event(_event_id(path, value), "score", i, now, value=value, why="import", scorer=scorer)
            for i, path, value in zip(ids.tolist(), paths, values.tolist(), strict=True)
            if not np.isnan(value) and self.scores.get(i) != value
        ]
        receipts = db.scores.events.record(self.project.store, events)
        self.summary.scored += sum(receipt.accepted for receipt in receipts)


def _event_id(path: str, score: float) -> str:
    named = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
    return f"embedding-{named}-{score:g}"


def _left_out(rows: int) -> str:
    noun = "1 row holds" if rows == 1 else f"{rows:,} rows hold"
    return f"{noun} no embedding, or values that are not finite, and are left out."
