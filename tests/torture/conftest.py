"""What the heavy tests share: their seed, a real browser, and the table of figures at the end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.support.browsers import browser, page, serve  # noqa: F401 (fixtures)

FIGURES = pytest.StashKey[list[tuple[str, str]]]()
SEED = "LABELER_TORTURE_SEED"


@pytest.fixture
def seed() -> int:
    """Of everything random in a test; another can be given to try what the usual one did not."""
    return int(os.environ.get(SEED, "20261123"))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Note a figure by its name, for the table that is printed in the end."""
    noted = request.config.stash.setdefault(FIGURES, [])
    return lambda name, figure: noted.append((name, figure))


def pytest_report_header() -> str:
    return f"seed: {os.environ.get(SEED, 'the usual one')} ({SEED})"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    noted = config.stash.get(FIGURES, [])
    if noted:
        terminalreporter.section("figures")
    for name, figure in noted:
        terminalreporter.write_line(f"| {name} | {figure} |")
