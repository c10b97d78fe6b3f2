"""Hand scores: events, what counts, what is shown next, the random sample."""
