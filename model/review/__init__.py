"""What a person should look at first: suspicion of a score or prediction, choice of a queue.

Imports model.estimators.
"""
