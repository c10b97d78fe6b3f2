"""Taking in embeddings that were made elsewhere, with or without the images that they are of.

Each finds the image that it names, or brings one that is known by its embedding alone. Files are
read and kept some thousand rows at a time, each time in one transaction: whatever stopped the last
import, this one goes on from there.
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
    """What became of all rows: they are `embedded`, `kept` (their image has an embedding already)
    or `unusable`; the list has (file, reason). `unnamed` are files that don't say whose rows they
    have.

    `images` came with them, known by their embeddings alone; `matched` rows found theirs; `scored`
    got a hand score. `rate` is rows a second, all included.
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
    """`by_name`: a row whose path is unknown goes to the one image whose file has that name.

    `replace` embeddings that are there; take hand scores `with_scores`; `source` names where images
    come from that are not known yet, else it is called after the folder.
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
    """Take the embeddings in `paths`, which `encoder` made, and let the active version predict.

    A file that can't be used is in the summary's `unusable`, and the others go on. Raises
    `BadInput` where `encoder` is not the project's, and where vectors are normalised but its are
    not, or the other way round; `ModelError` for a name that is no encoder's. What passes through
    from `progress` leaves what was taken.
    """
    identity = _check_encoder(project, encoder)
    resolved = [_existing(path) for path in paths]
    summary = EmbeddingImportSummary()
    found: list[tuple[Path, EmbeddingFile]] = []
    for path in resolved:
        one = find_embeddings(path, columns)
        summary.unusable += one.unusable
        found += [(path, file) for file in one.files]
    record = db.images.embeddings.encoder(project.store, identity)
    wanted = _wanted(identity, record, [file for _, file in found])
    fitting = [(path, file) for path, file in found if wanted.misfit(file) is None]
    summary.unusable += [(f.shown, why) for _, f in found if (why := wanted.misfit(f))]
    sample_of([file for _, file in fitting], wanted)
    if fitting:
        record = db.images.embeddings.register_encoder(
            project.store, identity, wanted.width, bool(wanted.normalised), {}
        )
        _Taking(project, record, how, summary).take(fitting, resolved, progress)
    return summary


def _check_encoder(project: Project, encoder: str) -> str:
    given = canonical(encoder)
    if given != project.encoder:
        raise BadInput(
            f"This project's embeddings are by {project.encoder}, not by {given}; make a project "
            f"for these with: labeler init DIR --encoder {encoder}"
        )
    return given


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"{readable_name(path)} is not there; check the path.")
    return Path(os.path.realpath(path))


def _wanted(
    identity: str, record: EncoderRecord | None, files: Sequence[EmbeddingFile]
) -> ExpectedEmbeddings:
    """What the encoder's embeddings are: as kept already, else as its name tells."""
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
    """Those of some `rows` that hold an embedding: where their images are, vectors (n, width) and,
    if they come with them, hand scores (n,). `names` are the paths as they are written.
    """

    rows: int
    names: list[str]
    paths: list[str]
    vectors: NDArray[np.float32]
    scores: NDArray[np.float64] | None


def _ahead(file: EmbeddingFile) -> Generator[_Part, None, None]:
    """The rows of a file, the next read in a thread while the caller keeps these."""
    parts = (_part(block, file.base) for block in file.blocks())
    with ThreadPoolExecutor(1, thread_name_prefix="embeddings") as pool:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            yield part


def _part(block: Block, base: Path) -> _Part:
    vectors = np.asarray(block.vectors, dtype=np.float32)
    long = lengths(vectors)
    fine = np.flatnonzero(np.isfinite(long) & (long > 0))
    names, scored = block.names.to_pylist(), block.scores
    if len(fine) < len(names):
        vectors, names = vectors[fine], [names[place] for place in fine]
        scored = None if scored is None else scored[fine]
    return _Part(len(block), names, absolute(base, names), vectors, scored)


class _Taking:
    """One run over all files."""

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
        taken = db.importing.embeddings.import_embeddings(
            self.project.store,
            self.record.id,
            source_id,
            part.paths,
            part.vectors,
            known=self._known(part),
            replace=self.how.replace,
        )
        self.summary.images += taken.images
        self.summary.embedded += taken.embedded
        self.summary.kept += len(part.paths) - taken.embedded
        if self.how.with_scores and part.scores is not None:
            self._score(taken.ids, part.paths, part.scores)

    def _known(self, part: _Part) -> list[int | None]:
        """The images of names that are not their paths as they stand."""
        here = db.images.locations.ids_of_paths(self.project.store, part.paths)
        found: list[int | None] = []
        for name, path in zip(part.names, part.paths, strict=True):
            meant = self.named.image(path) if self.named is not None else None
            if meant is None and path not in here:
                meant = self.lookup.find(name, (path, normalised(path)))
            found.append(meant)
            self.summary.matched += meant is not None or path in here
        return found

    def _score(
        self, ids: NDArray[np.int64], paths: Sequence[str], values: NDArray[np.float64]
    ) -> None:
        """Each file states its score once: said again it adds nothing, also if revised since."""
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
    held = "1 row holds" if rows == 1 else f"{rows:,} rows hold"
    return f"{held} no embedding, or values that are not finite, and are left out."
