"""Versions of the head: trained, adopted, made active, and what they predict for the collection.

May import `embedding/`, `collection/` and below.
"""
