"""Protects against hostile files by the thousand: no crash, no hang, no flood of memory, no code.

Every file goes through the real commands in processes of their own, and through all else that reads
pictures; what becomes of it stands in the store with a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.all_bombs import asides, file_bombs
from tests.support.bad_input import (
    MOST_MB,
    MOST_SECONDS,
    child,
    command,
    make_project,
    states,
    write_all,
)
from tests.support.bombs import at_the_limit, huge_sizes, odd_metadata, sparse_files
from tests.support.mutations import mutated
from tests.support.odd_files import (
    odd_archives,
    odd_arrays,
    odd_tables,
    odd_weights,
    whole_tables,
    wide_tables,
)

PICTURES = 5200
TABLES = 1500
Figures = Callable[[str, str], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("made"))


def test_mutated_pictures(made: Path, tmp_path: Path, seed: int, figures: Figures) -> None:
    print(f"seed {seed}")
    bad = list(mutated(PICTURES, seed))
    folder = tmp_path / "bad"
    write_all(folder, ((one.name, one.data) for one in bad))
    ended = command(made, "import", folder)
    assert ended.code == 0, ended.output[-2000:]
    assert "Traceback" not in ended.output
    assert ended.peak < MOST_MB
    known = states(made)
    outcomes: Counter[tuple[str, str]] = Counter()
    for one in bad:
        if one.name.endswith(".im"):  # taken only where it is named
            continue
        state, reason = known[one.name]
        assert state == "fine" or reason.endswith("."), one.name
        outcomes[one.kind.partition(",")[0], state] += 1
    figures("mutated pictures imported", f"{outcomes.total():,}, all recorded")
    for (kind, state), count in sorted(outcomes.items()):
        figures(f"  changed by {kind}, {state}", f"{count:,}")
    figures("  peak memory of the import", f"{ended.peak} MB")
    _look(made, folder, tmp_path, "mutated pictures", figures)


def _look(made: Path, folder: Path, scratch: Path, what: str, figures: Figures) -> None:
    ended = child("look", made, folder, scratch / "looked.json")
    assert ended.code == 0, ended.output[-2000:]
    told = json.loads((scratch / "looked.json").read_text())
    seconds, name = told["slowest"]
    assert seconds < MOST_SECONDS, name
    assert told["peak"] - told["base"] < MOST_MB
    figures(f"{what}: embedded, shown in full, tried, predicted", f"{told['outcomes']}")
    figures("  slowest file", f"{seconds:.2f} s ({name})")
    figures("  memory beyond torch's own", f"{told['peak'] - told['base']} MB")


def test_small_files_that_promise_the_earth(made: Path, tmp_path: Path, figures: Figures) -> None:
    files = huge_sizes() | odd_metadata() | asides()
    write_all(tmp_path / "bombs", files.items())
    ended = command(made, "import", tmp_path / "bombs")
    assert ended.code == 0, ended.output[-2000:]
    assert ended.peak < MOST_MB
    known = states(made)
    assert all(known[name][0] == "fine" or known[name][1] for name in files)
    figures("bombs imported", f"{len(files)}, {ended.peak} MB")
    _look(made, tmp_path / "bombs", tmp_path, "bombs", figures)


def test_files_of_holes(made: Path, tmp_path: Path, figures: Figures) -> None:
    files = sparse_files(tmp_path / "holes")
    array = np.lib.format.open_memmap(
        tmp_path / "holes" / "a.npy", "w+", "<f2", (100_000_000, 1280)
    )
    array[0] = 1
    array.flush()
    ended = command(made, "import", tmp_path / "holes")
    assert ended.code == 0, ended.output[-2000:]
    state, reason = states(made)["sparse.jpg"]
    assert state == "unreadable" and "holes" in reason
    for what in (tmp_path / "holes", tmp_path / "holes" / "a.npy"):
        ended = command(made, "predict", what)
        assert "Traceback" not in ended.output
        assert ended.peak < MOST_MB
    figures("files of 8 TB of holes imported and predicted", f"{len(files) + 1}, refused")


def test_pictures_of_the_largest_size_at_once(made: Path, tmp_path: Path, figures: Figures) -> None:
    files = at_the_limit()
    write_all(tmp_path / "large", files.items())
    ended = command(made, "import", tmp_path / "large")
    assert ended.code == 0, ended.output[-2000:]
    assert ended.peak < MOST_MB, ended.peak
    known = states(made)
    assert {known[name][0] for name in files} == {"fine"}, known
    figures("pictures of 149 megapixels imported by all threads at once", f"{len(files)}")
    figures("  peak memory", f"{ended.peak} MB")
    _look(made, tmp_path / "large", tmp_path, "149 megapixels", figures)


@pytest.mark.parametrize("what", ["mutated", "odd", "wide", "bombs"])
def test_tables_arrays_heads_and_archives(
    made: Path, tmp_path: Path, seed: int, what: str, figures: Figures
) -> None:
    print(f"seed {seed}")
    folder = tmp_path / "files"
    folder.mkdir()
    if what == "mutated":
        whole = whole_tables(tmp_path)
        write_all(folder, ((one.name, one.data) for one in mutated(TABLES, seed, whole)))
    elif what == "odd":
        odd = odd_tables(tmp_path) | odd_arrays() | odd_weights() | odd_archives()
        write_all(folder, odd.items())
    else:
        made_of = {"wide": wide_tables, "bombs": file_bombs}[what]
        write_all(folder, made_of(tmp_path).items())
    count = len(list(folder.iterdir()))
    ended = child("read", made, folder, tmp_path / "read.json")
    assert ended.code == 0, ended.output[-2000:]
    told = json.loads((tmp_path / "read.json").read_text())
    assert not told["broken"], told["broken"][:20]
    seconds, name = told["slowest"]
    assert seconds < MOST_SECONDS, name
    assert told["peak"] - told["base"] < MOST_MB
    figures(f"{what} tables, arrays, heads, archives", f"{count:,}: {told['outcomes']}")
    figures("  slowest file", f"{seconds:.2f} s ({name})")
    figures("  peak memory", f"{told['peak']} MB, {told['base']} of them before the first")
