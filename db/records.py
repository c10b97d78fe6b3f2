"""What the queries take and give: small frozen dataclasses and numpy arrays, never rows.

Hand scores are 0–10 and `None` where there is none; predictions are 0–1. Times are aware and UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

REVIEW_QUEUES = ("false-positive", "false-negative", "hand-score")
MISTAKES = "mistake"  # false positives and false negatives, dealt together
QUEUES = ("score", *REVIEW_QUEUES)
FOREIGN = "foreign"  # the recipe of a version that was made elsewhere
REASONS_TO_SCORE = (
    "first",
    "revision",
    "correction-false-positive",
    "correction-false-negative",
    "correction-hand-score",
    "confirmation",
    "import",
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where images come from; the expected hand scores (0–10) are both set or both `None`."""

    id: int
    name: str
    root: str | None
    expect_low: float | None
    expect_high: float | None


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many images (of every state) a source has, and how many of them have a hand score."""

    source: Source
    images: int
    scored: int


@dataclass(frozen=True, slots=True)
class Location:
    """One file of an image; `present` says whether it was there when last looked for."""

    path: str
    source_id: int
    source: str
    present: bool


@dataclass(frozen=True, slots=True)
class Image:
    """One picture, whatever number of files hold it.

    `state` is fine, unreadable (then `reason` says why) or missing (no file is left). `path` and
    `source` are those of its first present file, or of its first file when none is present.
    `fingerprint` is the unsigned 64-bit difference hash. A file of it may have other bytes than
    `content_hash` tells, as long as it has the same `pixel_hash` (None: never looked at).
    """

    id: int
    content_hash: str | None
    fingerprint: int | None
    format: str | None
    width: int | None
    height: int | None
    size_bytes: int
    state: str
    reason: str | None
    group: str | None
    hand_score: float | None
    source_id: int
    source: str
    path: str
    pixel_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Pixels:
    """What an image shows: equal hashes mean the same picture, near glimpses nearly the same."""

    pixel_hash: str
    glimpse: bytes


@dataclass(frozen=True, slots=True)
class KnownLocation:
    """What the last import saw at a path."""

    image_id: int
    mtime_ns: int
    size_bytes: int
    state: str
    content_hash: str | None
    pixel_hash: str | None


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file as the import found it; `reason` says why it can't be taken as an image.

    `content_hash` may be `None` only together with a `reason` (the file could not even be read).
    `same_as` is the image whose picture it shows, whatever its bytes; `instead_of` one that it
    takes over from, hand scores and all, since it is that picture turned.
    """

    path: str
    source_id: int
    mtime_ns: int
    size_bytes: int
    content_hash: str | None = None
    fingerprint: int | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    reason: str | None = None
    pixels: Pixels | None = None
    same_as: int | None = None
    instead_of: int | None = None


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """`outcome` is new, duplicate, moved, changed, rewritten, turned, known or unreadable.

    `former` is the content of whose small copies nothing is in need any more.
    """

    path: str
    outcome: str
    image_id: int
    former: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What a person did: score, confirm (a score that agrees with the model), skip, or undo.

    `event_id` is the client's own; sending it again changes nothing. `value` is 0–10. A score
    without `why` gets one when it is recorded: first or revision, and in a review queue a
    correction or, where it agrees with the prediction at `shown_threshold` (0–1) or with the hand
    score, a confirmation. `queue` is the one that the image was shown in; a score or skip with a
    review queue counts for the open round of `shown_version`. `draw` marks a
    score of an image that was shown because it was next in the random order, `repeat` one of an
    image that was shown once more without the score that the same person gave it before; with a
    prediction on the screen it is none. `at_least` and `below` (0–10) are the bounds of a score of
    which no number was said: at_least <= score < below, None where that side is open; `value` lies
    between them. `shown_hash` is the content of the picture on the screen: an image of other
    content gets no score or skip by it. A score with `undone_at` was taken back already where it
    comes from.
    """

    event_id: str
    kind: str
    image_id: int
    at: datetime
    value: float | None = None
    why: str | None = None
    queue: str | None = None
    scorer: str | None = None
    shown_prediction: float | None = None  # 0–1
    shown_threshold: float | None = None  # 0–1
    shown_version: str | None = None
    shown_hash: str | None = None
    undoes: str | None = None
    draw: bool = False
    repeat: bool = False
    undone_at: datetime | None = None
    at_least: float | None = None
    below: float | None = None

    @property
    def is_interval(self) -> bool:
        """Return whether it says between which bounds the score lies, and no number."""
        return self.at_least is not None or self.below is not None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event: `accepted` ones may be forgotten by the sender.

    `problem` says why one was not accepted; sending it again unchanged won't help. Of what was
    taken now, `before` is the hand score that its image had until then, and `after` the one that
    it has when all events that came with it are taken: the sender may not know of others' acts.
    """

    event_id: str
    accepted: bool
    repeated: bool = False
    problem: str | None = None
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True, slots=True)
class HandScore:
    """One row of an image's history; it counts unless `undone_at` is set.

    Of a confirmation no number was said, only at_least <= score < below (0–10, None where that side
    is open); `value` is then the number that is shown for it. Both are None for a typed score.
    """

    id: int
    event_id: str
    image_id: int
    value: float
    why: str
    scorer: str | None
    at: datetime
    shown_prediction: float | None
    shown_version: str | None
    round_id: int | None
    undone_at: datetime | None
    queue: str | None = None
    at_least: float | None = None
    below: float | None = None

    @property
    def is_interval(self) -> bool:
        return self.at_least is not None or self.below is not None


@dataclass(frozen=True, slots=True)
class Tempo:
    """Scores typed today and in the last hour; `per_minute` in the current sitting, if in one."""

    today: int
    last_hour: int
    per_minute: float | None


@dataclass(frozen=True, slots=True)
class EncoderRecord:
    """Identity, width and preprocessing of an encoder whose embeddings are kept."""

    id: int
    identity: str
    width: int
    normalised: bool
    preprocessing: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions of one version, row by row with their image ids.

    `scores` 0–1; `exceed` (n, 10) holds P(hand score >= k) for k = 1..10, rows of NaN where an
    image has none, `None` where no image has; `folds` only for out-of-fold predictions.
    """

    image_ids: np.ndarray  # (n,) int64
    scores: np.ndarray  # (n,) float32
    exceed: np.ndarray | None = None  # (n, 10) float32
    folds: np.ndarray | None = None  # (n,) int64

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass(frozen=True, slots=True, eq=False)
class NewVersion:
    """A trained version before it is kept; `parent` is a version's name, `encoder` an identity.

    `scored_ids` (n,) and `scored_values` (n,) 0–10 are the exact hand scores it was trained on.
    """

    name: str
    parent: str | None
    encoder: str
    recipe: str
    threshold: float
    file: str
    scored_ids: np.ndarray
    scored_values: np.ndarray
    out_of_fold: Predictions | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    curve: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Version:
    """A kept version; `scored_count` hand scores went into its training.

    One that was made elsewhere (`is_foreign`) has seen none of them.
    """

    id: int
    name: str
    parent: str | None
    encoder: str
    recipe: str
    settings: dict[str, Any]
    threshold: float
    note: str
    metrics: dict[str, Any]
    curve: list[Any]
    file: str
    active: bool
    created_at: datetime
    scored_count: int

    @property
    def is_foreign(self) -> bool:
        return self.recipe == FOREIGN


@dataclass(frozen=True, slots=True)
class Run:
    """A background job; `state` is active, done, failed or stopped, `version` what came of it."""

    id: int
    kind: str
    state: str
    params: dict[str, Any]
    pid: int | None
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None
    done: int
    total: int
    what: str
    curve: list[Any]
    message: str | None
    stop_requested: bool
    version: str | None


@dataclass(frozen=True, slots=True)
class Round:
    """One pass of reviewing a version's predictions, with how many cards came to what."""

    id: int
    from_version: str
    to_version: str | None
    threshold: float
    started_at: datetime
    finished_at: datetime | None
    shown: int
    corrected: int
    confirmed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class QueueOutcome:
    """What became of a round's cards of one queue."""

    round_id: int
    queue: str
    shown: int
    corrected: int
    confirmed: int
    skipped: int


@dataclass(frozen=True, slots=True, eq=False)
class RandomSample:
    """The fine images with a hand score in the order in which they were first scored.

    `drawn` ones were drawn at random from what had no score by then. In the part of the random
    order that has been gone through `waiting` images have no hand score yet (imported since), and
    the `skipped` ones were passed over, the last time at `skipped_at`.
    """

    image_ids: np.ndarray  # (n,) int64
    values: np.ndarray  # (n,) float64, 0–10
    drawn: np.ndarray  # (n,) bool
    keys: np.ndarray  # (n,) int64, their places in the random order
    waiting: int
    skipped: np.ndarray  # (s,) int64, ids, rising
    skipped_at: list[datetime]
