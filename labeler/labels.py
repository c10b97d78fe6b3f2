"""Hand scores given on the command line: one image, or a CSV file of many.

A CSV file states scores, and states each of them once: running the same file again adds nothing,
also where the person has revised a score since. A changed or added line is a new statement.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from db import images, scores
from db.records import Event, Image
from labeler.csv_files import Line, read_lines
from labeler.errors import BadInput
from labeler.project import Project

GROUP_COLUMNS = ("split_group", "group")
_NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null"})  # table programs' words for it


@dataclass(frozen=True)
class Labelled:
    """One hand score as taken; `before` is the image's score until then (0–10, None: unscored)."""

    image: Image
    score: float
    before: float | None


@dataclass(frozen=True)
class BadLine:
    line: int
    problem: str


@dataclass
class LabelSummary:
    """What a CSV file brought. `blank` lines have a path and no score: not scored, never 0."""

    taken: int = 0
    unchanged: int = 0
    blank: int = 0
    bad: list[BadLine] = field(default_factory=list)

    @property
    def is_useless(self) -> bool:
        """The file has lines with scores, and none could be taken."""
        return bool(self.bad) and not self.taken and not self.unchanged


@dataclass(frozen=True)
class _Statement:
    """One line that is understood: this image has this score (0–10)."""

    line: int
    image_id: int
    score: float


def scorer_name() -> str:
    """Who scores: the name of the account, as the history keeps it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # An account without a name, as in some containers.
        return "somebody"


def read_score(text: str) -> float:
    """A hand score 0–10 from what was written; raises `BadInput`."""
    try:
        score = float(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a score; give a number from 0 to 10.") from None
    if not 0 <= score <= 10:  # Also refuses NaN.
        raise BadInput(f"A score of {text} is outside the scale; give a number from 0 to 10.")
    return score


def find_image(project: Project, named: str) -> Image:
    """The image that `named` means: a whole number is an id, anything else a path.

    For a file whose name is a number, write ./12. Raises `BadInput` if it isn't in the project.
    """
    if not (named.isascii() and named.isdigit()):
        return _find_by_path(project, named)
    found = images.get(project.store, int(named)) if len(named) < 19 else None
    if found is None:
        raise BadInput(
            f"No image has the id {named}; give a path instead, and for a file whose name is "
            f"{named} write ./{named}"
        )
    return found


def _find_by_path(project: Project, named: str) -> Image:
    for path in _spellings(Path.cwd(), named):
        if found := images.find_by_path(project.store, path):
            return found
    if not os.path.exists(named):  # noqa: PTH110 - also answers for names too long for the system
        raise BadInput(f"{named} does not exist; check the path.")
    raise BadInput(f"{named} is not in this project yet; add it with: labeler import {named}")


def _spellings(folder: Path, named: str) -> list[str]:
    """The absolute paths that `named`, seen from `folder`, may be stored under."""
    if not named or "\0" in named:
        return []
    absolute = os.path.abspath(folder / named)  # noqa: PTH100 - Path.resolve() follows symlinks
    return list(dict.fromkeys([absolute, os.path.realpath(absolute)]))


def label_one(project: Project, named: str, score: float, scorer: str | None = None) -> Labelled:
    """Give the image `named` (a path or an id) the hand score `score`; raises `BadInput`."""
    image = find_image(project, named)
    if image.state == "unreadable":
        raise BadInput(f"{named} can't be scored: {image.reason}")
    # Nothing is shown on the command line, so the event names no prediction and no version.
    event = Event(
        uuid.uuid4().hex,
        "score",
        image.id,
        datetime.now(UTC),
        value=score,
        scorer=scorer or scorer_name(),
    )
    receipt = scores.record(project.store, [event])[0]
    if not receipt.accepted:
        raise BadInput(f"{named} was not scored: {receipt.problem}")
    return Labelled(image, score, image.hand_score)


def label_from(project: Project, file: Path, scorer: str | None = None) -> LabelSummary:
    """Take the hand scores (0–10) in a CSV file with the columns path and score.

    Paths are absolute or relative to the file; a column `split_group` or `group` is kept as the
    image's group. A line that can't be taken is in the summary's `bad`, the others are taken.
    Raises `BadInput` if the file as a whole can't be read as such a table.
    """
    summary = LabelSummary()
    statements, groups = _understand(project, file, summary)
    if groups:
        images.set_groups(project.store, groups)
    new = _new_events(project, file, statements, summary, scorer or scorer_name())
    receipts = scores.record(project.store, [event for _, event in new])
    for (line, _), receipt in zip(new, receipts, strict=True):
        if receipt.accepted:
            summary.taken += 1
        else:
            summary.bad.append(BadLine(line, receipt.problem or "the store refused it."))
    summary.bad.sort(key=lambda bad: bad.line)
    return summary


def _understand(
    project: Project, file: Path, summary: LabelSummary
) -> tuple[list[_Statement], dict[int, str]]:
    """The file's statements and the images' groups; blank and bad lines go to `summary`."""
    ids = images.ids_by_path(project.store)
    stated: dict[int, _Statement] = {}
    groups: dict[int, str] = {}
    for line in read_lines(file, (("path",), ("score",))):
        try:
            image_id = image_on_line(ids, file.absolute().parent, line)
            if group := line.cell(*GROUP_COLUMNS).strip():
                groups[image_id] = group
            score = score_on_line(line)
            if score.lower() in _NOTHING:
                summary.blank += 1
                continue
            statement = _Statement(line.number, image_id, read_score(score))
            if line.is_overfull:
                raise BadInput(
                    "there are more cells than columns; quote what holds a comma, and write 7.5 "
                    "for 7,5."
                )
            _agree(stated.setdefault(image_id, statement), statement)
        except BadInput as error:
            summary.bad.append(BadLine(line.number, str(error)))
    return list(stated.values()), groups


def score_on_line(line: Line) -> str:
    """What the line's column `score` holds, with a point where the file writes 7,5."""
    score = line.cell("score").strip()
    return score.replace(",", ".") if line.has_decimal_commas else score


def image_on_line(ids: dict[str, int], folder: Path, line: Line) -> int:
    """The id of the image that the line's column `path` names, absolute or seen from `folder`.

    `ids` are of all known paths; raises `BadInput`.
    """
    given = line.cell("path")
    for named in (given, given.strip()):
        for path in _spellings(folder, named):
            if path in ids:
                return ids[path]
    if not given.strip():
        raise BadInput("there is no path in this line; fill in its path column.")
    if line.last > line.number:
        raise BadInput(f"a quotation mark opened here closes only in line {line.last}.")
    if os.path.exists(folder / given):  # noqa: PTH110 - also answers for names too long
        raise BadInput(f"{given} is not in this project; import it first.")
    raise BadInput(f"{given} does not exist; paths are absolute or relative to the CSV file.")


def _agree(earlier: _Statement, later: _Statement) -> None:
    if earlier.score != later.score:
        raise BadInput(
            f"this image has the score {earlier.score:g} in line {earlier.line}; keep one of them."
        )


def _new_events(
    project: Project,
    file: Path,
    statements: list[_Statement],
    summary: LabelSummary,
    scorer: str,
) -> list[tuple[int, Event]]:
    """(line, event) for what the file states anew; the rest is counted as unchanged."""
    ids, values = scores.effective(project.store)
    effective = dict(zip(ids.tolist(), values.tolist(), strict=True))
    name = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:16]
    new = []
    for statement in statements:
        own = f"csv-{name}-{statement.image_id}-"
        if effective.get(statement.image_id) == statement.score:
            summary.unchanged += 1
            continue
        made = _made_before(project, statement.image_id, own)
        if made[-1:] == [statement.score]:  # Said before, and revised by the person since.
            summary.unchanged += 1
            continue
        event = Event(
            f"{own}{len(made)}",
            "score",
            statement.image_id,
            datetime.now(UTC),
            value=statement.score,
            why="import",
            scorer=scorer,
        )
        new.append((statement.line, event))
    return new


def _made_before(project: Project, image_id: int, own: str) -> list[float]:
    """The scores that events named `own…` gave this image, oldest first, undone ones too."""
    history = scores.history(project.store, image_id)
    return [one.value for one in history if one.event_id.startswith(own)]
