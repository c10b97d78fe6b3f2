"""Statements of hand scores: the form that all kinds of files are read into."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from labeler.core.errors import BadInput

Place: TypeAlias = "int | str"  # a line's number, or whatever else finds it in the file
Scale: TypeAlias = "tuple[float, float]"
OWN_SCALE: Scale = (0.0, 10.0)
NAMELESS = ""  # the scorer of whom a file says that it has no name
# Reasons of refusals.
NO_PATH = "no path"
NOT_IMPORTED = "not in the project"
NO_FILE = "no such file"
NOT_UNIQUE = "file name not unique"
NO_NUMBER = "not a score"
OUTSIDE = "outside the scale"
TWO_SCORES = "another score for the same image"
BROKEN = "can't be read"
REFUSED = "refused by the store"
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_NOT_IN_UPLOADS = re.compile(r"[^-\w.]")
_LONGEST_TEXT = 32_768  # characters of a name or path; what is longer names nothing
_LONGEST_WORD = 200  # of what our own history says of a score
_MOST_NOTES, _LONGEST_NOTE = 100, 1000
_SHOWN = 100  # characters of what can't be taken
_EMPTY_WORDS = frozenset({"", "nan", "na", "n/a", "none", "null"})  # table programs' words for it


@dataclass(frozen=True, slots=True)
class RecordedScore:
    """The fields of a hand score in a history besides its value, as in `db.records.HandScore`."""

    event_id: str
    why: str | None
    queue: str | None
    shown_prediction: float | None
    undone_at: datetime | None
    at_least: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A score (0–10, None: unscored) of one image.

    `images` are the paths that may be meant, the likeliest first. `content_hash` identifies the
    image at any path, `file_name` by its name alone; `is_uploaded`: the name as a server changes it
    (`uploaded_name`). `scorer` is None where the file names none. `doubt` is a sentence about what
    may be wrong if there is no such image. `event` is a whole row of another project's history.
    """

    place: Place
    images: tuple[str, ...]
    score: float | None
    scorer: str | None = None
    at: datetime | None = None
    group: str = ""
    file_name: str | None = None
    is_uploaded: bool = False
    doubt: str | None = None
    content_hash: str | None = None
    event: RecordedScore | None = None

    def __post_init__(self) -> None:
        """Raise `StatementError` for texts that are too long: batches of statements are held."""
        named = (*self.images, self.group, self.file_name, self.content_hash)
        if long := next((each for each in named if each and len(each) > _LONGEST_TEXT), None):
            raise StatementError(
                BROKEN, f"{short(long)} is too long for a name or path; shorten it."
            )
        if self.scorer is not None and len(self.scorer) > _LONGEST_TEXT:
            # No name can cost a score: of a long one the beginning is kept anyhow.
            object.__setattr__(self, "scorer", self.scorer[:_LONGEST_TEXT])
        if self.event is not None:
            texts = (self.event.event_id, self.event.why, self.event.queue)
            if long := next((each for each in texts if each and len(each) > _LONGEST_WORD), None):
                problem = f"{short(long)} is too long for the history of a score; export it again."
                raise StatementError(BROKEN, problem)


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused statement: its place, a short `reason` to count by, and a sentence."""

    place: Place
    reason: str
    problem: str

    @property
    def where(self) -> str:
        """Return the place in the file, for people."""
        return f"line {self.place}" if isinstance(self.place, int) else self.place


class StatementError(BadInput):
    """A statement can't be used; `at` makes a `Refused` of it."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason

    def at(self, place: Place) -> Refused:
        """Return the refusal of the statement at `place`."""
        return Refused(place, self.reason, _shorten_problem(str(self)))


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options for reading a file; None means that the file decides.

    `scale` is the (lowest, highest) score of the file. `scorer` overrides the file's scorers.
    Relative paths start from `folder`, by default the file's own. `by_name`: a unique file name may
    replace a path. `identity` tells repeated imports of one file, by default its path.
    """

    kind: str | None = None
    path_column: str | None = None
    score_column: str | None = None
    scorer_column: str | None = None
    group_column: str | None = None
    scale: Scale | None = None
    scorer: str | None = None
    folder: Path | None = None
    by_name: bool = False
    identity: str | None = None

    @property
    def bounds(self) -> Scale:
        """Return the scale, by default 0 to 10."""
        return self.scale or OWN_SCALE


@dataclass(slots=True)
class ReaderNotes:
    """Notes of a reader besides its statements."""

    cancelled: int = 0  # annotations that their author cancelled
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Add a sentence, once each, up to a limit."""
        if len(self.notes) < _MOST_NOTES and (cut := sentence[:_LONGEST_NOTE]) not in self.notes:
            self.notes.append(cut)


Statements: TypeAlias = "Iterator[Statement | Refused]"


def _shorten_problem(problem: str) -> str:
    """Return `problem`, a long one without its middle: the end says what to do."""
    room = _LONGEST_NOTE
    for at, letter in enumerate(problem[:-_SHOWN]):
        room -= 1 if letter.isprintable() else len("\\x00")
        if room < 0:
            return f"{problem[:at]}…{problem[-_SHOWN:]}"
    return problem


def short(value: Any, *, quoted: bool = True) -> str:
    """Return a value for messages, of a long one its beginning."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, str):
        begun = value[:_SHOWN]
        return (repr(begun) if quoted else begun) + ("…" if len(value) > _SHOWN else "")
    shown = repr(value)
    return f"{shown[:_SHOWN]}…" if len(shown) > _SHOWN else shown


def read_score(value: Any, scale: Scale = OWN_SCALE) -> float | None:
    """Return the hand score, 0–10, of a number or text on `scale`; None for an empty value.

    Raises `StatementError` for what is no number, or outside the scale.
    """
    text = value.strip() if isinstance(value, str) else value
    if text is None or (isinstance(text, str) and text.lower() in _EMPTY_WORDS):
        return None
    low, high = scale
    try:
        number = (
            _with_comma(text, scale)
            if isinstance(text, str) and "," in text
            else _strict_float(text)
        )
    except (TypeError, ValueError, OverflowError):
        raise StatementError(
            NO_NUMBER, f"{short(value)} is not a score; give a number from {low:g} to {high:g}."
        ) from None
    if isinstance(text, float) and math.isnan(text):
        return None
    if not low <= number <= high:  # also refuses NaN
        raise StatementError(
            OUTSIDE,
            f"A score of {short(value, quoted=False)} is outside the scale; give a number from "
            f"{low:g} to {high:g}.",
        )
    # Rounded, so that 0.57 on a scale to 1 is exactly 5.7; + 0.0 turns -0 into 0.
    return number + 0.0 if scale == OWN_SCALE else round((number - low) / (high - low) * 10, 9)


def _strict_float(value: Any) -> float:
    """Return `float(value)`, but raise `ValueError` for 7_5 (Python: 75) and True (Python: 1)."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError(value)
    return float(value)


def _with_comma(text: str, scale: Scale) -> float:
    """Return the number in a text with a comma, 7,5; 1,234 is 1234 if only that is on the scale.

    Raises `StatementError` where both readings are on the scale.
    """
    if _DECIMAL_COMMA.fullmatch(text) is None:
        raise ValueError(text)
    low, high = scale
    number = float(text.replace(",", "."))
    grouped = float(text.replace(",", "")) if _GROUPED.fullmatch(text) else math.nan
    if low <= number <= high and low <= grouped <= high:
        raise StatementError(
            NO_NUMBER, f"{text!r} may be {number:g} or {grouped:g}; write it without ,."
        )
    return grouped if low <= grouped <= high else number


_CUT_NAME = re.compile(r"(.{50,})_[A-Za-z0-9]{7}(\.[^.]*)?")


def cut_name(name: str) -> tuple[str, str] | None:
    """Return beginning and suffix of an uploaded file's name that the server cut; None if uncut.

    Django cuts names so that folder and name have 100 characters, and adds seven random ones.
    """
    match = _CUT_NAME.fullmatch(name)
    return (match[1], match[2] or "") if match else None


def utc_time(value: str | datetime) -> datetime:
    """Return a time in UTC, also the default zone.

    Raises `ValueError` for text that is no time, and for one that is out of range in UTC.
    """
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{value} is beyond all times that are kept") from None


def uploaded_name(name: str) -> str:
    """Return the file name that Label Studio, as any Django server, gives an uploaded file."""
    return _NOT_IN_UPLOADS.sub("", unicodedata.normalize("NFC", name).strip().replace(" ", "_"))
