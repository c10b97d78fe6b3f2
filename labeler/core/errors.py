"""The errors that a person can do something about: one sentence naming the thing and the next step.

The core raises them; the command line and the pages each catch `LabelerError` once, print its
sentence and carry on or exit. `model/` and `db/` raise their own small families
(`model.errors.ModelError`, `db.errors.StoreError`); the edges catch those the same way.
"""

from __future__ import annotations


class LabelerError(Exception):
    """Base of what the workflow raises; `str(error)` is the sentence shown to the person."""


class NoProject(LabelerError):
    """There is no project where one was looked for."""


class BadInput(LabelerError):
    """Something the person gave (a path, a score, a range, a file) can't be used as it is."""


class NotEnoughScores(LabelerError):
    """Training refused: the message says how many more of what are needed."""


class Stopped(LabelerError):
    """The person asked a long job to stop; what it had finished is kept."""
