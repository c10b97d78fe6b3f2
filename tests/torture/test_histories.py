"""Thousands of steps of scoring, undoing, reviewing, importing and moving, as in
tests/faults/test_history_properties.py, with the seed of the day.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.histories import Histories

EXAMPLES, STEPS = 150, 60


def test_any_history_leaves_what_the_rule_says(
    seed: int, figures: Callable[[str, str], None]
) -> None:
    steps = 0

    class Counted(Histories):
        def teardown(self) -> None:
            nonlocal steps
            steps += self.number
            super().teardown()

    _run(Counted, seed)
    figures(
        "histories: examples, events sent, none lost, none counted twice", f"{EXAMPLES}, {steps:,}"
    )


def _run(machine: type[Histories], number: int) -> None:
    seeded = seed(number)(machine)
    run_state_machine_as_test(
        seeded,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
