"""The queues of a review: which images are suspected, and of what."""
