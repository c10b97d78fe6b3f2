"""Random pages of a store are overwritten; what is saved holds every hand score but theirs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from db.store.store import PAGE_SIZE
from labeler.core.project import STORE_FILE
from labeler.maintenance.doctor import check_project
from tests.labeler.maintenance.test_recovery import IMAGES, given, pages_of, spoil, whole  # noqa: F401 (a fixture)

STORES = 40


def test_what_is_saved_of_a_store_with_random_damage(
    whole: Path,  # noqa: F811
    tmp_path: Path,
    seed: int,
    figures: Callable[[str, str], None],
) -> None:
    generator = random.Random(seed)
    before = given(whole)
    theirs = set(pages_of(whole / STORE_FILE, "hand_scores"))
    per_page = 2 * IMAGES // len(theirs)
    pages = (whole / STORE_FILE).stat().st_size // PAGE_SIZE
    spoiled = unhurt = lost = 0
    for number in range(STORES):
        folder = shutil.copytree(whole, tmp_path / str(number))
        chosen = generator.sample(range(2, pages + 1), generator.randint(1, 4))
        spoil(folder / STORE_FILE, chosen)
        report = check_project(folder, repair=True)
        left = given(folder)
        hurt = len(theirs.intersection(chosen))
        assert left <= before
        assert len(before) - len(left) <= hurt * per_page, (seed, number, chosen)
        open_ones = {each.name for each in report.findings if each.is_open}
        assert open_ones <= {"heads"}, (seed, number, chosen, open_ones)
        spoiled += len(chosen)
        unhurt += not hurt
        lost += len(before) - len(left)
        shutil.rmtree(folder)
    figures(
        f"{STORES} stores with {spoiled} spoiled pages: all hand scores saved",
        f"{unhurt} of the {unhurt} whose own pages were whole; {lost} lost on spoiled ones",
    )
