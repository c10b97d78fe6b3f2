"""The first schema.

There is no way down: a store is copied before it is changed, and the copy is the way back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

QUEUES = "queue IN ('score', 'false-positive', 'false-negative', 'hand-score')"
WAITING = sa.text("hand_score IS NULL AND state = 'fine'")


def upgrade() -> None:
    _settings_and_images()
    _encoders_and_versions()
    _rounds_and_scores()
    _per_version()
    _runs()


def _settings_and_images() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("root", sa.Text),
        sa.Column("expect_low", sa.REAL),
        sa.Column("expect_high", sa.REAL),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.CheckConstraint(
            "(expect_low IS NULL) = (expect_high IS NULL)", name=op.f("ck_sources_expect_both")
        ),
        sa.CheckConstraint(
            "0 <= expect_low AND expect_high <= 10", name=op.f("ck_sources_expect_range")
        ),
        sa.CheckConstraint("expect_low <= expect_high", name=op.f("ck_sources_expect_order")),
        sa.UniqueConstraint("name", name="uq_sources_name"),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.Text),
        sa.Column("fingerprint", sa.BigInteger),
        sa.Column("format", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("group_name", sa.Text),
        sa.Column("hand_score", sa.REAL),
        sa.Column("source_id", sa.Integer, nullable=False),
        sa.Column("shuffle", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.CheckConstraint(
            "state IN ('fine', 'unreadable', 'missing')", name=op.f("ck_images_state")
        ),
        sa.CheckConstraint("hand_score BETWEEN 0 AND 10", name=op.f("ck_images_hand_score")),
        sa.UniqueConstraint("content_hash", name="uq_images_content_hash"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_images_source_id"),
    )
    op.create_index(
        "ix_images_scored",
        "images",
        ["hand_score"],
        sqlite_where=sa.text("hand_score IS NOT NULL"),
    )
    op.create_index("ix_images_waiting_shuffled", "images", ["shuffle"], sqlite_where=WAITING)
    op.create_index("ix_images_waiting_by_source", "images", ["source_id"], sqlite_where=WAITING)
    op.create_index(
        "ix_images_waiting_by_source_shuffled",
        "images",
        ["source_id", "shuffle"],
        sqlite_where=WAITING,
    )
    op.create_index("ix_images_counts", "images", ["source_id", "state", "hand_score"])
    op.create_table(
        "locations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("source_id", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("present", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_locations"),
        sa.UniqueConstraint("path", "image_id", name="uq_locations_path_image_id"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_locations_image_id"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_locations_source_id"),
    )
    op.create_index(
        "ix_locations_present",
        "locations",
        ["path"],
        unique=True,
        sqlite_where=sa.text("present = 1"),
    )
    op.create_index("ix_locations_image_id", "locations", ["image_id"])


def _encoders_and_versions() -> None:
    op.create_table(
        "encoders",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("normalised", sa.Boolean, nullable=False),
        sa.Column("preprocessing", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_encoders"),
        sa.UniqueConstraint("identity", name="uq_encoders_identity"),
    )
    op.create_table(
        "embeddings",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("encoder_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_embeddings"),
        sa.UniqueConstraint("encoder_id", "image_id", name="uq_embeddings_encoder_id_image_id"),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoders.id"], name="fk_embeddings_encoder_id"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_embeddings_image_id"),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Integer),
        sa.Column("encoder_id", sa.Integer, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("threshold", sa.REAL, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("name", name="uq_versions_name"),
        sa.ForeignKeyConstraint(["parent_id"], ["versions.id"], name="fk_versions_parent_id"),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoders.id"], name="fk_versions_encoder_id"),
    )
    op.create_index(
        "ix_versions_active",
        "versions",
        ["active"],
        unique=True,
        sqlite_where=sa.text("active = 1"),
    )


def _rounds_and_scores() -> None:
    op.create_table(
        "rounds",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("from_version_id", sa.Integer, nullable=False),
        sa.Column("to_version_id", sa.Integer),
        sa.Column("threshold", sa.REAL, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_rounds"),
        sa.ForeignKeyConstraint(
            ["from_version_id"], ["versions.id"], name="fk_rounds_from_version_id"
        ),
        sa.ForeignKeyConstraint(["to_version_id"], ["versions.id"], name="fk_rounds_to_version_id"),
    )
    op.create_index(
        "ix_rounds_open",
        "rounds",
        ["from_version_id"],
        unique=True,
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "round_images",
        sa.Column("round_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("prediction", sa.REAL),
        sa.Column("shown_at", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.PrimaryKeyConstraint("round_id", "image_id", "queue", name="pk_round_images"),
        sa.CheckConstraint(
            "queue IN ('false-positive', 'false-negative', 'hand-score')",
            name=op.f("ck_round_images_queue"),
        ),
        sa.CheckConstraint(
            "outcome IN ('corrected', 'confirmed', 'skipped')", name=op.f("ck_round_images_outcome")
        ),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name="fk_round_images_round_id"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_round_images_image_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hand_scores",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("value", sa.REAL, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("scorer", sa.Text),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("shown_prediction", sa.REAL),
        sa.Column("shown_version_id", sa.Integer),
        sa.Column("round_id", sa.Integer),
        sa.Column("queue", sa.Text),
        sa.Column("undone_at", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_hand_scores"),
        sa.CheckConstraint("value BETWEEN 0 AND 10", name=op.f("ck_hand_scores_value")),
        sa.CheckConstraint(
            "why IN ('first', 'revision', 'correction-false-positive', "
            "'correction-false-negative', 'correction-hand-score', 'confirmation', 'import')",
            name=op.f("ck_hand_scores_why"),
        ),
        sa.CheckConstraint(QUEUES, name=op.f("ck_hand_scores_queue")),
        sa.UniqueConstraint("event_id", name="uq_hand_scores_event_id"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_hand_scores_image_id"),
        sa.ForeignKeyConstraint(
            ["shown_version_id"], ["versions.id"], name="fk_hand_scores_shown_version_id"
        ),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name="fk_hand_scores_round_id"),
    )
    op.create_index("ix_hand_scores_image_id", "hand_scores", ["image_id"])
    op.create_index("ix_hand_scores_at", "hand_scores", ["at"])
    op.create_table(
        "skips",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("round_id", sa.Integer),
        sa.Column("undone_at", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_skips"),
        sa.CheckConstraint(QUEUES, name=op.f("ck_skips_queue")),
        sa.UniqueConstraint("event_id", name="uq_skips_event_id"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_skips_image_id"),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name="fk_skips_round_id"),
    )
    op.create_index("ix_skips_image_id", "skips", ["image_id"])


def _per_version() -> None:
    op.create_table(
        "version_scores",
        sa.Column("version_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("value", sa.REAL, nullable=False),
        *_version_and_image("version_scores"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "predictions",
        sa.Column("version_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("score", sa.REAL, nullable=False),
        sa.Column("exceed", sa.LargeBinary),
        *_version_and_image("predictions"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_predictions_version_id_score", "predictions", ["version_id", "score"])
    op.create_table(
        "out_of_fold",
        sa.Column("version_id", sa.Integer, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("score", sa.REAL, nullable=False),
        sa.Column("exceed", sa.LargeBinary),
        sa.Column("fold", sa.Integer, nullable=False),
        *_version_and_image("out_of_fold"),
        sqlite_with_rowid=False,
    )


def _version_and_image(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.PrimaryKeyConstraint("version_id", "image_id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=f"fk_{table}_version_id"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=f"fk_{table}_image_id"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("heartbeat_at", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Text),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("stop_requested", sa.Boolean, nullable=False),
        sa.Column("version_id", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.CheckConstraint(
            "state IN ('active', 'done', 'failed', 'stopped')", name=op.f("ck_runs_state")
        ),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_runs_version_id"),
    )
    op.create_index(
        "ix_runs_active",
        "runs",
        ["kind"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
    )
