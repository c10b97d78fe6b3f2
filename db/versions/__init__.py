"""Trained versions, what they predict, and the rounds in which their predictions are reviewed.

Imports db.scores, db.images, db.store and the modules of db itself.
"""
