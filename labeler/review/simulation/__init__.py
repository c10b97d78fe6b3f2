"""A review played on scores that exist already, to measure whether reviewing helps."""
