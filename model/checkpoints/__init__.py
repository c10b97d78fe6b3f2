"""Weights in files of other programs, read without running anything in them.

Imports model.files.
"""
