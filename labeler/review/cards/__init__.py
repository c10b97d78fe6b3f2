"""A page of review cards: which images of a queue are on it, and what each card says."""
