"""A project that came from somebody else reaches nothing but its own folder.

Protects a person's files against links, pipes and journals in a received project: nothing outside
is overwritten, removed or shown, and no command waits for a pipe. What may be where is decided by
db/store/regular_files.py; many more at random: tests/torture.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import db.images.lookup
import db.versions.registry
from db.errors import StoreError
from db.store.migrations.known import HEAD
from db.store.regular_files import NotPlain, make_folders
from db.store.store import Store
from db.versions.file_predictions import open_file_predictions
from labeler.app.server import launch
from labeler.cli.demo.demo import draw_collection
from labeler.cli.main import labeler
from labeler.collection.crash_guard import CrashGuard
from labeler.collection.previews import has_preview, preview_of
from labeler.collection.uploads import keep_picture
from labeler.core.errors import LabelerError
from labeler.core.files.atomic import atomic_write, opened_log
from labeler.core.jobs import liveness, runner
from labeler.core.project import STORE_FILE, Project, open_to_others, preview_path
from labeler.maintenance.backup import write_backup
from labeler.maintenance.doctor import check_project
from labeler.prediction.inference_worker.client import LOG_NAME
from labeler.versions.inference import load_version
from labeler.versions.model_files import head_path
from labeler.versions.train import train
from model.errors import ModelError
from tests.support.received import (
    ASSETS,
    DIGEST,
    LONG_AGO,
    MARK,
    Sandbox,
    in_time,
    journal_naming,
    leaks,
    listing,
    make,
    run,
    sandbox,
    scratch,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    make(place)
    return place


@pytest.fixture
def box(made: Path, tmp_path: Path) -> Iterator[Sandbox]:
    """Whatever a test does, the person's folder is as it was."""
    box = sandbox(made, tmp_path)
    before = listing(box.person)
    yield box
    assert listing(box.person) == before
    assert not leaks(box)


def link(box: Sandbox, name: str, target: str) -> Path:
    """Have NAME in the project lead to the person's TARGET."""
    path = box.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(box.person / target)
    return path


FOLDERS = ["previews", "thumbnails", "sketches", "models", "runs", "added", "previews/ab"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_a_link_is_refused_in_a_sentence(box: Sandbox, name: str) -> None:
    path = link(box, name, "")
    with pytest.raises(LabelerError, match=f"{name}: It is a link.*Put what it stands for"):
        Project.open(box.project)
    with pytest.raises(LabelerError):
        check_project(box.project, repair=True)
    assert run(box, ["status"]) is None
    assert path.is_symlink(), "not ours to remove"


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_sqlite_is_led_nowhere(box: Sandbox, end: str) -> None:
    kept = box.project / STORE_FILE
    if not end:
        kept.rename(box.project / "kept")
    link(box, f"{STORE_FILE}{end}", "own.sqlite" if not end else "thesis.txt")
    with pytest.raises(StoreError, match="can't be opened" if end == "-shm" else "It is a link"):
        Store.open(kept)
    assert run(box, ["doctor", "--repair"]) is None


def test_a_journal_that_names_a_file_removes_nothing(box: Sandbox) -> None:
    journal = box.project / f"{STORE_FILE}-journal"
    journal.write_bytes(journal_naming(box.project / STORE_FILE, box.person / "thesis.txt"))
    for words in (["status"], ["doctor", "--repair"], ["backup", str(box.out / "b.sqlite")]):
        assert run(box, words) is None
    with pytest.raises(StoreError, match="another file removed"):
        Store.open(box.project / STORE_FILE)
    kept = box.project / "runs" / "predicted.sqlite"
    kept.write_bytes((box.project / STORE_FILE).read_bytes())
    kept.with_name(f"{kept.name}-journal").write_bytes(
        journal_naming(kept, box.person / "thesis.txt")
    )
    with open_file_predictions(kept, "v1.0") as files:
        files.put({b"0" * 16: 0.5})


@pytest.mark.parametrize("end", ["", ".partial", ".partial-journal"])
def test_the_copy_before_a_migration_goes_through_no_link(box: Sandbox, end: str) -> None:
    shutil.copy(ASSETS / "store-0003.sqlite", box.project / STORE_FILE)
    link(box, f"{STORE_FILE}.before-{HEAD}{end}", "thesis.txt")
    assert run(box, ["status"]) is None
    if end != ".partial-journal":
        copy = box.project / f"{STORE_FILE}.before-{HEAD}"
        assert not copy.is_symlink()
        assert copy.read_bytes().startswith(b"SQLite format 3")


def test_a_training_writes_through_no_link(box: Sandbox) -> None:
    for end in (".safetensors", ".config.json", ".opinion.npz"):
        link(box, f"models/v1.1{end}", "thesis.txt")
        link(box, f"models/v1.1{end}.part", "thesis.txt")
        link(box, scratch(box.project / "models" / f"v1.1{end}"), "thesis.txt")
    project = Project.open(box.project)
    with closing(project.store):
        version = train(project)
        assert load_version(project, version).opinion is not None


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_logs_and_signs_of_runs(box: Sandbox, kind: str) -> None:
    project = Project.open(box.project)
    paths = [
        project.runs_folder / name
        for name in (
            "7.log",
            LOG_NAME,
            "7.alive",
            "7.alive-new",
            "suspects",
            "reading-1-1",
            "9.alive",
        )
    ]
    for path in paths:
        if kind == "pipe":
            os.mkfifo(path)
        else:
            link(box, f"runs/{path.name}", "suspects")

    def work() -> None:
        for path in (paths[0], project.runs_folder / "7.log"):
            with pytest.raises(NotPlain):
                opened_log(path)
        os.close(opened_log(paths[1], anew=True))
        liveness.mark_dead(project)
        with liveness.hold_alive(project, 7):
            liveness.living_run_ids(project)
        with CrashGuard(project.runs_folder) as guard:
            guard.start_reading(str(box.pictures / "picture 001.png"))

    with closing(project.store):
        in_time(work)
        assert runner.begin(project, "embed", {})[1]
    assert stat.S_ISREG(paths[1].lstat().st_mode), "made anew in the place of what was there"


def test_what_is_in_hand_is_noted_in_no_file_of_a_person(box: Sandbox) -> None:
    import threading

    folder = box.project / "runs"
    name = f"reading-{os.getpid()}-{threading.get_ident()}"
    link(box, f"runs/{name}", "thesis.txt")
    (folder / "reading-list").write_text("mine")
    with CrashGuard(folder) as guard:
        guard.start_reading(str(box.pictures / "picture 001.png"))
        assert (folder / name).read_bytes().endswith(b"picture 001.png")
        guard.start_reading("2.png")  # nothing is left of the longer name
        assert (folder / name).read_bytes().rstrip(b"\0") == b"2.png"
    assert (folder / "reading-list").read_text() == "mine"


def test_the_doctor_removes_what_the_program_makes_and_nothing_else(box: Sandbox) -> None:
    own = [
        "previews/ab/holiday.jpg",
        f"previews/cd/{DIGEST}.jpg",
        f"previews/{DIGEST}.jpg",
        f"previews/ab/{DIGEST}.jpeg",
        f"previews/ab/sub/{DIGEST}.jpg",
        f"thumbnails/ab/{DIGEST.upper()}.jpg",
        "models/mine.safetensors.part",
        "models/labeler.sqlite.old.part",
        "sketches/a-b-c.npy",
        "sketches/1-0-9.npy.bak",
        "runs/notes.log",
        "runs/labeler.sqlite.x.part",
        "runs/mine.alive",
        ".labeler-my notes.part",
        ".labeler-my.sqlite",
        "labeler.sqlite.mine.part",
    ]
    ours = [f"previews/ab/{DIGEST}.jpg", "runs/77.log", "sketches/1-0-9.npy"]
    for name in (*own, *ours):
        path = box.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (LONG_AGO, LONG_AGO))
    for number, name in enumerate(("previews/ab", "thumbnails/ab", "models", "sketches", "runs")):
        path = link(box, f"{name}/{number:x}{DIGEST[1:]}.jpg", "holiday.jpg")
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    link(box, "sketches/1-5-9.npy", "1-0-9.npy")
    check_project(box.project, repair=True)
    assert [name for name in own if not (box.project / name).exists()] == []
    assert [name for name in ours if (box.project / name).exists()] == []


def test_pictures_of_others_are_not_shown_as_previews(box: Sandbox) -> None:
    project = Project.open(box.project)
    with closing(project.store):
        image = db.images.lookup.by_ids(project.store, [25])[0]
        assert image.content_hash is not None
        path = preview_path(project, image.content_hash)
        path.unlink()
        path.symlink_to(box.person / "own.jpg")
        assert not has_preview(project, image.content_hash)
        made = preview_of(project, image.content_hash, Path(image.path))
        assert MARK not in made.read_bytes()
        assert not made.is_symlink(), "made anew in the place of the link"


def test_a_backup_packs_nothing_from_elsewhere(box: Sandbox) -> None:
    link(box, "models/v1.0.config.json", "thesis.txt")
    link(box, "models/other", "")
    link(box, "added/own.jpg", "own.jpg")
    os.mkfifo(box.project / "added" / "pipe.jpg")
    project = Project.open(box.project)
    with closing(project.store):
        in_time(lambda: write_backup(project, box.out / "taste.tar"))
    with tarfile.open(box.out / "taste.tar") as tar:
        names = [Path(name).name for name in tar.getnames()]
    assert sorted(names) == [STORE_FILE, "v1.0.opinion.npz", "v1.0.safetensors"]


@pytest.mark.parametrize(
    ("end", "kind"), [(".safetensors", "link"), (".config.json", "pipe"), (".opinion.npz", "zero")]
)
def test_a_head_is_read_from_its_own_files_alone(box: Sandbox, end: str, kind: str) -> None:
    path = box.project / "models" / f"v1.0{end}"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "zero" else box.person / "thesis.txt")
    for words in (["doctor"], ["export", "model", str(box.out / "model")]):
        assert run(box, words) is None


@pytest.mark.parametrize(
    "file", ["../person/v1.0.safetensors", "{}", "sub/x.safetensors", "..", ""]
)
def test_a_version_names_a_file_of_its_project(box: Sandbox, file: str) -> None:
    for each in box.project.glob("models/v1.0.*"):
        shutil.copy(each, box.place / each.name)
    name = file.format(box.place / "v1.0.safetensors")
    with closing(sqlite3.connect(box.project / STORE_FILE)) as store:
        store.execute("UPDATE versions SET file = ?", (name,))
        store.commit()
    project = Project.open(box.project)
    with closing(project.store):
        version = db.versions.registry.active(project.store)
        assert version is not None
        try:
            assert head_path(project, version).parent == project.models
        except ModelError as error:
            assert "no file of its project" in str(error)
    for words in (["doctor"], ["export", "model", str(box.out)]):
        assert run(box, words) is None


def test_added_pictures_are_kept_beside_links_and_pipes(box: Sandbox) -> None:
    link(box, "added/own.jpg", "own.jpg")
    os.mkfifo(box.project / "added" / "own-2.jpg")
    project = Project.open(box.project)
    data = (box.person / "own.jpg").read_bytes().replace(MARK, b"x" * len(MARK))
    with closing(project.store):
        in_time(lambda: keep_picture(project, "own.jpg", "JPEG", data))
    assert (project.folder / "added" / "own-3.jpg").read_bytes() == data


def test_exports_within_a_project_go_through_no_link(box: Sandbox) -> None:
    link(box, "exports", "")
    for words in (
        ["export", "dataset", str(box.project / "exports" / "list.csv")],
        ["export", "imagefolder", str(box.project / "exports" / "data")],
        ["predict", str(box.pictures), "--link", "sym", "--copy-to", str(box.project / "exports")],
    ):
        assert run(box, words) is None


def test_an_earlier_export_leads_out_of_its_folder_by_no_link(box: Sandbox) -> None:
    folder = box.out / "data"
    folder.mkdir()
    listed = [{"labeler export": "imagefolder"}, "train/holiday.jpg", "train/x.jpg"]
    (folder / ".labeler-export").write_text("".join(f"{json.dumps(each)}\n" for each in listed))
    (folder / "train").symlink_to(box.person)
    assert run(box, ["export", "imagefolder", str(folder)]) is None
    (folder / "train").unlink()
    (folder / ".labeler-export").unlink()
    (folder / ".labeler-export").symlink_to(box.person / "thesis.txt")
    assert run(box, ["export", "imagefolder", str(folder)]) is None


def test_the_demo_draws_over_no_file_of_a_person(box: Sandbox) -> None:
    link(box, "collection/scenes/scenes-001.jpg", "holiday.jpg")
    drawn = draw_collection(box.project / "collection", 18)
    assert not any(picture.path.is_symlink() for picture in drawn)
    link(box, "collection", "")
    with pytest.raises(NotPlain):
        draw_collection(box.project / "collection", 18)


@pytest.mark.parametrize("target", ["own.sqlite", "thesis.txt", "new"])
def test_predictions_are_kept_in_no_file_of_a_person(box: Sandbox, target: str) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        link(box, f"runs/predicted.sqlite{end}", target)
    with open_file_predictions(box.project / "runs" / "predicted.sqlite", "v1.0") as files:
        files.put({b"0" * 16: 0.5})
        assert files.get([b"0" * 16])


def test_predictions_are_kept_where_nothing_of_others_runs(tmp_path: Path) -> None:
    file = tmp_path / "predicted.sqlite"
    with open_file_predictions(file, "v1.0") as files:
        files.put({b"0" * 16: 0.5})
    with closing(sqlite3.connect(file)) as store:
        store.execute(
            "CREATE TRIGGER t AFTER INSERT ON predicted BEGIN UPDATE predicted SET prediction = 1;"
            " END"
        )
        store.commit()
    with open_file_predictions(file, "v1.0") as files:
        files.put({b"1" * 16: 0.5})
        assert files.get([b"0" * 16, b"1" * 16]) == {b"1" * 16: 0.5}


def test_no_folder_is_made_through_a_link(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (root / "a").symlink_to(outside)
    with pytest.raises(NotPlain):
        make_folders(root / "a" / "b", root)
    make_folders(root / "b" / "c", root)
    assert (root / "b" / "c").is_dir()
    assert not list(outside.iterdir())


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    paths = [folder, *folder.rglob("*")]
    return {str(p.relative_to(folder)): f"{stat.S_IMODE(p.stat().st_mode):o}" for p in paths}


def test_a_new_project_is_its_owners_alone(
    made: Path, tmp_path: Path, umask: Callable[[int], int]
) -> None:
    project = Project.create(tmp_path / "new" / "taste", encoder="lite")
    (tmp_path / "there").mkdir()
    Project.create(tmp_path / "there", encoder="lite").close()
    with closing(project.store):
        for number in (1, 2):
            os.close(opened_log(project.runs_folder / f"{number}.log"))
        keep_picture(project, "a.png", "PNG", b"data")
        with atomic_write(project.sketches / "1-0-9.npy") as written:
            written.write_bytes(b"x")
        with open_file_predictions(project.runs_folder / "predicted.sqlite", "v1.0") as files:
            files.put({b"0" * 16: 0.5})
        write_backup(project, tmp_path / "b.sqlite")
        write_backup(project, tmp_path / "b.tar")
        found = modes(project.folder)
    assert set(found.values()) == {"700", "600"}
    assert {found[name] for name in (".", "models", "sketches", "added")} == {"700"}
    assert set(modes(tmp_path / "there").values()) == {"700", "600"}
    assert {modes(tmp_path)[name] for name in ("b.sqlite", "b.tar")} == {"600"}
    assert open_to_others(project.folder) is None


def test_a_project_keeps_what_its_owner_set(box: Sandbox, umask: Callable[[int], int]) -> None:
    umask(0o002)
    box.project.chmod(0o775)
    (box.project / STORE_FILE).chmod(0o664)
    assert open_to_others(box.project) == "write"
    project = Project.open(box.project)
    with closing(project.store):
        os.close(opened_log(project.runs_folder / "1.log"))
        keep_picture(project, "a.png", "PNG", b"data")
    found = modes(box.project)
    assert (found["runs/1.log"], found["added"], found["added/a.png"]) == ("664", "775", "664")
    notes = {finding.name: finding for finding in check_project(box.project).findings}
    assert notes["permissions"].note
    assert "chmod -R go=" in notes["permissions"].advice
    box.project.chmod(0o755)
    (box.project / STORE_FILE).chmod(0o644)
    assert open_to_others(box.project) == "read"
    box.project.chmod(0o700)
    assert open_to_others(box.project) is None


@pytest.mark.parametrize(("mode", "told"), [(0o755, True), (0o700, False)])
def test_the_app_says_that_others_can_read_a_project(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, mode: int, told: bool
) -> None:
    monkeypatch.setattr(launch, "serve", lambda *_, **__: None)
    box.project.chmod(mode)
    (box.project / STORE_FILE).chmod(0o644)
    said = CliRunner().invoke(labeler, ["--project", str(box.project), "app"]).output
    assert ("Others on this machine can read" in said) == told
