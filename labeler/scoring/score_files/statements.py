"""What a file says about hand scores, in the one form that all kinds of file are read into."""

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
OURS: Scale = (0.0, 10.0)
NAMELESS = ""  # the scorer of whom a file says that it has no name
# Why something is not taken.
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
_NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null"})  # table programs' words for it


@dataclass(frozen=True, slots=True)
class RecordedScore:
    """What a history keeps of a hand score beside its value, as `db.records.HandScore` has it."""

    event_id: str
    why: str | None
    queue: str | None
    shown_prediction: float | None
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class Statement:
    """One score (0–10; `None`: said to have none) of one image.

    `images` are the paths that may be meant, the likeliest first; `content_hash` finds it wherever
    it lies, and `file_name` may find it by its name alone; `is_uploaded`: as a server spells it
    that took the file (`uploaded_name`). `scorer` is `None` where the file tells
    none. `doubt` says what may be wrong if there is no such image. `event` is a whole row of
    another project's history.
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
        """Raise `NotTaken` for texts that can't be names; thousands of statements are held."""
        named = (*self.images, self.group, self.file_name, self.content_hash)
        if long := next((each for each in named if each and len(each) > _LONGEST_TEXT), None):
            raise NotTaken(BROKEN, f"{short(long)} is too long for a name or path; shorten it.")
        if self.scorer is not None and len(self.scorer) > _LONGEST_TEXT:
            # No name can cost a score: of a long one the beginning is kept anyhow.
            object.__setattr__(self, "scorer", self.scorer[:_LONGEST_TEXT])
        if self.event is not None:
            said = (self.event.event_id, self.event.why, self.event.queue)
            if long := next((each for each in said if each and len(each) > _LONGEST_WORD), None):
                problem = f"{short(long)} is too long for the history of a score; export it again."
                raise NotTaken(BROKEN, problem)


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in a file that can't be taken: a short `reason` to count by, and a sentence."""

    place: Place
    reason: str
    problem: str

    @property
    def where(self) -> str:
        return f"line {self.place}" if isinstance(self.place, int) else self.place


class NotTaken(BadInput):
    """Raised where a `Refused` will be made of it."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason

    def at(self, place: Place) -> Refused:
        return Refused(place, self.reason, _readable(str(self)))


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is to be read; what is `None` is told from the file itself.

    `scale` is what its scores run from and to. `scorer` gave all of them, whatever the file says.
    Relative paths are seen from `folder`, by default the file's own; `by_name` lets a unique file
    name stand for a path. `identity` is what the file is called over and over, by default its path.
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
        return self.scale or OURS


@dataclass(slots=True)
class ReaderNotes:
    """What a reader has to say beside its statements."""

    cancelled: int = 0  # annotations that their author gave up
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Say it once; of very many sentences the first ones."""
        if len(self.notes) < _MOST_NOTES and (cut := sentence[:_LONGEST_NOTE]) not in self.notes:
            self.notes.append(cut)


Statements: TypeAlias = "Iterator[Statement | Refused]"


def _readable(problem: str) -> str:
    """`problem` where it is long: its beginning as it is shown, and its end, which helps."""
    room = _LONGEST_NOTE
    for at, letter in enumerate(problem[:-_SHOWN]):
        room -= 1 if letter.isprintable() else len("\\x00")
        if room < 0:
            return f"{problem[:at]}…{problem[-_SHOWN:]}"
    return problem


def short(value: Any, *, quoted: bool = True) -> str:
    """A value as it is told to people: of a long one its beginning."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, str):
        begun = value[:_SHOWN]
        return (repr(begun) if quoted else begun) + ("…" if len(value) > _SHOWN else "")
    shown = repr(value)
    return f"{shown[:_SHOWN]}…" if len(shown) > _SHOWN else shown


def read_score(value: Any, scale: Scale = OURS) -> float | None:
    """A hand score 0–10 from a number or its text on `scale`; `None` where there is none.

    Raises `NotTaken`.
    """
    text = value.strip() if isinstance(value, str) else value
    if text is None or (isinstance(text, str) and text.lower() in _NOTHING):
        return None
    low, high = scale
    try:
        number = _with_comma(text, scale) if isinstance(text, str) and "," in text else _plain(text)
    except (TypeError, ValueError, OverflowError):
        raise NotTaken(
            NO_NUMBER, f"{short(value)} is not a score; give a number from {low:g} to {high:g}."
        ) from None
    if isinstance(text, float) and math.isnan(text):
        return None
    if not low <= number <= high:  # also refuses NaN
        raise NotTaken(
            OUTSIDE,
            f"A score of {short(value, quoted=False)} is outside the scale; give a number from "
            f"{low:g} to {high:g}.",
        )
    # 0.57 of 1 is 5.7, whatever its last bits; and -0 is 0.
    return number + 0.0 if scale == OURS else round((number - low) / (high - low) * 10, 9)


def _plain(value: Any) -> float:
    """The number that it is; raises `ValueError` or `TypeError` for what Python alone takes as one.

    To Python 7_5 is 75 and True is 1.
    """
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError(value)
    return float(value)


def _with_comma(text: str, scale: Scale) -> float:
    """7,5 as half of the world writes it; raises `NotTaken` where 1,234 may be 1234 as well."""
    if _DECIMAL_COMMA.fullmatch(text) is None:
        raise ValueError(text)
    low, high = scale
    number = float(text.replace(",", "."))
    grouped = float(text.replace(",", "")) if _GROUPED.fullmatch(text) else math.nan
    if low <= number <= high and low <= grouped <= high:
        raise NotTaken(NO_NUMBER, f"{text!r} may be {number:g} or {grouped:g}; write it without ,.")
    return grouped if low <= grouped <= high else number


_CUT_NAME = re.compile(r"(.{50,})_[A-Za-z0-9]{7}(\.[^.]*)?")


def cut_name(name: str) -> tuple[str, str] | None:
    """Beginning and suffix of an uploaded file's name that was too long for the server.

    Django cuts names so that folder and name have 100 characters, and puts seven at random there.
    """
    found = _CUT_NAME.fullmatch(name)
    return (found[1], found[2] or "") if found else None


def utc_time(told: str | datetime) -> datetime:
    """A time in UTC, which is meant where no zone is told; raises `ValueError` for what is none.

    Near the first and last year a time of one zone may have none of another.
    """
    try:
        at = datetime.fromisoformat(told) if isinstance(told, str) else told
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{told} is beyond all times that are kept") from None


def uploaded_name(name: str) -> str:
    """What Label Studio, like every Django server, makes of the name of a file it is sent."""
    return _NOT_IN_UPLOADS.sub("", unicodedata.normalize("NFC", name).strip().replace(" ", "_"))
