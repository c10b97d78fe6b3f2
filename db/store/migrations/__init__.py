"""Every change of the schema, in order; stores written before a change go through it when opened.

A change is a module in `versions/`, a new `HEAD` and what it leaves in `known.py`, and the tables
in `db/store/schema.py`; the tests hold these together.
"""
