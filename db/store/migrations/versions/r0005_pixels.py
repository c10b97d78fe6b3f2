"""Images are known by their pixels, and by every content that turned out to show the same."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "image_pixels",
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.Column("pixel_hash", sa.Text, nullable=False),
        sa.Column("glimpse", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("image_id", name="pk_image_pixels"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_image_pixels_image_id"),
    )
    op.create_index("ix_image_pixels_pixel_hash", "image_pixels", ["pixel_hash"])
    op.create_table(
        "other_contents",
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("image_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name="pk_other_contents"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_other_contents_image_id"),
        sqlite_with_rowid=False,
    )
