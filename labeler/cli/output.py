"""Print results on standard output, progress and warnings on standard error."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from labeler.core.progress import Pace, Progress, silent
from labeler.core.scale import whole_percent
from labeler.core.text import printable

if TYPE_CHECKING:
    from tqdm import tqdm

MAX_ITEMS = 20


def print_result(text: str = "") -> None:
    """Print a line of the result."""
    click.echo(printable(text))


def print_message(text: str) -> None:
    """Print a line on standard error: a warning, a file that was left out."""
    click.echo(printable(text), err=True)


def print_json(document: Any) -> None:
    """Print the JSON document of a command; ASCII, so that any locale can print it."""
    click.echo(json.dumps(_json_value(document), indent=2, allow_nan=False))


def _json_value(value: Any) -> Any:
    """Return JSON values: times as ISO 8601, NaN as null."""
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_json_value(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return _json_value(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def percent(prediction: float) -> str:
    """Return `87%`, cut rather than rounded, so that what shows 50% passes a threshold of 0.5."""
    return f"{whole_percent(prediction)}%"


def first_items(items: Sequence[str], rest: str) -> Iterator[str]:
    """Yield the first of `items`, and the number of the others; `rest` says where to see them."""
    yield from items[:MAX_ITEMS]
    if len(items) > MAX_ITEMS:
        yield f"… and {len(items) - MAX_ITEMS} more; {rest}"


def print_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """Print each file that was left out, with its reason."""
    for path, reason in unreadable:
        print_message(f"{path}: {reason}")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show progress as a bar per phase, on standard error and only if that is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    bar = _ProgressBar()
    try:
        yield bar.show
    finally:
        bar.close()


class _ProgressBar:
    """A bar for each phase of the work."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._what = ""
        self._pace = Pace()

    def show(self, done: int, total: int, what: str) -> None:
        """Update the bar, or begin another for a new phase."""
        if self._bar is None or what != self._what:
            self.close()
            self._bar, self._what = _new_bar(self._pace, done, total, what), what
        self._pace.seen(done, what, time.monotonic())
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _new_bar(pace: Pace, done: int, total: int, what: str) -> tqdm:
    # Imported where they are used: it is needed for a bar alone; `labeler --help` imports click
    # alone.
    from tqdm import tqdm

    class Paced(tqdm):
        """Tells our rate, and by it the time left; a question mark until there is one."""

        @property
        def format_dict(self) -> dict[str, Any]:
            values = dict(super().format_dict)
            if self.total is None or self.n < self.total:
                values["rate"] = pace.rate or 0
            return values

    return Paced(
        total=total or None,
        desc=printable(what),
        initial=done,
        file=sys.stderr,
        dynamic_ncols=True,
    )
