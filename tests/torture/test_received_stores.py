"""Stores that a stranger or a bad disk has changed, by the hundred: sentences, and all mended.

Protects people who open what was handed on: whatever a cell or a bit of the store holds, commands,
routes and pages say a sentence at most, and the doctor leads to a store on which everything works.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from labeler.core.project import STORE_FILE
from tests.support.received_stores import (
    ask,
    commands,
    copied,
    look,
    make_filled,
    readable_scores,
    repaired,
    run,
    spoil,
)

# A training alone makes weights and out-of-fold predictions, licences are a person's own words, and
# versions whose encoder is gone stay for a backup's sake.
LEFT = {"heads", "settings", "out-of-fold", "references"}
STORES, PAGES_OF = 120, 6  # the pages are looked at for every so many-th


def test_stores_that_were_changed_break_nothing_and_are_mended(
    tmp_path: Path, seed: int, figures: Callable[[str, str], None]
) -> None:
    made = make_filled(tmp_path / "made")
    cells = 0
    for number in range(STORES):
        folder = copied(made, tmp_path / "copy")
        told = spoil(folder, seed + number)
        cells += len(told)
        before = readable_scores(folder / STORE_FILE)
        for words in commands(folder, tmp_path / "out"):
            assert run(folder, words) is None, (seed + number, told)
        assert ask(folder) == [], (seed + number, told)
        if number % PAGES_OF == 0:
            # A copy: what the pages make ready in the background holds the store a while longer.
            assert look(copied(folder, tmp_path / f"seen {number}")) == [], (seed + number, told)
        left = repaired(folder, LEFT)
        assert left == [], (seed + number, told, left)
        if not told[0].startswith("bit"):  # which may be one of a score
            left = readable_scores(folder / STORE_FILE)
            assert left.items() >= before.items(), (seed + number, told)
        for words in commands(folder, tmp_path / "out"):
            assert run(folder, words) is None, (seed + number, told)
        for each in (folder, tmp_path / "out"):
            shutil.rmtree(each, ignore_errors=True)
    figures(f"{STORES} stores with {cells} changed cells or bits", "sentences; all mended")
