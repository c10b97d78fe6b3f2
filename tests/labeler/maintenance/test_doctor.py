"""The doctor finds what is wrong, mends what follows from something else, never touches a score.

Protects projects that something happened to: each kind of harm is done to a healthy one, found,
mended, and not there any more; what can't be mended is said with what to do, and exits with 1.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.images.sources
import db.jobs
import db.scores.events
import db.scores.hand_scores
import db.versions.registry
import db.versions.rounds
from db.store.store import Store
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.project import STORE_FILE, Project, preview_path
from labeler.maintenance.doctor import DoctorReport, check_project
from labeler.maintenance.doctor_checks import Finding
from labeler.versions.activate import predict_stored
from labeler.versions.model_files import load_second_opinion
from labeler.versions.train import train
from model.errors import ModelError
from tests.support.collection import make_collection
from tests.support.store_rows import event

LONG_AGO = 1_600_000_000
NAN = np.full(8, np.nan, dtype="<f4").tobytes()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained project with a review; every test harms a copy of it."""
    place = tmp_path_factory.mktemp("made")
    project = make_collection(place, images=30, scored=24)
    for number in range(5):
        large = Image.new("RGB", (640, 480), (40 * number, 90, 200))
        large.save(place / "pictures" / f"large {number}.png")
    import_paths(project, [place / "pictures"], source="gradients", workers=1)
    train(project)
    review = db.versions.rounds.open_round(project.store, 1, 0.5)
    db.versions.rounds.mark_shown(
        project.store, review.id, "false-positive", [(25, 0.8), (26, 0.9)]
    )
    given = {"queue": "false-positive", "shown_version": "v1.0", "value": 1}
    db.scores.events.record(project.store, [event("corrected", "score", 25, **given)])
    project.close()
    return project.folder


@pytest.fixture
def folder(healthy: Path, tmp_path: Path) -> Path:
    return shutil.copytree(healthy, tmp_path / "taste")


def harm(folder: Path, *statements: str) -> None:
    """What the store itself would never let happen."""
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.create_function("nan", 0, lambda: NAN)
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def scores_in(folder: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        columns = "event_id, image_id, value, why, scorer, at, undone_at"
        return connection.execute(f"SELECT {columns} FROM hand_scores ORDER BY id").fetchall()


def names(report: DoctorReport) -> set[str]:
    return {finding.name for finding in report.findings if not finding.note}


def found(report: DoctorReport, name: str) -> Finding:
    return next(finding for finding in report.findings if finding.name == name)


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(labeler, ["--project", str(folder), "doctor", *arguments])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.output


def test_a_healthy_project_has_nothing_and_says_that_there_is_no_backup(folder: Path) -> None:
    report = check_project(folder)
    assert [finding.name for finding in report.findings] == ["backups"]
    code, output = run(folder)
    assert code == 0
    assert "25 scored images are in none" in output
    assert "labeler backup FILE" in output


WRONG_ROWS = {
    "counts": "UPDATE image_counts SET images = images + 3",
    "counts lost": "DELETE FROM image_counts",
    "counts too large": "UPDATE image_counts SET images = 9223372036854775807,"
    " id_sum = 9223372036854775807",
    "hand scores": "UPDATE images SET hand_score = 10 WHERE id IN (1, 2, 28)",
    "hand scores lost": "UPDATE images SET hand_score = NULL",
    "states": "UPDATE images SET state = 'missing' WHERE id = 3",
    "places": "DELETE FROM locations WHERE image_id = 31",
    "cards": "UPDATE round_images SET outcome = 'skipped'",
    "versions": "UPDATE versions SET scored_count = 99, batches = 0",
    "references": "INSERT INTO image_tags VALUES (777, 'table', 'sky')",
    "references to versions": "UPDATE hand_scores SET shown_version_id = 9 WHERE id = 1",
    "rule": "INSERT INTO settings VALUES ('effective_rule', 'best')",
    "rule of nobody": "INSERT INTO settings VALUES ('effective_rule', 'person:nobody')",
    "runs": "INSERT INTO runs (kind, state, params, pid, started_at, heartbeat_at, done, total,"
    " what, curve, stop_requested) VALUES ('embed', 'active', '{}', 1,"
    " '2025-01-01T00:00:00.000000+00:00', '2025-01-01T00:00:00.000000+00:00', 0, 0, '', '[]', 0)",
    "settings": "UPDATE settings SET value = 'half' WHERE name = 'threshold'",
    "settings of checks": "INSERT INTO settings VALUES ('audit_every', '-4')",
    "settings of repeats": "INSERT INTO settings VALUES ('repeat_every', '3')",
    "settings of encoders": "UPDATE settings SET value = 'eyes' WHERE name = 'encoder'",
    "settings of encoders nested": "UPDATE settings SET value = replace(hex(zeroblob(20000)), '0',"
    " '/normalised') WHERE name = 'encoder'",
    "settings of backups": 'INSERT INTO settings VALUES (\'last_backup\', \'{"place": "/x",'
    ' "at": "2020-01-01T00:00:00", "hand_scores": 1e999}\')',
    "settings of backups nested": "INSERT INTO settings VALUES ('last_backup',"
    " replace(hex(zeroblob(50000)), '0', '['))",
    "settings of backups at no time": "INSERT INTO settings VALUES ('last_backup', '{\"place\":"
    ' "/x", "at": "0001-01-01T00:00:00+14:00", "hand_scores": 1}\')',
    "settings of checks too long": "INSERT INTO settings VALUES ('audit_every',"
    " replace(hex(zeroblob(50000)), '0', '9'))",
    "embeddings": "UPDATE embeddings SET vector = x'0011' WHERE image_id = 5",
    "embeddings not finite": "UPDATE embeddings SET vector = nan() WHERE image_id IN (6, 30)",
    "predictions": "UPDATE predictions SET score = 9e999 WHERE image_id = 4",
    "predictions below": "UPDATE predictions SET score = -0.1 WHERE image_id IN (4, 9)",
    "predictions in brackets": "UPDATE predictions SET exceed = x'" + 9 * "0000" + "007e'",
    "predictions cut off": "UPDATE predictions SET exceed = x'0011' WHERE image_id = 4",
    "predictions as text": "UPDATE predictions SET exceed = 'abcdefghijklmnopqrst'",
}


@pytest.mark.parametrize("what", WRONG_ROWS)
def test_rows_that_are_wrong_are_found_and_mended(folder: Path, what: str) -> None:
    before, before_it = scores_in(folder), images_in(folder)
    harm(folder, WRONG_ROWS[what])
    report = check_project(folder)
    assert any(what.startswith(name) for name in names(report)), names(report)
    assert not report.healthy
    mended = check_project(folder, repair=True)
    assert mended.healthy, mended.findings
    assert mended.backup is not None
    assert check_project(folder).healthy
    assert [row[:6] for row in scores_in(folder)] == [row[:6] for row in before]
    if what != "places":
        assert images_in(folder) == before_it
    with closing(Store.open(mended.backup)) as as_it_was:
        assert db.scores.hand_scores.history(as_it_was, 1)


def test_the_largest_of_ids_is_counted_along(folder: Path) -> None:
    """Whose sum is beyond what SQLite adds up."""
    largest = 9223372036854775807
    harm(
        folder,
        *(
            f"UPDATE OR IGNORE {table} SET {column} = {largest} WHERE {column} = 1"
            for table, column in (
                ("images", "id"),
                ("locations", "image_id"),
                ("hand_scores", "image_id"),
                ("embeddings", "image_id"),
            )
        ),
    )
    before = scores_in(folder)
    assert check_project(folder, repair=True).healthy
    assert check_project(folder).healthy
    assert scores_in(folder) == before
    project = Project.open(folder)
    assert db.images.counts.by_hand_score(project.store).scored == 25
    assert db.images.counts.image_stamp(project.store)
    project.close()


def test_names_without_end_are_told_and_cut(folder: Path) -> None:
    """Listing, sorting and comparing names of a megabyte each takes minutes."""
    harm(folder, "UPDATE hand_scores SET scorer = id || replace(hex(zeroblob(10000)), '0', 'x')")
    before = scores_in(folder)
    code, output = run(folder)
    assert (code, "values can't be read" in output) == (1, True)
    ended = CliRunner().invoke(labeler, ["--project", str(folder), "scorers"])
    assert ended.exit_code == 1
    assert "labeler doctor" in ended.output
    assert check_project(folder, repair=True).healthy
    assert [row[:4] + row[5:] for row in scores_in(folder)] == [row[:4] + row[5:] for row in before]
    ended = CliRunner().invoke(labeler, ["--project", str(folder), "scorers"])
    assert ended.exit_code == 0


def test_counts_too_large_to_be_added_up_stop_nobody(folder: Path) -> None:
    harm(folder, WRONG_ROWS["counts too large"])
    for command in ("status", "review"):
        ended = CliRunner().invoke(labeler, ["--project", str(folder), command])
        assert isinstance(ended.exception, SystemExit | None), ended.exception
    project = Project.open(folder)
    assert set(db.images.counts.by_state(project.store)) == {"fine", "unreadable", "missing"}
    assert db.images.counts.image_stamp(project.store)
    assert db.images.sources.counts_by_source(project.store)
    project.close()


def test_embeddings_of_another_width_than_the_second_opinions_are_a_sentence(folder: Path) -> None:
    harm(
        folder,
        "UPDATE encoders SET width = width + 1",
        "UPDATE embeddings SET vector = zeroblob(4 + length(vector))",
    )
    for command in ("review", "rounds"):
        ended = CliRunner().invoke(labeler, ["--project", str(folder), command])
        assert isinstance(ended.exception, SystemExit | None), ended.exception
    project = Project.open(folder)
    version = db.versions.registry.active(project.store)
    assert version is not None
    with pytest.raises(ModelError, match=r"reads embeddings of .* train a version again"):
        load_second_opinion(project, version)
    project.close()
    assert "heads" in names(check_project(folder))


def images_in(folder: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / STORE_FILE)) as connection:
        return connection.execute("SELECT id, state, hand_score, source_id FROM images").fetchall()


def test_dropped_embeddings_are_computed_and_predicted_anew(folder: Path) -> None:
    harm(folder, WRONG_ROWS["embeddings not finite"])
    assert check_project(folder, repair=True).healthy
    project = Project.open(folder)
    record = db.images.embeddings.encoder(project.store, project.encoder)
    version = db.versions.registry.active(project.store)
    assert record is not None
    assert version is not None
    waiting = [image_id for image_id, _ in db.images.embeddings.missing(project.store, record.id)]
    assert waiting[:2] == [6, 30]
    db.images.embeddings.put(
        project.store, record.id, waiting[:2], np.ones((2, 8), dtype=np.float32)
    )
    assert predict_stored(project, version) == 2
    project.close()
    assert check_project(folder).healthy


def test_a_scored_image_whose_row_is_gone_comes_back_as_a_missing_one(folder: Path) -> None:
    before = scores_in(folder)
    harm(
        folder, "DELETE FROM images WHERE id IN (2, 3)", "DELETE FROM locations WHERE image_id = 3"
    )
    assert "references" in names(check_project(folder))
    assert check_project(folder, repair=True).healthy
    assert scores_in(folder) == before
    with closing(Store.open(folder / STORE_FILE)) as store:
        effective = dict(
            zip(*(each.tolist() for each in db.scores.hand_scores.effective(store)), strict=True)
        )
    assert (effective[2], effective[3]) == (1, 2)
    states = {row[0]: row[1] for row in images_in(folder)}
    assert (states[2], states[3]) == ("missing", "missing")
    project = Project.open(folder)
    (root,) = {Path(image.path).parent for image in db.images.lookup.by_ids(project.store, [1])}
    import_paths(project, [root], source="gradients", workers=1)
    found_again = db.images.lookup.get(project.store, 2)
    assert found_again is not None
    assert (found_again.state, found_again.hand_score) == ("fine", 1)
    project.close()


def break_previews(folder: Path) -> None:
    for number, path in enumerate(sorted((folder / "previews").rglob("*.jpg"))):
        if number < 3:
            path.unlink()
        elif number == 3:
            path.write_bytes(b"")


def leave_files(folder: Path) -> None:
    """As killed processes do; one has just been written, and may still be."""
    digest = "ab" * 32
    for name in (
        f"previews/ab/{digest}.jpg",
        f"thumbnails/ab/{digest}.jpg",
        ".labeler-0011.part",
        "models/.labeler-0a1b.part",
        ".labeler.sqlite.77.part",
        "labeler.sqlite.before-0004.partial",
        "sketches/1-0-9.npy",
        "runs/77.log",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left over")
        os.utime(path, (LONG_AGO, LONG_AGO))
    (folder / "previews" / "ab" / f"{'cd' * 32}.jpg").write_bytes(b"being imported")
    (folder / "previews" / "notes.txt").write_text("mine")


@pytest.mark.parametrize(
    ("harmed", "name", "count"), [(break_previews, "previews", 4), (leave_files, "leftovers", 8)]
)
def test_files_that_are_wrong_are_found_and_mended(
    folder: Path, harmed: Callable[[Path], None], name: str, count: int
) -> None:
    before = {path for path in folder.rglob("*") if path.suffix == ".jpg"}
    harmed(folder)
    report = check_project(folder)
    assert names(report) == {name}
    assert found(report, name).count == count
    mended = check_project(folder, repair=True)
    assert mended.healthy
    assert mended.backup is None, "nothing in the store was changed"
    assert check_project(folder).healthy
    assert before <= {path for path in folder.rglob("*") if path.suffix == ".jpg"}


def test_files_that_somebody_may_want_stay(folder: Path) -> None:
    leave_files(folder)
    shutil.copy(folder / "models" / "v1.0.safetensors", folder / "models" / "mine.safetensors")
    (folder / "notes.txt").write_text("mine")
    report = check_project(folder, repair=True)
    assert found(report, "strange heads").note
    for name in (
        "notes.txt",
        "previews/notes.txt",
        "models/mine.safetensors",
        f"previews/ab/{'cd' * 32}.jpg",
    ):
        assert (folder / name).exists(), name


def test_a_preview_whose_picture_is_gone_is_left_and_said(folder: Path) -> None:
    with closing(Store.open(folder / STORE_FILE)) as store:
        image = db.images.lookup.get(store, 33)
    assert image is not None
    project = Project.open(folder)
    preview_path(project, image.content_hash or "").unlink()
    project.close()
    moved = Path(image.path).with_suffix(".away")
    Path(image.path).rename(moved)
    try:
        report = check_project(folder, repair=True)
    finally:
        moved.rename(image.path)
    assert not report.healthy
    assert "The file is not there any more" in found(report, "previews").left[1]
    assert check_project(folder, repair=True).healthy


def test_a_version_whose_files_are_gone_or_damaged_is_told_with_what_to_do(folder: Path) -> None:
    head = folder / "models" / "v1.0.safetensors"
    whole = head.read_bytes()
    for harmed, why in (
        (None, "is missing"),
        (whole[: len(whole) // 2], "can't be read as safetensors"),
        (b"", "can't be read as safetensors"),
    ):
        head.unlink(missing_ok=True)
        if harmed is not None:
            head.write_bytes(harmed)
        code, output = run(folder, "--repair")
        assert code == 1
        assert why in output
        assert "train again" in output
    head.write_bytes(whole)
    (folder / "models" / "v1.0.opinion.npz").unlink()
    assert "heads" in names(check_project(folder))


def test_out_of_fold_predictions_cannot_be_made_again(folder: Path) -> None:
    harm(folder, "UPDATE out_of_fold SET score = 2 WHERE image_id = 1")
    report = check_project(folder, repair=True)
    assert not report.healthy
    assert "train again" in found(report, "out-of-fold").advice


def test_it_looks_while_the_app_runs_and_leaves_what_is_at_work_alone(folder: Path) -> None:
    with closing(Store.open(folder / STORE_FILE)) as store:
        active, _ = db.jobs.start(store, "import", {}, pid=os.getpid())
        with store.transaction():
            assert check_project(folder).healthy
        assert check_project(folder, repair=True).healthy
        kept = db.jobs.get(store, active.id)
        assert kept is not None
        assert kept.state == "active"


def test_as_json_it_is_one_document_with_all_that_was_found(folder: Path) -> None:
    harm(folder, WRONG_ROWS["counts"], "UPDATE out_of_fold SET score = 2 WHERE image_id = 1")
    code, output = run(folder, "--json")
    told = json.loads(output)
    assert (code, told["healthy"], told["backup"]) == (1, False, None)
    by_name = {finding["name"]: finding for finding in told["findings"]}
    assert by_name["counts"]["repairable"] is True
    assert by_name["out-of-fold"]["examples"] == ["image 1"]
    code, output = run(folder, "--json", "--repair")
    told = json.loads(output)
    assert (code, told["healthy"]) == (1, False)
    assert {each["name"]: each["mended"] for each in told["findings"]} == {
        "counts": True,
        "out-of-fold": False,
        "backups": False,
    }
    assert Path(told["backup"]).is_file()


def test_the_next_step_is_said(folder: Path) -> None:
    harm(folder, WRONG_ROWS["counts"])
    code, output = run(folder)
    assert code == 1
    assert "Next: labeler doctor --repair" in output
    code, output = run(folder, "--repair")
    assert code == 0
    assert "before-repair" in output
    assert run(folder)[0] == 0


def test_only_what_the_program_itself_began_is_removed(folder: Path) -> None:
    mine = folder / "holiday.zip.part"
    preview = folder / "previews" / "ab" / f"{'ab' * 32}.jpg"
    preview.parent.mkdir(parents=True, exist_ok=True)
    for path in (mine, preview):
        path.write_bytes(b"x")
        os.utime(path, (LONG_AGO, LONG_AGO))
    repaired = folder / f"{STORE_FILE}.before-repair-20260101-000000"
    repaired.write_bytes(b"")
    check_project(folder, repair=True)
    assert mine.exists() and preview.exists(), "the preview may be all that is left of a picture"
    repaired.unlink()
    check_project(folder, repair=True)
    assert mine.exists() and not preview.exists()
