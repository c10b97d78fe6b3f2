"""Protects `labeler predict` as a filter over folders: which pass, what becomes of them, and that
what can't be meant is refused before anything is written.

All pictures are known by their content, so no encoder is loaded.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import db.images.locations
import db.scores.events
from db.records import Event
from labeler.cli.commands import predict_output
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.core.scale import whole_percent
from labeler.versions.train import train
from model.training.quick import Quick
from tests.support.shades import Brightness, draw_shades

PICTURES = 30
AT = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions, and the pictures again in folders that the project doesn't know."""
    folder = tmp_path_factory.mktemp("filter")
    project = Project.create(folder / "taste", encoder="lite")
    paths = draw_shades(folder / "pictures", PICTURES)
    import_paths(project, [folder / "pictures"], workers=1)
    ids = db.images.locations.ids_by_path(project.store)
    events = [
        Event(f"e{n}", "score", ids[str(path)], AT, value=float(round(n * 10 / PICTURES)))
        for n, path in enumerate(paths)
    ]
    db.scores.events.record(project.store, events)
    for steps in (12, 4):
        train(project, encoder=Brightness(), recipe=Quick(steps, features=8, hidden=64, folds=2))
    project.close()
    for n, path in enumerate(paths):
        target = folder / "new" / ("dark" if n < 15 else "bright") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder


def call(made: Path, *words: object, code: int = 0) -> Result:
    given = ["--project", str(made / "taste"), "predict", *(str(word) for word in words)]
    done = CliRunner().invoke(labeler, given)
    assert done.exit_code == code, done.output
    return done


def listed(made: Path, *words: object) -> list[float]:
    found = json.loads(call(made, made / "new", "--json", *words).stdout)
    return [image["prediction"] for image in found["images"]]


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


def test_high_pass_band_pass_and_the_best(made: Path) -> None:
    everything = listed(made)
    assert len(everything) == PICTURES
    assert everything == sorted(everything, reverse=True)
    assert listed(made, "--min", "0.5") == [one for one in everything if one >= 0.5]
    band = listed(made, "--min", "0.3", "--max", "0.6")
    assert band == [one for one in everything if 30 <= whole_percent(one) <= 60]
    assert 0 < len(band) < PICTURES
    assert (
        listed(made, "--max", "0.6", "--top", "2")
        == [one for one in everything if whole_percent(one) <= 60][:2]
    )


def test_an_end_takes_all_that_is_printed_as_it(made: Path) -> None:
    """As the original's folder tool has it: min <= int(100 * score) <= max."""
    for one in listed(made):
        end = whole_percent(one) / 100
        assert one in listed(made, "--min", end, "--max", end)


def test_brackets_are_told(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = call(made, made / "new", "--top", "3")
    assert "By bracket: 3 in 5–10 (high quality" in told.stderr
    assert all(line.endswith("]") for line in told.stdout.splitlines())
    found = json.loads(call(made, made / "new", "--json").stdout)["images"]
    assert {"2–3", "5–10"} <= {image["bracket"] for image in found}
    monkeypatch.setattr(predict_output, "is_terminal", lambda: True)
    shown = call(made, made / "new", "--top", "1").stdout
    assert shown.strip().endswith("]  5–10")


def test_any_version_is_asked_by_its_name(made: Path) -> None:
    assert listed(made, "--version", "v1.0") != listed(made) == listed(made, "--version", "v1.1")
    assert "labeler versions" in call(made, made / "new", "--version", "v9", code=1).stderr


def test_those_that_pass_are_copied_with_their_folders_and_sidecars(
    made: Path, tmp_path: Path
) -> None:
    out = tmp_path / "good"
    words = (made / "new", "--top", "2", "--copy-to", out, "--sidecar", "json")
    assert "Copied 2 images" in call(made, *words).stderr
    found = files(out)
    assert len(found) == 4
    assert all(name.startswith("bright/shade ") for name in found)
    [first, _] = sorted(out.rglob("*.json"))
    assert set(json.loads(first.read_text(encoding="utf-8"))) >= {"path", "prediction", "version"}
    assert "there already: 2" in call(made, *words).stderr
    assert files(out) == found


def test_flat_links_from_a_folder_and_copies_from_a_tar(made: Path, tmp_path: Path) -> None:
    tar = tmp_path / "all.tar"
    with tarfile.open(tar, "w") as packed:
        packed.add(made / "new", "new")
    linked, taken = tmp_path / "linked", tmp_path / "taken"
    how = ("--top", "2", "--flat", "--link", "sym", "--copy-to")
    assert "no links" not in call(made, made / "new", *how, linked).stderr
    assert "2 of them are copies and no links" in call(made, tar, *how, taken).stderr
    assert files(linked) == files(taken)
    assert all(path.is_symlink() for path in linked.iterdir())
    assert not any(path.is_symlink() for path in taken.iterdir())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--link", "sym"], 2, "--copy-to DIR"),
        (["--flat"], 2, "--copy-to DIR"),
        (["--sidecar", "txt"], 2, "--copy-to DIR"),
        (["--link", "soft", "--copy-to", "x"], 2, "'soft'"),
        (["--sidecar", "xml", "--copy-to", "x"], 2, "'xml'"),
        (["--out", "{made}/notes.csv"], 1, "is there already"),
        (["--copy-to", "{made}/new"], 1, "another folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    made: Path, words: list[str], code: int, said: str
) -> None:
    (made / "notes.csv").write_text("path,score\na.png,7\n")
    before = files(made / "new")
    told = call(made, made / "new", *(word.format(made=made) for word in words), code=code)
    assert said in told.stderr
    assert files(made / "new") == before
    assert (made / "notes.csv").read_text() == "path,score\na.png,7\n"


def test_the_list_has_the_brackets_and_is_replaced_by_the_next(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "list.csv"
    call(made, made / "new", "--out", out)
    call(made, made / "new", "--out", out, "--top", "1")
    [header, row] = out.read_text(encoding="utf-8").splitlines()
    assert header == "path,prediction,version,bracket"
    assert row.endswith(",v1.1,5–10")
