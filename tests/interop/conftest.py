"""What the exchanges share: the peers, the table of what changed, and the files that are kept.

With `--keep` what the peers wrote goes into tests/assets/peers, where the fast tests read it, and
the table into docs/interop.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.environments import CODE, NotHad, Peer
from tests.support.peer_files import ASSETS, PLACEHOLDER

Row = tuple[str, str, str, str]
ROWS = pytest.StashKey[list[Row]]()
HEADER: Row = ("with", "handed over", "came back", "what changed")
TABLE = CODE / "docs" / "interop.md"
MARK = "<!-- what the last run found -->\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep", action="store_true", help="Keep what the peers wrote, and the table")


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[Row]:
    return pytestconfig.stash.setdefault(ROWS, [])


@pytest.fixture
def note(rows: list[Row]) -> Callable[[str, str, str, str], None]:
    """Note a row of the table: with whom, what was handed over, what came back, what changed."""
    return lambda *cells: rows.append(cells)


@pytest.fixture(scope="session")
def peer(rows: list[Row]) -> Callable[..., Peer]:
    """The peer of a name, installed by the requirements given; skips where it can't be had."""

    def had(name: str, *requirements: str) -> Peer:
        try:
            return Peer(name, requirements)
        except NotHad as error:
            rows.append((name, "NOT RUN", "NOT RUN", str(error)))
            pytest.skip(f"{name} can't be installed: {error}")

    return had


@pytest.fixture
def keep(pytestconfig: pytest.Config) -> Callable[[Path, str, Path], None]:
    """Keep a file that a peer wrote under a name; in texts the root of this run becomes a word."""

    def kept(file: Path, name: str, root: Path) -> None:
        if not pytestconfig.getoption("--keep"):
            return
        to = ASSETS / name
        to.parent.mkdir(parents=True, exist_ok=True)
        held = file.read_bytes()
        if file.suffix in (".json", ".csv", ".txt"):
            plain = str(root).lstrip("/")
            for spelled in (plain, plain.replace("/", "\\/")):  # as some write it in JSON
                held = held.replace(spelled.encode(), PLACEHOLDER.encode())
        to.write_bytes(held)

    return kept


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash.get(ROWS, [])
    terminalreporter.section("exchanges")
    for line in _table(rows):
        terminalreporter.write_line(line)
    if config.getoption("--keep"):
        text, mark, before = TABLE.read_text(encoding="utf-8").partition(MARK)
        # Rows of peers that this run left out stay as they are.
        seen = {cells[0].split()[0] for cells in rows}
        others = [line for line in before.splitlines()[3:] if line.split()[1] not in seen]
        lines = [*_table([]), *sorted([*list(_table(rows))[2:], *others])]
        TABLE.write_text(text + mark + "\n".join(["", *lines, ""]), encoding="utf-8")


def _table(rows: list[Row]) -> Iterator[str]:
    for cells in (HEADER, ("---",) * len(HEADER), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
