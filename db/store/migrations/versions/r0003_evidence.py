"""Which evidence dealt each card of a round."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("round_images", sa.Column("evidence", sa.Text))
