"""Exported datasets: which rows, which splits, into which folder, with a data card."""
