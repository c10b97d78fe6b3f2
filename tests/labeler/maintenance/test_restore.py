"""A backup is restored whole or not at all, and the project that was there is kept.

Protects against the two ways to lose everything with a backup at hand: putting it over a store in
use, and putting a broken or foreign file over a good one. Backups may be a stranger's: no member of
a .tar leads out of the folder or replaces a file silently.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import db.scores.hand_scores
from db.errors import StoreError
from db.store.store import Store
from labeler.cli.main import labeler
from labeler.collection import uploads
from labeler.core.errors import BadInput, LabelerError
from labeler.core.files.atomic import atomic_write
from labeler.core.project import STORE_FILE, Project
from labeler.maintenance import restore as restoring
from labeler.maintenance.backup import write_backup
from labeler.maintenance.restore import restore
from tests.support.collection import add_version, make_collection
from tests.support.store_rows import score


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_collection(tmp_path_factory.mktemp("made"), images=12, scored=6)
    add_version(made, 0.1)
    (made.models / "v1.0.safetensors").write_bytes(b"weights")
    uploads.keep_picture(made, "a picture.png", "PNG", b"bytes of a picture")
    made.close()
    return made.folder


@pytest.fixture
def project(made_once: Path, tmp_path: Path) -> Iterator[Project]:
    project = Project.open(shutil.copytree(made_once, tmp_path / "project"))
    yield project
    project.close()


def told(folder: Path) -> tuple[list[int], list[float]]:
    with closing(Store.open(folder / STORE_FILE)) as store:
        ids, values = db.scores.hand_scores.effective(store)
        return ids.tolist(), values.tolist()


def kept_in(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{STORE_FILE}.before-restore-*.sqlite"))


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(labeler, ["--project", str(folder), *arguments])
    return ended.exit_code, ended.output


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("ending", ["sqlite", "tar"])
def test_a_backup_becomes_the_project_again_and_the_old_store_is_kept(
    project: Project, tmp_path: Path, ending: str
) -> None:
    before, place = told(project.folder), tmp_path / f"taste.{ending}"
    assert f"restore {place}" in write_backup(project, place).sentences()
    score(project.store, before[0][0], 9)
    after = told(project.folder)
    project.close()
    code, output = run(project.folder, "restore", str(place))
    assert code == 0, output
    assert f"{len(before[0])} hand scores" in output
    assert told(project.folder) == before
    (kept,) = kept_in(project.folder)
    assert kept.name in output
    (tmp_path / "kept").mkdir()
    shutil.copy(kept, tmp_path / "kept" / STORE_FILE)
    assert told(tmp_path / "kept") == after
    opened = Project.open(project.folder)
    assert score(opened.store, before[0][0], 4).accepted
    opened.close()


def test_a_tar_makes_a_new_project_with_its_files(project: Project, tmp_path: Path) -> None:
    place, folder = tmp_path / "taste.tar", tmp_path / "new" / "taste"
    write_backup(project, place)
    code, output = run(tmp_path, "restore", str(place), str(folder))
    assert code == 0, output
    assert told(folder) == told(project.folder)
    assert (folder / "models" / "v1.0.safetensors").read_bytes() == b"weights"
    assert (folder / "added" / "a picture.png").read_bytes() == b"bytes of a picture"
    assert kept_in(folder) == []


def test_other_files_of_the_same_names_are_kept(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "taste.tar"
    write_backup(project, place)
    project.close()
    (project.models / "v1.0.safetensors").write_bytes(b"trained since")
    (project.models / "v2.0.safetensors").write_bytes(b"later")
    done = restore(place, project.folder)
    assert (project.models / "v1.0.safetensors").read_bytes() == b"weights"
    assert (project.models / "v2.0.safetensors").read_bytes() == b"later"
    (aside,) = done.aside
    assert aside.read_bytes() == b"trained since" and aside.name in done.sentence()


@pytest.mark.parametrize("how", ["here", "elsewhere"])
def test_a_project_that_is_open_is_not_restored(project: Project, tmp_path: Path, how: str) -> None:
    write_backup(project, tmp_path / "taste.sqlite")
    score(project.store, 3, 9)
    if how == "elsewhere":
        project.close()
    with closing(sqlite3.connect(project.store.path)) as other:
        other.execute("SELECT count(*) FROM images").fetchone()
        with pytest.raises(StoreError, match="is open in another program; close the app"):
            restore(tmp_path / "taste.sqlite", project.folder)
    assert kept_in(project.folder) == []
    assert score(project.store, 4, 9).accepted, "and it goes on as it was"
    assert 3 in told(project.folder)[0]


def damaged(place: Path) -> None:
    content = bytearray(place.read_bytes())
    content[8192 * 6 : 8192 * 9] = os.urandom(8192 * 3)
    place.write_bytes(content)


def of_a_newer_program(place: Path) -> None:
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


def of_another_program(place: Path) -> None:
    place.unlink()
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("CREATE TABLE mine (x)")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (damaged, "damaged"),
        (of_a_newer_program, r"newer version .*update"),
        (of_another_program, "no backup of this program"),
        (lambda place: place.write_bytes(b""), "Get it again"),
        (lambda place: place.write_bytes(b"mine" * 500), "not a tar file"),
        (lambda place: os.truncate(place, 40_000), "damaged"),
        (lambda place: place.unlink(), "is not there"),
    ],
)
def test_a_file_that_is_no_good_backup_changes_nothing(
    project: Project, tmp_path: Path, spoil: Callable[[Path], object], why: str
) -> None:
    place = tmp_path / "taste.sqlite"
    write_backup(project, place)
    project.close()
    spoil(place)
    before = contents(project.folder)
    with pytest.raises((BadInput, StoreError), match=why):
        restore(place, project.folder)
    assert contents(project.folder) == before


def packed(place: Path, members: dict[str, bytes], *, links: dict[str, str] | None = None) -> Path:
    with tarfile.open(place, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return place


@pytest.mark.parametrize(
    "name",
    [
        "../out.safetensors",
        "/tmp/out.safetensors",
        "top/../../out.safetensors",
        "top/models/../../../out.safetensors",
        "top/models/sitecustomize.py",
        "top/.streamlit/secrets.toml",
        "top/models/.hidden.safetensors",
        "top/labeler.sqlite-wal",
        "top/runs/1.log",
        "other/models/v1.safetensors",
        "top/models\\..\\x.safetensors",
        "top/added/labeler.sqlite",
        "top/added/in/Labeler.SQLite-wal",
    ],
)
def test_names_that_are_in_no_backup_are_refused(
    project: Project, tmp_path: Path, name: str
) -> None:
    write_backup(project, tmp_path / "taste.sqlite")
    project.close()
    store = (tmp_path / "taste.sqlite").read_bytes()
    place = packed(tmp_path / "bad.tar", {f"top/{STORE_FILE}": store, name: b"x"})
    before, around = contents(project.folder), set(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match="backup"):
        restore(place, project.folder)
    assert contents(project.folder) == before and set(tmp_path.rglob("*")) == around


def test_a_backup_that_can_not_be_placed_leaves_nothing(project: Project, tmp_path: Path) -> None:
    """Whether that shows beforehand or while files are put; in a new folder and in an old one."""
    write_backup(project, tmp_path / "taste.sqlite")
    project.close()
    store = (tmp_path / "taste.sqlite").read_bytes()
    sound = {f"top/{STORE_FILE}": store, "top/added/in/a.png": b"a"}
    both = packed(tmp_path / "both.tar", sound | {"top/added/b": b"b", "top/added/b/c": b"c"})
    good = packed(tmp_path / "good.tar", sound)
    (project.folder / "added" / "in").write_bytes(b"a file")
    before, around = contents(project.folder), set(tmp_path.rglob("*"))
    for place, folder, why in (
        (both, project.folder, "as a file and as a folder"),
        (both, tmp_path / "new" / "one", "as a file and as a folder"),
        (good, project.folder, "is no folder"),
    ):
        with pytest.raises(BadInput, match=why):
            restore(place, folder)
        assert contents(project.folder) == before and set(tmp_path.rglob("*")) == around


def test_files_that_were_placed_go_again_where_the_next_can_not_be(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_backup(project, tmp_path / "taste.tar")
    put = restoring._write

    def full(file: object, member: object, place: Path, told: object) -> None:
        if place.suffix == ".safetensors":
            raise OSError(28, "No space left on device", str(place))
        put(file, member, place, told)  # type: ignore[arg-type]

    monkeypatch.setattr(restoring, "_write", full)
    around = set(tmp_path.rglob("*"))
    with pytest.raises(OSError, match="No space"):
        restore(tmp_path / "taste.tar", tmp_path / "new")
    assert set(tmp_path.rglob("*")) == around


def test_links_are_not_followed(project: Project, tmp_path: Path) -> None:
    """Neither those in the backup nor those that wait in the folder."""
    write_backup(project, tmp_path / "taste.sqlite")
    project.close()
    store, outside = (tmp_path / "taste.sqlite").read_bytes(), tmp_path / "outside"
    outside.mkdir()
    members = {f"top/{STORE_FILE}": store, "top/models/in/v3.safetensors": b"new"}
    place = packed(tmp_path / "a.tar", members, links={"top/models/in": str(outside)})
    restore(place, project.folder)
    assert list(outside.iterdir()) == []
    shutil.rmtree(project.models / "in")
    (project.models / "in").symlink_to(outside)
    with pytest.raises(BadInput, match="is a link"):
        restore(place, project.folder)
    assert list(outside.iterdir()) == []


def test_a_killed_one_is_finished_by_the_next(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, place = told(project.folder), tmp_path / "taste.tar"
    write_backup(project, place)
    score(project.store, before[0][0], 9)
    after = told(project.folder)
    project.close()
    (project.models / "v1.0.safetensors").unlink()

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("db.store.restore.exchange", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(place, project.folder)
    assert told(project.folder) == after
    assert restore(place, project.folder).files == 2
    assert told(project.folder) == before
    assert not [path for path in project.folder.iterdir() if path.name.startswith(".labeler-")]


def test_a_damaged_store_with_its_log_is_kept_as_it_is(project: Project, tmp_path: Path) -> None:
    write_backup(project, tmp_path / "taste.sqlite")
    before = told(project.folder)
    project.close()
    project.store.path.write_bytes(b"no store any more" * 1000)
    log = project.store.path.with_name(f"{STORE_FILE}-wal")
    log.write_bytes(b"some log")
    done = restore(tmp_path / "taste.sqlite", project.folder)
    assert told(project.folder) == before
    assert done.kept is not None and done.kept.read_bytes() == b"no store any more" * 1000
    assert done.kept.with_name(f"{done.kept.name}-wal").read_bytes() == b"some log"


def test_a_lost_store_is_told_and_restored(project: Project, tmp_path: Path) -> None:
    write_backup(project, tmp_path / "taste.sqlite")
    before = told(project.folder)
    project.close()
    project.store.path.rename(tmp_path / "away")
    project.store.path.with_name(f"{STORE_FILE}-wal").write_bytes(b"left")
    code, output = run(project.folder, "status")
    assert code == 1 and "labeler restore FILE" in output
    code, output = run(project.folder, "restore", str(tmp_path / "taste.sqlite"))
    assert code == 0, output
    assert told(project.folder) == before


def test_a_log_of_another_moment_is_put_aside_by_the_doctor(
    project: Project, tmp_path: Path
) -> None:
    path, log = project.store.path, project.store.path.with_name(f"{STORE_FILE}-wal")
    assert project.store.checkpoint()
    shutil.copy(path, tmp_path / "old.sqlite")
    before = told(project.folder)
    for value in (1, 2):
        score(project.store, before[0][0], value)
        assert project.store.checkpoint()
    score(project.store, before[0][0], 3)
    newer = log.read_bytes()
    project.close()
    shutil.copy(tmp_path / "old.sqlite", path)
    log.write_bytes(newer)
    code, output = run(project.folder, "status")
    assert code == 1 and "not of the same moment" in output and "labeler backup" in output
    code, output = run(project.folder, "doctor")
    assert code == 1 and "labeler doctor --repair" in output
    assert log.read_bytes() == newer
    code, output = run(project.folder, "doctor", "--repair")
    assert "kept as" in output
    assert told(project.folder) == before
    (kept,) = project.folder.glob(f"{STORE_FILE}.damaged-*.sqlite-wal")
    assert kept.read_bytes() == newer


@pytest.mark.parametrize("name", [STORE_FILE, "LABELER.sqlite", "other.sqlite", "link.sqlite"])
def test_nothing_is_written_over_a_store_in_use(
    project: Project, tmp_path: Path, name: str
) -> None:
    """Whatever writes: a backup with --force, an export, a list."""
    other = Project.open(shutil.copytree(project.folder, tmp_path / "other"))
    try:
        if name == "other.sqlite":
            other.close()
            shutil.copy(other.store.path, other.folder / name)
            used = sqlite3.connect(other.folder / name)
        else:
            used = sqlite3.connect(other.store.path)
        used.execute("SELECT count(*) FROM images").fetchone()
        place = other.folder / name
        if name == "link.sqlite":
            place.symlink_to(other.store.path)
        before = contents(other.folder)
        code, output = run(project.folder, "backup", str(place), "--force")
        assert code == 1 and "choose another name" in output
        with pytest.raises(BadInput, match="choose another name"), atomic_write(place) as scratch:
            scratch.write_bytes(b"an export")
        assert contents(other.folder) == before
    finally:
        used.close()
        other.close()


def test_an_older_backup_may_be_replaced(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "taste.sqlite"
    write_backup(project, place)
    assert run(project.folder, "backup", str(place), "--force")[0] == 0


def test_a_disk_without_room_is_refused(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_backup(project, tmp_path / "taste.sqlite")
    project.close()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(restoring.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    before = contents(project.folder)
    with pytest.raises(LabelerError, match="make room"):
        restore(tmp_path / "taste.sqlite", project.folder)
    assert contents(project.folder) == before
