"""Open stores whose files are copied, replaced, overwritten and removed at any moment.

What is acknowledged after an exchange must be in the store that lies there, and no store is broken
by it without a word. A copy of the folder is whole, or is told from a whole one by its numbers or
its check; a moment after the last score it is always whole, also the file alone.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from db.store.commit_numbers import log_of
from tests.support.exchanges import (
    FEWER,
    NAME,
    WAYS,
    WHOLE,
    copy_while,
    make_store,
    play,
    start_writer,
    state_of_copy,
)

ROUNDS, COPIES, QUIET = 8, 60, 10
Figures = Callable[[str, str], None]


@pytest.mark.parametrize("way", WAYS)
def test_exchanges(tmp_path: Path, seed: int, way: str, figures: Figures) -> None:
    late = lost = broken = 0
    for number in range(ROUNDS):
        rng = random.Random(f"{seed} {way} {number}")
        played = play(tmp_path / str(number), way, rng, kill=number % 2 == 1)
        late, lost = late + played.late, lost + played.lost
        broken += not played.whole
    figures(f"{way}, {ROUNDS} times", f"{late} scores taken later, {lost} lost, {broken} broken")
    assert (lost, broken) == (0, 0)


def test_copies_of_an_open_store(tmp_path: Path, seed: int, figures: Figures) -> None:
    rng = random.Random(f"{seed} copies")
    path = make_store(tmp_path / "project", filler=30_000_000)
    writer = start_writer(path)
    found: Counter[str] = Counter()
    for number in range(COPIES):
        writer.read(rng.randrange(5, 60))
        begun, copy = time.monotonic_ns(), tmp_path / f"copy {number}"
        copy_while(path, copy, rng, pause=0.003)
        writer.read(20)
        found[state_of_copy(copy / NAME, {e for e, at in writer.kept.items() if at < begun})] += 1
        shutil.rmtree(copy)
    writer.end(kill=False)
    figures(f"{COPIES} copies while scores poured in", told(found))
    assert not found[FEWER], "what opens and passes its check holds all that was acknowledged"


def test_copies_a_moment_after_the_last_score(tmp_path: Path, seed: int, figures: Figures) -> None:
    rng = random.Random(f"{seed} quiet copies")
    path = make_store(tmp_path / "project")
    found: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for number in range(QUIET):
        writer = start_writer(path, first=1000 * number, most=rng.randrange(1, 100))
        time.sleep(rng.uniform(2.5, 3))  # the processor may be busy, so all have ended by then
        end = time.monotonic() + 30
        while time.monotonic() < end and (not log_of(path).exists() or log_of(path).stat().st_size):
            time.sleep(0.05)
        copy = tmp_path / f"copy {number}"
        copy_while(path, copy, rng)
        (tmp_path / f"alone {number}").mkdir()
        single = shutil.copy(path, tmp_path / f"alone {number}" / NAME)
        writer.end(kill=True)
        found[state_of_copy(copy / NAME, set(writer.kept))] += 1
        alone[state_of_copy(single, set(writer.kept))] += 1
    figures(f"{QUIET} copies a moment after the last score", told(found))
    figures("the file alone", told(alone))
    assert set(found) | set(alone) == {WHOLE}


def told(found: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in found.most_common())
