"""Every change of the schema, in order; stores written before a change go through it when opened.

A change is a module in `versions/`, a new `HEAD` here, and the tables in `db/store/schema.py`; the
tests hold the three together.
"""

from __future__ import annotations

# Known without importing Alembic, so that opening an up-to-date store stays quick.
HEAD = "0005"
