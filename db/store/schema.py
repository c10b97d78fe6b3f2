"""The tables. What is here and what the migrations make must agree (a test compares them)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    DDL,
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.records import QUEUES, REASONS_TO_SCORE, REVIEW_QUEUES
from db.store.column_types import (
    LONGEST_MENDED,
    Blob,
    BoundedBigInteger,
    BoundedInteger,
    BoundedReal,
    BoundedText,
    Checked,
    Choice,
    FileNameText,
    FilePath,
    JsonDocument,
    Sha256Hex,
    StrictBoolean,
    UnsignedBigInteger,
    UtcTime,
)
from db.store.json_values import are_figures, is_curve, is_preprocessing, is_setting_up

# Partial indexes serve only queries that spell the very same condition, without parameters.
WAITING = "hand_score IS NULL AND state = 'fine'"
ELSEWHERE = "state != 'fine'"
_LONGEST_SIDE = 1 << 31  # pixels
_WIDEST = 1_000_000  # values of an embedding
TYPED = "undone_at IS NULL AND why != 'import'"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it)
        datetime: UtcTime,
        float: BoundedReal,
        str: BoundedText,
        bytes: Blob,
        int: BoundedInteger,
        bool: StrictBoolean,
    }


class SettingRow(Base):
    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class SourceRow(Base):
    __tablename__ = "sources"
    __table_args__ = (
        CheckConstraint("(expect_low IS NULL) = (expect_high IS NULL)", name="expect_both"),
        CheckConstraint("0 <= expect_low AND expect_high <= 10", name="expect_range"),
        CheckConstraint("expect_low <= expect_high", name="expect_order"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(FileNameText, unique=True)
    root: Mapped[str | None] = mapped_column(FilePath)
    expect_low: Mapped[float | None] = mapped_column(BoundedReal(0, 10))
    expect_high: Mapped[float | None] = mapped_column(BoundedReal(0, 10))
    created_at: Mapped[datetime]


class ImageRow(Base):
    """`hand_score` repeats what db/scores/aggregation.py makes of the rows of `hand_scores` that
    are not undone, `source_id` the source of the first present location: both change only together
    with those."""

    __tablename__ = "images"
    __table_args__ = (
        CheckConstraint("state IN ('fine', 'unreadable', 'missing')", name="state"),
        CheckConstraint("hand_score BETWEEN 0 AND 10", name="hand_score"),
        Index("ix_images_scored", "hand_score", sqlite_where=text("hand_score IS NOT NULL")),
        Index("ix_images_waiting_shuffled", "shuffle", sqlite_where=text(WAITING)),
        Index(
            "ix_images_waiting_by_source_shuffled",
            "source_id",
            "shuffle",
            sqlite_where=text(WAITING),
        ),
        Index("ix_images_elsewhere", "state", sqlite_where=text(ELSEWHERE)),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    content_hash: Mapped[str | None] = mapped_column(Sha256Hex(lenient=True), unique=True)
    fingerprint: Mapped[int | None] = mapped_column(UnsignedBigInteger(lenient=True))
    format: Mapped[str | None] = mapped_column(BoundedText(lenient=True))
    width: Mapped[int | None] = mapped_column(BoundedInteger(0, _LONGEST_SIDE, lenient=True))
    height: Mapped[int | None] = mapped_column(BoundedInteger(0, _LONGEST_SIDE, lenient=True))
    size_bytes: Mapped[int] = mapped_column(BoundedBigInteger(0))
    state: Mapped[str] = mapped_column(Choice("fine", "unreadable", "missing"))
    reason: Mapped[str | None] = mapped_column(FileNameText)
    group_name: Mapped[str | None] = mapped_column(FileNameText)
    hand_score: Mapped[float | None] = mapped_column(BoundedReal(0, 10))
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    # Drawn once per image: ordering by it is a random order that an index serves.
    shuffle: Mapped[int]
    created_at: Mapped[datetime]


class ImageCountRow(Base):
    """How many images are alike in these, -1 standing for no hand score, and the sum of their ids.

    The store itself keeps count, by the triggers below: counting a million images takes too long
    for what every page shows.
    """

    __tablename__ = "image_counts"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 (SQLAlchemy reads it)

    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"), primary_key=True)
    state: Mapped[str] = mapped_column(primary_key=True)
    hand_score: Mapped[float] = mapped_column(BoundedReal(-1, 10), primary_key=True)
    images: Mapped[int]
    id_sum: Mapped[int] = mapped_column(BoundedBigInteger)


_COUNT_IN = """INSERT INTO image_counts (source_id, state, hand_score, images, id_sum)
    VALUES (NEW.source_id, NEW.state, coalesce(NEW.hand_score, -1), 1, NEW.id)
    ON CONFLICT (source_id, state, hand_score)
    DO UPDATE SET images = images + 1, id_sum = id_sum + excluded.id_sum;"""
_COUNT_OUT = """UPDATE image_counts SET images = images - 1, id_sum = id_sum - OLD.id
    WHERE source_id = OLD.source_id AND state = OLD.state
    AND hand_score = coalesce(OLD.hand_score, -1);"""
for _trigger in (
    f"CREATE TRIGGER images_come AFTER INSERT ON images BEGIN {_COUNT_IN} END",
    f"CREATE TRIGGER images_go AFTER DELETE ON images BEGIN {_COUNT_OUT} END",
    f"""CREATE TRIGGER images_change AFTER UPDATE OF source_id, state, hand_score ON images
    WHEN NEW.source_id IS NOT OLD.source_id OR NEW.state IS NOT OLD.state
    OR NEW.hand_score IS NOT OLD.hand_score BEGIN {_COUNT_OUT} {_COUNT_IN} END""",
):
    event.listen(ImageRow.__table__, "after_create", DDL(_trigger))


class PixelsRow(Base):
    """What an image shows, by which its files are recognised once their bytes are others.

    An image that was imported before there was this has no row until a file of it is read again.
    """

    __tablename__ = "image_pixels"

    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    pixel_hash: Mapped[str] = mapped_column(index=True)
    glimpse: Mapped[bytes]


class OtherContentRow(Base):
    """A content, other than its image's own, that was found to show the same picture."""

    __tablename__ = "other_contents"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 (SQLAlchemy reads it)

    content_hash: Mapped[str] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"))


class ImageTagRow(Base):
    """`origin` says who gave the tag: a text file beside the image, or a table of tags."""

    __tablename__ = "image_tags"
    __table_args__ = (
        CheckConstraint("origin IN ('beside', 'table')", name="origin"),
        {"sqlite_with_rowid": False},
    )

    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    origin: Mapped[str] = mapped_column(Choice("beside", "table"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True, index=True)


class LocationRow(Base):
    """A file that holds an image, or (not `present`) held it: a path holds one image at a time."""

    __tablename__ = "locations"
    __table_args__ = (
        UniqueConstraint("path", "image_id"),
        Index("ix_locations_present", "path", unique=True, sqlite_where=text("present = 1")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), index=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    path: Mapped[str] = mapped_column(FilePath)
    mtime_ns: Mapped[int] = mapped_column(BoundedBigInteger)
    size_bytes: Mapped[int] = mapped_column(BoundedBigInteger(0))
    present: Mapped[bool]


class HandScoreRow(Base):
    __tablename__ = "hand_scores"
    __table_args__ = (
        CheckConstraint("value BETWEEN 0 AND 10", name="value"),
        CheckConstraint(
            "why IN ('first', 'revision', 'correction-false-positive', "
            "'correction-false-negative', 'correction-hand-score', 'confirmation', 'import')",
            name="why",
        ),
        CheckConstraint(
            "queue IN ('score', 'false-positive', 'false-negative', 'hand-score')", name="queue"
        ),
        Index("ix_hand_scores_typed", "at", sqlite_where=text(TYPED)),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(unique=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), index=True)
    value: Mapped[float] = mapped_column(BoundedReal(0, 10))
    why: Mapped[str] = mapped_column(Choice(*REASONS_TO_SCORE))
    scorer: Mapped[str | None] = mapped_column(BoundedText(LONGEST_MENDED))
    at: Mapped[datetime] = mapped_column(index=True)
    shown_prediction: Mapped[float | None]
    shown_version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))
    round_id: Mapped[int | None] = mapped_column(ForeignKey("rounds.id"))
    queue: Mapped[str | None] = mapped_column(Choice(*QUEUES))
    undone_at: Mapped[datetime | None]


class DrawRow(Base):
    """A hand score whose image was shown because it was next in the random order."""

    __tablename__ = "draws"

    hand_score_id: Mapped[int] = mapped_column(ForeignKey("hand_scores.id"), primary_key=True)


class RepeatRow(Base):
    """A hand score whose image was shown once more, without what the same person gave it before and
    without a prediction."""

    __tablename__ = "repeats"

    hand_score_id: Mapped[int] = mapped_column(ForeignKey("hand_scores.id"), primary_key=True)


class ConfirmationRow(Base):
    """A hand score of which no number was said: it is at least `at_least` and less than `below`.

    NULL where that side is open, up to 0 or 10. `hand_scores.value`, between them, is the number
    that is shown for it.
    """

    __tablename__ = "confirmations"
    __table_args__ = (
        CheckConstraint("at_least IS NOT NULL OR below IS NOT NULL", name="bounded"),
        CheckConstraint("at_least BETWEEN 0 AND 10", name="at_least"),
        CheckConstraint("below BETWEEN 0 AND 10", name="below"),
        CheckConstraint("at_least < below", name="order"),
    )

    hand_score_id: Mapped[int] = mapped_column(ForeignKey("hand_scores.id"), primary_key=True)
    at_least: Mapped[float | None] = mapped_column(BoundedReal(0, 10))
    below: Mapped[float | None] = mapped_column(BoundedReal(0, 10))


class SkipRow(Base):
    __tablename__ = "skips"
    __table_args__ = (
        CheckConstraint(
            "queue IN ('score', 'false-positive', 'false-negative', 'hand-score')", name="queue"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(unique=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), index=True)
    queue: Mapped[str] = mapped_column(Choice(*QUEUES))
    at: Mapped[datetime]
    round_id: Mapped[int | None] = mapped_column(ForeignKey("rounds.id"))
    undone_at: Mapped[datetime | None]


class EncoderRow(Base):
    __tablename__ = "encoders"

    id: Mapped[int] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(unique=True)
    width: Mapped[int] = mapped_column(BoundedInteger(1, _WIDEST))
    normalised: Mapped[bool]
    preprocessing: Mapped[dict[str, Any]] = mapped_column(JsonDocument(dict, is_preprocessing))
    created_at: Mapped[datetime]


class EmbeddingRow(Base):
    """`vector` is the raw embedding, float32 little-endian, of the encoder's width."""

    __tablename__ = "embeddings"
    __table_args__ = (UniqueConstraint("encoder_id", "image_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoders.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"))
    vector: Mapped[bytes]


class VersionRow(Base):
    __tablename__ = "versions"
    __table_args__ = (
        Index("ix_versions_active", "active", unique=True, sqlite_where=text("active = 1")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoders.id"))
    recipe: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JsonDocument(dict, is_setting_up))
    threshold: Mapped[float] = mapped_column(BoundedReal(0, 1))
    note: Mapped[str] = mapped_column(FileNameText)
    metrics: Mapped[dict[str, Any]] = mapped_column(JsonDocument(dict, are_figures))
    curve: Mapped[list[Any]] = mapped_column(JsonDocument(list, is_curve))
    file: Mapped[str]
    active: Mapped[bool]
    created_at: Mapped[datetime]
    scored_count: Mapped[int] = mapped_column(server_default=text("0"))
    # How often predictions of it were kept: whoever has read them knows when there are others.
    batches: Mapped[int] = mapped_column(server_default=text("0"))


class VersionScoreRow(Base):
    """The hand scores (0–10) that a version was trained on."""

    __tablename__ = "version_scores"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 (SQLAlchemy reads it)

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    value: Mapped[float]


class PredictionRow(Base):
    """`exceed` is float16 little-endian [10]: P(hand score >= k) for k = 1..10."""

    __tablename__ = "predictions"
    __table_args__ = (Index(None, "version_id", "score"), {"sqlite_with_rowid": False})

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    score: Mapped[float]
    exceed: Mapped[bytes | None]


class OutOfFoldRow(Base):
    __tablename__ = "out_of_fold"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 (SQLAlchemy reads it)

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    score: Mapped[float]
    exceed: Mapped[bytes | None]
    fold: Mapped[int]


class RunRow(Base):
    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'done', 'failed', 'stopped')", name="state"),
        Index("ix_runs_active", "kind", unique=True, sqlite_where=text("state = 'active'")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(Choice("active", "done", "failed", "stopped"))
    params: Mapped[dict[str, Any]] = mapped_column(JsonDocument)
    pid: Mapped[int | None]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    done: Mapped[int]
    total: Mapped[int]
    what: Mapped[str] = mapped_column(FileNameText)
    curve: Mapped[list[Any]] = mapped_column(JsonDocument(list, is_curve))
    message: Mapped[str | None] = mapped_column(FileNameText)
    stop_requested: Mapped[bool]
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))


class RoundRow(Base):
    __tablename__ = "rounds"
    __table_args__ = (
        Index(
            "ix_rounds_open",
            "from_version_id",
            unique=True,
            sqlite_where=text("finished_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    from_version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    to_version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))
    threshold: Mapped[float] = mapped_column(BoundedReal(0, 1))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class RoundImageRow(Base):
    __tablename__ = "round_images"
    __table_args__ = (
        CheckConstraint(
            "queue IN ('false-positive', 'false-negative', 'hand-score')", name="queue"
        ),
        CheckConstraint("outcome IN ('corrected', 'confirmed', 'skipped')", name="outcome"),
        {"sqlite_with_rowid": False},
    )

    round_id: Mapped[int] = mapped_column(ForeignKey("rounds.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    queue: Mapped[str] = mapped_column(Choice(*REVIEW_QUEUES), primary_key=True)
    prediction: Mapped[float | None]
    shown_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(Choice("corrected", "confirmed", "skipped"))
    evidence: Mapped[str | None]


for _table in Base.metadata.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, Checked):
            _column.type = _column.type.copy()  # else one serves several columns
            _column.type.place = f"{_table.name}.{_column.name}"
