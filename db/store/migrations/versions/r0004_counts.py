"""The store keeps count of its images, and indexes what the pages ask for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

IN = """INSERT INTO image_counts (source_id, state, hand_score, images, id_sum)
    VALUES (NEW.source_id, NEW.state, coalesce(NEW.hand_score, -1), 1, NEW.id)
    ON CONFLICT (source_id, state, hand_score)
    DO UPDATE SET images = images + 1, id_sum = id_sum + excluded.id_sum;"""
OUT = """UPDATE image_counts SET images = images - 1, id_sum = id_sum - OLD.id
    WHERE source_id = OLD.source_id AND state = OLD.state
    AND hand_score = coalesce(OLD.hand_score, -1);"""
TRIGGERS = (
    f"CREATE TRIGGER images_come AFTER INSERT ON images BEGIN {IN} END",
    f"CREATE TRIGGER images_go AFTER DELETE ON images BEGIN {OUT} END",
    f"""CREATE TRIGGER images_change AFTER UPDATE OF source_id, state, hand_score ON images
    WHEN NEW.source_id IS NOT OLD.source_id OR NEW.state IS NOT OLD.state
    OR NEW.hand_score IS NOT OLD.hand_score BEGIN {OUT} {IN} END""",
)


def upgrade() -> None:
    op.create_table(
        "image_counts",
        sa.Column("source_id", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("hand_score", sa.REAL, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("id_sum", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source_id", "state", "hand_score", name="pk_image_counts"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_image_counts_source_id"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO image_counts SELECT source_id, state, coalesce(hand_score, -1), count(*),"
        " sum(id) FROM images GROUP BY 1, 2, 3"
    )
    for trigger in TRIGGERS:
        op.execute(trigger)
    for name in ("ix_images_counts", "ix_images_waiting_by_source"):
        op.drop_index(name, "images")
    op.create_index(
        "ix_images_elsewhere", "images", ["state"], sqlite_where=sa.text("state != 'fine'")
    )
    op.create_index(
        "ix_hand_scores_typed",
        "hand_scores",
        ["at"],
        sqlite_where=sa.text("undone_at IS NULL AND why != 'import'"),
    )
    for name in ("scored_count", "batches"):
        column = sa.Column(name, sa.Integer, server_default=sa.text("0"), nullable=False)
        op.add_column("versions", column)
    op.execute(
        "UPDATE versions SET scored_count ="
        " (SELECT count(*) FROM version_scores WHERE version_id = versions.id)"
    )
    op.execute(
        "UPDATE versions SET batches = 1"
        " WHERE EXISTS (SELECT 1 FROM predictions WHERE version_id = versions.id)"
    )
