"""Figures and their intervals: metrics, bootstrap, proportions, audits, slices, agreement."""
