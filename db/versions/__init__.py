"""Versions of the head, their predictions, and the rounds that they came from."""
