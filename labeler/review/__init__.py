"""Where the model is probably wrong: pages of cards, near-duplicates, what a score would change.

May import `versions/`, `scoring/` and below.
"""
