"""Which hand scores were given to an image that was shown once more, unannounced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "repeats",
        sa.Column("hand_score_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("hand_score_id", name="pk_repeats"),
        sa.ForeignKeyConstraint(
            ["hand_score_id"], ["hand_scores.id"], name="fk_repeats_hand_score_id"
        ),
    )
