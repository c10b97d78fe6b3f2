"""Hand scores: what is shown next, what is taken, files of scores, agreement between scorers.

May import `collection/` and below.
"""
