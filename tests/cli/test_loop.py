"""Protects the loop as a script drives it: init, import, embed, label, train, review, correct,
train again, go back, predict, export. Every command by its promised name and flags, on pictures
drawn here and with the encoder that needs no download."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from labeler.cli.main import labeler
from labeler.core.project import Project
from labeler.versions.train import train
from model.training.quick import Quick
from tests.support.shades import draw_shades

PICTURES = 36


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loop")


def call(folder: Path, *arguments: str | Path, code: int = 0) -> Result:
    """A command on the project in `folder`; its exit code must be `code`."""
    words = ["--project", str(folder / "taste"), *map(str, arguments)]
    result = CliRunner().invoke(labeler, words)
    assert result.exit_code == code, result.output
    return result


def document(folder: Path, *arguments: str | Path) -> Any:
    """The JSON that a command prints, alone, on standard output."""
    return json.loads(call(folder, *arguments, "--json").stdout)


@pytest.fixture(scope="module")
def imported(folder: Path) -> Path:
    """The first steps: a project with 36 images and their embeddings."""
    draw_shades(folder / "pictures", PICTURES)
    (folder / "pictures" / "broken\x1b[31m.png").write_bytes(b"no picture")
    (folder / "pictures" / "notes.txt").write_text("no picture either")
    made = CliRunner().invoke(labeler, ["init", str(folder / "taste"), "--encoder", "lite"])
    assert made.exit_code == 0
    told = call(folder, "import", folder / "pictures", "--source", "mine", "--expect", "0:9")
    assert f"{PICTURES} new" in told.stdout
    assert r"broken\x1b[31m.png" in told.stderr
    assert f"Embedded {PICTURES} images" in call(folder, "embed").stdout
    return folder


@pytest.fixture(scope="module")
def trained(imported: Path) -> Path:
    """Scored from a file, dark 0 to bright 10, but for the last six; and a first version."""
    with (imported / "scores.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "score", "group"])
        for number in range(PICTURES - 6):
            score = round(number * 10 / PICTURES)
            rows.writerow([f"pictures/shade {number:03}.png", score, f"g{number // 2}"])
        rows.writerow(["pictures/shade 035.png", "", ""])
        rows.writerow(["pictures/nowhere.png", 5, ""])
    taken = call(imported, "label", "--from", imported / "scores.csv")
    assert "Scored 30 images" in taken.stdout
    assert "scores.csv, line 33" in taken.stderr
    version = document(imported, "train", "--recipe", "quick", "--note", "dark to bright")
    assert (version["name"], version["scored"], version["active"]) == ("v1.0", 30, True)
    assert version["note"] == "dark to bright"
    return imported


def test_importing_and_embedding_again_takes_only_what_is_new(imported: Path) -> None:
    assert f"{PICTURES} known" in call(imported, "import", imported / "pictures").stdout
    assert "Embedded 0 images" in call(imported, "embed").stdout


def test_the_status_counts_everything(trained: Path) -> None:
    now = document(trained, "status")
    assert (now["fine"], now["embedded"], len(now["unreadable"])) == (PICTURES, PICTURES, 1)
    assert sum(now["distribution"]) == now["scored"] == PICTURES - now["unscored"]
    assert now["sources"][0]["expect"] == [0, 9]
    shown = call(trained, "status").stdout
    assert "unscored" in shown
    assert "* v1.0" in shown


def test_the_same_scores_again_add_nothing(trained: Path) -> None:
    assert "Scored 0 images" in call(trained, "label", "--from", trained / "scores.csv").stdout


def test_review_lists_cards_that_label_can_correct(trained: Path) -> None:
    cards = document(trained, "review", "--queue", "hand-score", "--limit", "5")["cards"]
    assert 0 < len(cards) <= 5
    assert {"id", "path", "prediction", "score", "reasons", "near"} <= set(cards[0])
    call(trained, "label", str(cards[0]["id"]), str(cards[0]["score"]))
    for queue in ("false-positive", "false-negative"):
        listed = call(trained, "review", "--queue", queue).stdout
        assert listed.strip()


def test_a_second_version_and_back_to_the_first(trained: Path) -> None:
    call(trained, "label", trained / "pictures" / "shade 034.png", "9.5")
    project = Project.open(trained / "taste")
    train(
        project, recipe=Quick(steps=12, features=8, hidden=64, folds=2)
    )  # as the command, only shorter
    project.close()
    listed = document(trained, "versions")
    assert [(one["name"], one["parent"]) for one in listed] == [("v1.0", None), ("v1.1", "v1.0")]
    call(trained, "versions", "activate", "v1.0")
    assert [one["active"] for one in document(trained, "versions")] == [True, False]
    assert "* v1.0" in call(trained, "versions").stdout
    assert "v7.7" in call(trained, "versions", "activate", "v7.7", code=1).stderr


def test_predicting_prints_copies_and_writes(trained: Path) -> None:
    new = trained / "new"
    draw_shades(new / "deep", 5, seed=1)
    out, copies = trained / "list.csv", trained / "good"
    lines = call(trained, "predict", new, "--top", "3", "--copy-to", copies, "--out", out)
    shown = lines.stdout.splitlines()
    assert len(shown) == 3
    percents = [int(line.split("%")[0]) for line in shown]
    assert percents == sorted(percents, reverse=True)
    assert all(line.endswith(".png]") for line in shown)
    assert len(list((copies / "deep").iterdir())) == 3
    assert len(out.read_text().splitlines()) == 4
    found = document(trained, "predict", new, "--min", "0.5")
    assert found["version"] in ("v1.0", "v1.1")
    assert all(image["prediction"] >= 0.5 for image in found["images"])


def test_predicting_from_the_project_folder_needs_no_flag(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained / "taste")
    monkeypatch.delenv("LABELER_PROJECT", raising=False)
    picture = os.path.relpath(trained / "pictures" / "shade 001.png")
    here = CliRunner().invoke(labeler, ["predict", picture])
    assert here.stdout.strip().endswith(f"% [{picture}]")
    monkeypatch.chdir(trained)
    elsewhere = CliRunner().invoke(
        labeler, ["status", "--json"], env={"LABELER_PROJECT": str(trained / "taste")}
    )
    assert elsewhere.exit_code == 0


def test_nothing_readable_is_a_failure(trained: Path) -> None:
    broken = trained / "only broken"
    broken.mkdir()
    (broken / "broken.png").write_bytes(b"no picture")
    told = call(trained, "predict", broken, code=1)
    assert "broken.png" in told.stderr
    assert told.stdout == ""


def test_both_exports(trained: Path) -> None:
    call(trained, "export", "dataset", trained / "out", "--format", "parquet")
    assert (trained / "out" / "dataset.parquet").stat().st_size > 0
    told = call(trained, "export", "model", trained / "out").stdout
    assert len(told.splitlines()) == 2
    [config] = (trained / "out").glob("*.config.json")
    assert json.loads(config.read_text())["arch"] == "score"


@pytest.fixture
def unscored(tmp_path: Path) -> Path:
    """A project with two images and nothing else."""
    CliRunner().invoke(labeler, ["init", str(tmp_path / "taste"), "--encoder", "lite"])
    draw_shades(tmp_path / "pictures", 2)
    call(tmp_path, "import", tmp_path / "pictures")
    return tmp_path


def test_labelling_says_what_it_did(unscored: Path) -> None:
    path = unscored / "pictures" / "shade 001.png"
    assert call(unscored, "label", path, "10").stdout.strip().endswith("shade 001.png: 10")
    assert "(was 10)" in call(unscored, "label", path, "0").stdout
    assert "does not exist" in call(unscored, "label", "nowhere.png", "9", code=1).stderr
    call(unscored, "label", path, "11", code=2)
    assert document(unscored, "status")["distribution"] == [1] + [0] * 10


def test_a_file_of_which_nothing_could_be_taken_is_a_failure(unscored: Path) -> None:
    useless = unscored / "useless.csv"
    useless.write_text("path,score\nnowhere.png,1\n")
    assert "line 2" in call(unscored, "label", "--from", useless, code=1).stderr


def test_too_few_scores_are_refused_with_how_many_are_missing(unscored: Path) -> None:
    call(unscored, "label", unscored / "pictures" / "shade 000.png", "3")
    told = call(unscored, "train", code=1)
    assert "19" in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_reviewing_and_predicting_without_a_version_name_the_next_step(unscored: Path) -> None:
    for words in (["review"], ["predict", unscored], ["export", "model", unscored / "out"]):
        assert "labeler train" in call(unscored, *words, code=1).stderr
