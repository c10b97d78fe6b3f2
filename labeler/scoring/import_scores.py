"""Import of hand scores from files and folders of many kinds.

Importing a file again adds nothing, also where a person has revised a score since; a changed or
added line is a new statement. A line without a score leaves its image unscored. Statements that
can't be used are reported with a reason, and the others are recorded in batches.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import db.images.locations
import db.images.lookup
import db.scores.events
import db.scores.hand_scores
from db.records import Event, HandScore
from db.scores.seen_scores import FirstScores
from labeler.collection.import_summary import ImportSummary
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.images.lookup import Lookup
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.core.scorers import account_name, clean_name
from labeler.scoring.score_files.formats import Kind, kind_of
from labeler.scoring.score_files.match_images import ImageMatcher
from labeler.scoring.score_files.statements import (
    BROKEN,
    NOT_IMPORTED,
    REFUSED,
    TWO_SCORES,
    ReadOptions,
    Refused,
    Statement,
    StatementError,
)
from labeler.scoring.score_files.summary import EXAMPLES, Example, LabelSummary

BATCH = 2000  # statements
DEFAULTS = ReadOptions()


def import_scores(
    project: Project,
    path: Path,
    reading: ReadOptions = DEFAULTS,
    *,
    dry_run: bool = False,
    add_images: bool = False,
    keep_all: bool = False,
    progress: Progress = silent,
) -> LabelSummary:
    """Record the hand scores in the file or folder at `path`.

    A `dry_run` changes nothing and returns what would happen. `add_images` imports the named files
    that exist and are not in the project. With `keep_all` the summary lists all refused statements,
    else a few of each reason. Raises `BadInput` if `path` can't be read as its kind of file.
    """
    if not os.path.exists(path):  # noqa: PTH110 - also answers for names too long for the system
        raise BadInput(f"{path} does not exist; check the path.")
    low, high = reading.bounds
    if not low < high:
        raise BadInput(f"A scale from {low:g} to {high:g} is none; give the lower end first.")
    kind = kind_of(path, reading)
    if add_images and not dry_run:
        imported = _add_images(project, kind, path, reading, progress)
    else:
        imported = None
    with FirstScores() as first_scores:
        run = _ScoreImport(project, kind, path, reading, first_scores)
        run.summary.keeps_all = keep_all
        run.summary.imported = imported
        run.is_dry, run.adds_images = dry_run, add_images
        for done, batch in enumerate(run.batches()):
            progress(done * BATCH, 0, "reading scores")
            run.take(batch)
    return run.summary


def _add_images(
    project: Project, kind: Kind, path: Path, reading: ReadOptions, progress: Progress
) -> ImportSummary | None:
    """Import the named files that the project lacks, as one source with the name of `path`."""
    files: dict[str, None] = {}
    with FirstScores() as first_scores:
        run = _ScoreImport(project, kind, path, reading, first_scores)
        for batch in run.batches():
            statements = [each for each in batch if isinstance(each, Statement)]
            matcher = ImageMatcher(project.store, run.folder, statements, run.lookup)
            for statement in statements:
                try:
                    matcher.image(statement)
                except StatementError as error:
                    if error.reason == NOT_IMPORTED and (file := matcher.file(statement)):
                        files[file] = None
    if not files:
        return None
    return import_paths(project, list(files), source=path.resolve().stem, progress=progress)


class _ScoreImport:
    """The import of one file, batch by batch."""

    def __init__(
        self,
        project: Project,
        kind: Kind,
        path: Path,
        reading: ReadOptions,
        first_scores: FirstScores,
    ) -> None:
        self.lookup = Lookup(lambda: db.images.locations.ids_by_path(project.store, seen_only=True))
        self.project, self.kind, self.path, self.reading = project, kind, path, reading
        self.summary = LabelSummary(kind.name)
        self.folder = (reading.folder or (path if path.is_dir() else path.parent)).absolute()
        self.is_dry = self.adds_images = False
        self._first_scores = first_scores
        self._default = clean_name(reading.scorer) or account_name()
        identity = reading.identity or path.resolve()
        self._name = hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]
        self._now = datetime.now(UTC)

    def batches(self) -> Iterator[list[Statement | Refused]]:
        statements = self.kind.read(self.path, self.reading, self.summary.told)
        while batch := list(islice(statements, BATCH)):
            yield batch

    def take(self, batch: Sequence[Statement | Refused]) -> None:
        statements = [each for each in batch if isinstance(each, Statement)]
        matcher = ImageMatcher(self.project.store, self.folder, statements, self.lookup)
        matched: list[tuple[Statement, int]] = []
        for each in batch:
            try:
                if isinstance(each, Refused):
                    self.summary.refuse(each)
                elif (image_id := self._image(matcher, each)) is not None:
                    matched.append((each, image_id))
            except StatementError as error:
                self.summary.refuse(error.at(each.place))
        self.summary.by_name += matcher.by_name
        self._group(matched)
        self._score([(each, image_id) for each, image_id in matched if each.score is not None])

    def _image(self, matcher: ImageMatcher, statement: Statement) -> int | None:
        """Return the image's id; None if the statement needs no further step.

        Raises `StatementError` where no image of the project is meant.
        """
        try:
            image_id = matcher.image(statement)
        except StatementError as error:
            if not self.adds_images or not self.is_dry or error.reason != NOT_IMPORTED:
                raise
            self._count_new(str(matcher.file(statement)), statement)
            return None
        if statement.score is None:
            self.summary.blank += 1
        elif statement.event is None and not self._agree(image_id, statement):
            return None  # a repetition
        return image_id

    def _count_new(self, file: str, statement: Statement) -> None:
        self.summary.to_import += self._first_scores.add(file, "", -1.0, "") is None
        if statement.score is None:
            self.summary.blank += 1
        elif self._agree(file, statement):
            self._count(statement, None)

    def _agree(self, image: int | str, statement: Statement) -> bool:
        """Return whether the file states this for the first time.

        Raises `StatementError` if it stated another score by the same scorer before.
        """
        assert statement.score is not None
        place = Refused(statement.place, "", "").where
        who = "=" + (self._scorer(statement) or "")
        earlier = self._first_scores.add(image, who, statement.score, place)
        if earlier is not None and earlier[0] != statement.score:
            raise StatementError(
                TWO_SCORES,
                f"this image, or an exact copy of it, has the score {earlier[0]:g} in "
                f"{earlier[1]}; keep one of them.",
            )
        return earlier is None

    def _group(self, matched: Sequence[tuple[Statement, int]]) -> None:
        groups = {image_id: each.group for each, image_id in matched if each.group}
        if groups and not self.is_dry:
            db.images.lookup.set_groups(self.project.store, groups)

    def _score(self, matched: Sequence[tuple[Statement, int]]) -> None:
        ids = {image_id for _, image_id in matched}
        counts = db.scores.hand_scores.effective_of(self.project.store, ids)
        unreadable = db.images.lookup.reasons_unreadable(self.project.store, ids)
        histories: dict[int, list[HandScore]] = defaultdict(list)
        for row in db.scores.hand_scores.histories(self.project.store, ids):
            histories[row.image_id].append(row)
        events: list[tuple[Statement, Event]] = []
        numbers: Counter[int] = Counter()
        for statement, image_id in matched:
            if image_id in unreadable and statement.event is None:
                problem = f"{statement.images[0]} can't be scored: {unreadable[image_id]}"
                self.summary.refuse(Refused(statement.place, BROKEN, problem))
                continue
            history, effective = histories[image_id], counts.get(image_id)
            if self._is_known(statement, history, effective):
                self.summary.unchanged += 1
                continue
            number = numbers[image_id] + sum(self._is_own(row) for row in history)
            events.append((statement, self._event(statement, image_id, number)))
            numbers[image_id] += 1
            self._count(statement, effective)
        if not self.is_dry:
            self._record(events)

    def _is_known(
        self, statement: Statement, history: list[HandScore], effective: float | None
    ) -> bool:
        """Return whether the project has this score, or had it from this file before a revision."""
        if statement.event is not None:
            return any(row.event_id == statement.event.event_id for row in history)
        scorer, is_named = self._scorer(statement), self._is_named(statement)
        valid = [row.value for row in history if row.scorer == scorer and row.undone_at is None]
        # Without a named scorer, a score that counts already adds nothing.
        if valid[-1:] == [statement.score] or (not is_named and effective == statement.score):
            return True
        stated = [
            row.value
            for row in history
            if self._is_own(row) and (row.scorer == scorer or not is_named)
        ]
        return stated[-1:] == [statement.score]

    def _is_own(self, row: HandScore) -> bool:
        """Return whether the row came from this file."""
        # Not by the image's id in it: after a merge of two images that is another one.
        return row.event_id.startswith(f"csv-{self._name}-")

    def _event(self, statement: Statement, image_id: int, number: int) -> Event:
        recorded = statement.event
        return Event(
            recorded.event_id if recorded else f"csv-{self._name}-{image_id}-{number}",
            "score",
            image_id,
            min(statement.at or self._now, self._now),
            value=statement.score,
            why=recorded.why if recorded else "import",
            scorer=self._scorer(statement),
            queue=recorded.queue if recorded else None,
            shown_prediction=recorded.shown_prediction if recorded else None,
            undone_at=recorded.undone_at if recorded else None,
            at_least=recorded.at_least if recorded else None,
            below=recorded.below if recorded else None,
        )

    def _record(self, events: list[tuple[Statement, Event]]) -> None:
        receipts = db.scores.events.record(self.project.store, [event for _, event in events])
        for (statement, _), receipt in zip(events, receipts, strict=True):
            if not receipt.accepted or receipt.repeated:
                self.summary.taken -= 1
                problem = receipt.problem or "the store had this event already."
                self.summary.refuse(Refused(statement.place, REFUSED, problem))

    def _count(self, statement: Statement, before: float | None) -> None:
        scorer = self._scorer(statement)
        self.summary.taken += 1
        self.summary.scorers[scorer or ""] += 1
        if len(self.summary.examples) < EXAMPLES and statement.score is not None:
            place = Refused(statement.place, "", "").where
            self.summary.examples.append(
                Example(place, statement.images[0], statement.score, before, scorer)
            )

    def _is_named(self, statement: Statement) -> bool:
        return self.reading.scorer is not None or statement.scorer is not None

    def _scorer(self, statement: Statement) -> str | None:
        if self.reading.scorer is not None or statement.scorer is None:
            return self._default
        return clean_name(statement.scorer)
