"""Weights in files of other programs, read without running code."""
