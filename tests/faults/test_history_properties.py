"""Any sequence of scoring, undoing, reviewing, importing and moving leaves what the rule says.

Protects the history of hand scores, the one thing that can't be made again: what counts follows
from it, counts and states agree with it, an event that comes again changes nothing, and undoing
leaves no trace in what counts. Many more sequences are tried in tests/torture.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.support.histories import Histories

TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=5,
    stateful_step_count=16,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
