"""Embeddings of the images: computed, imported, cached, and searched for neighbours.

May import `core/`.
"""
