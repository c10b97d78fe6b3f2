"""Care of a project: backup, restore, doctor, recovery of damaged stores.

May import `versions/`, `embedding/`, `collection/` and below.
"""
