"""Protects what is foretold of long work: the time left is the true one, whatever came before.

The clock is made up: work of known speed is played, and what is foretold compared with what comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

import pytest

from labeler.cli.output import _new_bar
from labeler.core.progress import Pace

Moment = tuple[float, int]  # seconds, units done


def batches(seconds: Iterable[float], units: int, done: int = 0) -> Iterator[Moment]:
    """`units` more after each of `seconds`."""
    for number, at in enumerate(accumulate(seconds), 1):
        yield at, done + number * units


def played(moments: Iterable[Moment], until: float, phase: str = "embedding") -> Pace:
    pace = Pace()
    for at, done in moments:
        if at <= until:
            pace.seen(done, phase, at)
    return pace


def right(pace: Pace, at: float, moments: list[Moment]) -> bool:
    """Whether the time left is within a tenth of what it turns out to be, or 0.3 seconds."""
    end, total = moments[-1]
    return pace.left(total) == pytest.approx(end - at, rel=0.1, abs=0.3)


@pytest.mark.parametrize("at", [5.0, 10.0, 19.0])
def test_a_million_predictions(at: float) -> None:
    moments = [(0.0, 0), *batches([8192 / 50_000] * 123, 8192)]
    assert right(played(moments, at), at, moments)


@pytest.mark.parametrize("at", [36.0, 60.0, 500.0, 1000.0])
def test_the_first_batch_has_a_model_to_read(at: float) -> None:
    moments = [(0.0, 0), *batches([30.0] + [0.16] * 6249, 16)]
    assert right(played(moments, at), at, moments)


def test_going_on_from_half_way_counts_only_what_is_done_now() -> None:
    moments = [(0.0, 60_000), *batches([0.2] * 2500, 16, done=60_000)]
    assert right(played(moments, 20), 20, moments)


def test_rare_batches_are_told_from_the_second_on() -> None:
    moments = [(0.0, 0), *batches([10.0] * 100, 16)]
    assert played(moments, 12).left(1600) is None
    assert right(played(moments, 20), 20, moments)
    between = played(moments, 100)
    between.seen(160, "embedding", 107)  # looked at between two batches: time has passed
    assert right(between, 107, moments)


def test_a_slower_phase_is_not_told_by_the_quicker_one() -> None:
    pace = played(batches([0.01] * 1000, 50), 10, "importing")
    assert pace.rate == pytest.approx(5000, rel=0.1)
    pace.seen(0, "embedding", 10.1)
    assert pace.rate is None
    later = [(10.1 + at, done) for at, done in batches([0.5] * 1000, 16)]
    for at, done in later:
        if at <= 60:
            pace.seen(done, "embedding", at)
    assert right(pace, 60, later)


def test_work_that_slows_down_is_told_so() -> None:
    moments = [(0.0, 0), *batches([0.1] * 3000 + [0.4] * 3000, 16)]
    at = 300.0 + 90  # a minute and a half at a quarter of the speed
    assert right(played(moments, at), at, moments)


def test_work_that_stands_still_gets_no_nearer() -> None:
    pace = played(batches([1.0] * 30, 10), 30)
    before = pace.left(1000)
    pace.seen(300, "embedding", 60)
    assert before is not None
    assert (pace.left(1000) or 0) > 1.5 * before


def test_nothing_is_foretold_too_soon() -> None:
    assert Pace().left(100) is None
    assert played(batches([0.1] * 10, 5), 1).left(1000) is None


def test_the_bar_of_a_command_tells_the_same() -> None:
    pace = played([(0.0, 60_000), *batches([0.2] * 100, 16, done=60_000)], 20)
    bar = _new_bar(pace, 60_000, 100_000, "embedding")
    try:
        assert bar.format_dict["rate"] == pytest.approx(80)
        assert bar.format_dict["initial"] == 60_000
    finally:
        bar.close()
