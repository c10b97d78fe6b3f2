"""Run by Alembic on the connection that `db.store.migrate` hands in, inside its transaction."""

from __future__ import annotations

from alembic import context

from db.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
