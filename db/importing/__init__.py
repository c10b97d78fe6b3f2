"""Writing what an import found: files, embeddings, images that turn out to be one, and removals.

Imports db.versions, db.scores, db.images, db.store and the modules of db itself.
"""
