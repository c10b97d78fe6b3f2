"""What a full disk may do: say so in a sentence that names the file and what to do, and no more.

Nothing that was there is lost, nothing half-written stays, and with room the same command comes to
what it would have come to. Where a disk of one's own can't be had, a limit on the size of files
does for it.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from db import jobs as run_rows
from db.errors import StoreError
from labeler.cli.job_kinds import JOBS
from labeler.core.error_messages import message_for
from labeler.core.files.atomic import atomic_write
from labeler.core.jobs import runner
from labeler.exports.datasets.output_folder import LIST, export_folder
from tests.support.ballast import may_mount
from tests.support.collection import make_collection
from tests.support.fault_world import stored
from tests.support.small_disks import ROOT, problems, trials

mounted = pytest.mark.skipif(not may_mount(), reason="no tmpfs can be mounted here (unshare)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disks")


@mounted
def test_a_full_disk_is_named_and_room_is_all_it_takes(folder: Path) -> None:
    names = ("init", "import", "status", "label-from", "migrate", "export-imagefolder")
    tried = trials(folder, "filling", 2, *names)
    assert problems(tried) == []
    assert len(tried) == 2 * len(names)
    assert {one.code for one in tried if one.command == "status"} <= {0}
    assert {one.code for one in tried if one.command != "status"} == {1}


@mounted
def test_no_acknowledged_score_is_lost_by_a_disk_that_fills_and_a_process_that_dies(
    folder: Path,
) -> None:
    tried = trials(folder, "pouring", 2, "label")
    assert problems(tried) == []
    assert max(one.code for one in tried) > 0


@mounted
def test_scratch_files_have_a_disk_of_their_own(folder: Path) -> None:
    assert problems(trials(folder, "untemporary", 1, "label-from")) == []


def limited(words: list[str], most: int) -> subprocess.CompletedProcess[str]:
    """The command where no file may grow beyond `most` bytes."""
    return subprocess.run(
        [sys.executable, "-m", "labeler.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )


def test_a_score_that_finds_no_room_changes_nothing_and_can_be_given_again(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=3, scored=2)
    project.close()
    words = ["--project", str(project.folder), "label", "3", "7"]
    before = stored(project.folder)
    done = limited(words, 40_000)  # enough for the log's index, too little for the log
    assert done.returncode == 1
    assert done.stderr.startswith(str(project.folder / "labeler.sqlite"))
    assert done.stderr.count("\n") == 1
    assert stored(project.folder) == before
    again = limited(words, 64 << 20)
    assert again.returncode == 0
    assert "(3, 7.0, None)" in stored(project.folder)["scores"]


def test_a_file_that_finds_no_room_is_named_and_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "list.csv"
    place.write_text("old")
    with pytest.raises(OSError, match="space") as raised, atomic_write(place):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(place) in str(message_for(raised.value))
    assert "make room" in str(message_for(raised.value))
    assert [file.name for file in tmp_path.iterdir()] == ["list.csv"]
    assert place.read_text() == "old"


def test_of_two_names_the_one_that_was_to_be_written_is_told() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/from/a.png", None, "/to/a.png")
    assert str(message_for(error)).startswith("No space left on device (/to/a.png); make room")
    wrapped = OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28]")
    assert "Detail" not in str(message_for(wrapped))


@pytest.mark.parametrize("begun", ["", '{"labeler exp'])
def test_an_export_that_had_no_room_for_its_first_line_can_be_begun_again(
    tmp_path: Path, begun: str
) -> None:
    (tmp_path / LIST).write_text(begun)
    with export_folder(tmp_path, "imagefolder") as folder:
        folder.finish()
    assert "imagefolder" in (tmp_path / LIST).read_text()


def test_what_can_only_be_read_for_now_is_written_again_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_collection(tmp_path, images=3, scored=2)
    store = project.store
    store.close()
    index = store.path.with_name(f"{store.path.name}-shm")
    index.symlink_to("nowhere")  # what SQLite needs beside the store can't be made
    with pytest.raises(StoreError, match="can't be opened"):
        store.setting("encoder")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        assert store.setting("encoder") == project.encoder
        with pytest.raises(StoreError, match="is full; make room on it and try again"):
            store.set_setting("kept", "no")
    index.unlink()
    store.set_setting("kept", "yes")
    assert store.setting("kept") == "yes"
    store.close()


def test_how_a_run_ended_is_written_down_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_collection(tmp_path, images=3, scored=2)
    finish, tries = run_rows.finish, []

    def full(*told: object) -> None:
        tries.append(told)
        if len(tries) < 3:
            raise StoreError("The disk is full.")
        finish(*told)  # type: ignore[arg-type]

    monkeypatch.setattr(run_rows, "finish", full)
    run, _ = runner.begin(project, "import", {"paths": [str(tmp_path / "nowhere")]})
    ended = runner.work(project, run.id, JOBS, again=lambda: True)
    assert len(tries) == 3
    assert ended.state == "failed"
    assert "nowhere is not there" in str(ended.message)
    project.close()
