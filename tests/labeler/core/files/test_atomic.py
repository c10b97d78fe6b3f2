"""A file appears whole or not at all, and what killed writers leave is taken over or removed.

Scratch files of the living are never touched: neither by another writer of the same file, in this
process or elsewhere, nor by whoever clears a folder.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from labeler.core.files.atomic import atomic_write, is_scratch, remove_scratch

ROOT = Path(__file__).parents[4]
KILLED = """
import os, signal, sys
from pathlib import Path
from labeler.core.files.atomic import atomic_write
with atomic_write(Path(sys.argv[1])) as scratch:
    scratch.write_text("half of i")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A folder in which the writer of `list.csv` was killed."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "list.csv")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode < 0
    [scratch] = tmp_path.iterdir()
    assert is_scratch(scratch)
    return tmp_path


def test_whoever_writes_the_file_again_takes_over_what_was_left(left: Path) -> None:
    with atomic_write(left / "list.csv") as scratch:
        assert scratch.read_text() == "", "nothing of the first try"
        scratch.write_text("all")
    assert [path.name for path in left.iterdir()] == ["list.csv"]
    assert (left / "list.csv").read_text() == "all"


def test_what_was_left_is_cleared_away_and_nothing_else(left: Path) -> None:
    (left / ".labeler-export").write_text("a list")
    with atomic_write(left / "other.csv") as living:
        remove_scratch(left)
        assert living.exists()
        assert sorted(left.iterdir()) == sorted([left / ".labeler-export", living])
        living.write_text("all")
    assert (left / "other.csv").read_text() == "all"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    with atomic_write(file) as first:
        first.write_text("first")
        with atomic_write(file) as second:
            assert second != first
            second.write_text("second")
        assert file.read_text() == "second"
        assert first.read_text() == "first"
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_another_writers_link_under_that_name_is_not_followed(left: Path) -> None:
    [scratch] = left.iterdir()
    precious = left / "precious"
    precious.write_text("keep")
    scratch.unlink()
    scratch.symlink_to(precious)
    with atomic_write(left / "list.csv") as written:
        written.write_text("all")
    assert precious.read_text() == "keep"
    assert not (left / "list.csv").is_symlink()


def test_the_file_has_the_permissions_that_files_have_here(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "whole") as scratch:
        scratch.write_text("all")
    (tmp_path / "plain").write_text("all")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("whole", "plain")]
    assert modes[0] == modes[1]
