"""A version applied to files and embeddings outside the collection: filter, sort, copy, sidecars.

May import `versions/`, `embedding/` and below.
"""
