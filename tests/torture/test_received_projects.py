"""Received projects with links, pipes and folders under random names of their own, by the dozen.

After every everyday command a person's folder beside it is as it was, nothing of it has turned up
elsewhere, no command hangs, and none ends with a traceback.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labeler.core.project import STORE_FILE
from tests.support.received import ASSETS, commands, disturb, leaks, listing, make, run, sandbox

ROUNDS = 40
Figures = Callable[[str, str], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    make(place)
    return place


def test_a_persons_files_are_out_of_reach(
    made: Path, tmp_path: Path, seed: int, figures: Figures
) -> None:
    done = 0
    for number in range(ROUNDS):
        rng = random.Random(f"{seed} {number}")
        box = sandbox(made, tmp_path / str(number))
        days = list(commands(box))
        if rng.random() < 0.25:
            old = rng.choice(sorted(ASSETS.glob("store-*.sqlite")))
            shutil.copy(old, box.project / STORE_FILE)
            days = [["status"], ["doctor", "--repair"]]
        planted = disturb(rng, box, rng.randint(1, 12), deep=number % 4 > 0)
        before = listing(box.person)
        for words in days:
            problem = run(box, words)
            assert problem is None, f"{problem}\nround {number}: {planted}"
            assert listing(box.person) == before, f"{words} in round {number}: {planted}"
            done += 1
        assert not leaks(box), f"round {number}: {planted}"
        shutil.rmtree(box.place)
    figures("received projects", f"{ROUNDS}, {done} commands: nothing outside was touched or read")
