"""Queries about images: their files, sources, states, counts, tags and embeddings.

Imports db.store and the modules of db itself.
"""
