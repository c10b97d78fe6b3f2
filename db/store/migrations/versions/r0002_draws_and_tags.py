"""Which hand scores were random draws, and the tags of images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "draws",
        sa.Column("hand_score_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("hand_score_id", name="pk_draws"),
        sa.ForeignKeyConstraint(
            ["hand_score_id"], ["hand_scores.id"], name="fk_draws_hand_score_id"
        ),
    )
    op.create_table(
        "image_tags",
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("tag", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("image_id", "origin", "tag", name="pk_image_tags"),
        sa.CheckConstraint("origin IN ('beside', 'table')", name=op.f("ck_image_tags_origin")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_image_tags_image_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_tags_tag", "image_tags", ["tag"])
