"""Protects what leaves the program: names, tags and notes of others are text in every file that is
written and in every line that is printed. No table program, reader of Markdown, loader or terminal
takes them for more.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sqlalchemy import update

import db.versions.registry
from db.store.schema import VersionRow
from labeler.cli.main import labeler
from labeler.core.project import Project
from labeler.core.text import MARK, legible
from labeler.exports.models.card_sections import SECTIONS, set_section
from labeler.exports.models.target import target
from tests.support.hostile import (
    ESCAPES,
    EVIL,
    FORMULA,
    HTML,
    NAMES,
    PICTURE,
    SOURCES,
    TAGS,
    make_hostile,
)

# What a terminal obeys or a reader doesn't see; ends of lines are the program's own.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
RUN = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e-?\d+)?")
BELL = "x\x1b]0;owned\x07\x9b31m\u202e"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    with closing(make_hostile(folder)) as project:
        for section in SECTIONS:  # A person's own words are Markdown of theirs.
            set_section(project, section, "")
        return project.folder


@pytest.fixture(scope="module")
def pictures(made: Path) -> Path:
    return next(made.parent.glob("*/=folder()"))


def call(made: Path, *words: object) -> Result:
    """As at a terminal: click takes no colours, and with them no escapes, out of what is said."""
    given = ["--project", str(made), *map(str, words)]
    return CliRunner().invoke(labeler, given, color=True)


def said(done: Result) -> str:
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert [ascii(found) for found in RAW.findall(done.output)] == []
    return done.output


@pytest.mark.parametrize(
    "words",
    [
        *(["status"], ["review"], ["review", "--json"], ["audit"], ["rounds"], ["scorers"]),
        *(["slices"], ["slices", "--by", "tag"], ["versions"], ["card", "show"], ["doctor"]),
    ],
    ids=" ".join,
)
def test_what_is_printed_steers_no_terminal(made: Path, words: list[str]) -> None:
    done = call(made, *words)
    assert done.exit_code == 0, done.output
    said(done)


@pytest.mark.parametrize(
    "words",
    [
        *(["import", BELL], ["label", BELL, "5"], ["versions", "activate", BELL], ["status", BELL]),
        *(["status", f"--{BELL}"], [BELL], ["app", "--port", BELL], ["app", "--host", BELL]),
        *(["--project", BELL, "status"], ["export", "dataset", "x.csv", "--split", BELL], ["card"]),
        *(["predict", BELL], ["tag", BELL], ["label", "--from", BELL], ["export", BELL]),
    ],
    ids=ascii,
)
def test_what_is_refused_is_repeated_without_steering_it(made: Path, words: list[str]) -> None:
    done = call(made, *words)
    assert done.exit_code in (1, 2)
    said(done)


def test_images_are_imported_named_and_predicted_without_it(
    made: Path, pictures: Path, tmp_path: Path
) -> None:
    for words in (
        ["import", pictures, made.parent / "broken"],
        ["label", pictures / f"{ESCAPES}.png", "5"],
        ["predict", pictures],
        ["predict", pictures, "--json"],
        ["predict", pictures, "--out", tmp_path / "list.csv", "--copy-to", tmp_path / "kept"],
    ):
        done = call(made, *words)
        assert done.exit_code == 0, done.output
        said(done)
    assert cells(tmp_path / "list.csv")
    # Copies keep their names, below the folder that was named; what no store can hold is told.
    kept = {path.name for path in (tmp_path / "kept").rglob("*.png")}
    assert kept == {f"{name}.png" for name in NAMES if "\udcff" not in name}
    assert "not valid UTF-8" in done.output


def test_sidecars_lie_beside_the_copies(made: Path, pictures: Path, tmp_path: Path) -> None:
    for form in ("json", "txt"):
        done = call(
            made, "predict", pictures, "--copy-to", tmp_path / form, "--sidecar", form, "--flat"
        )
        assert done.exit_code == 0, done.output
        said(done)
        beside = list((tmp_path / form).glob(f"*.{form}"))
        assert len(beside) >= len(NAMES) - 3  # the longest names have no room for a longer one
    assert all(json.loads(each.read_text()) for each in (tmp_path / "json").glob("*.json"))


def cells(file: Path) -> list[str]:
    """Of a CSV file; none of them begins a formula, wherever a program lets a cell begin."""
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as opened:
        found = [cell for row in csv.reader(opened) for cell in row]
    for cell in found:
        parts = [part for part in re.split("[;\t]", cell) if not NUMBER.fullmatch(part)]
        assert [part for part in parts if RUN.match(part)] == [], ascii(cell)
    return found


@pytest.fixture(scope="module")
def exported(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("exported")
    for words in (
        ["dataset", out / "dataset.csv"],
        ["dataset", out / "dataset.parquet"],
        ["imagefolder", out / "imagefolder", "--format", "csv"],
        ["score-folders", out / "score-folders"],
        ["cityclassifiers", out / "cityclassifiers"],
        ["clip-retrieval", out / "clip-retrieval"],
        ["label-studio", out / "label-studio"],
        ["data-card", out / "data-card.md"],
        ["model-card", out / "model-card.md"],
        ["contact-sheet", out / "sheet.png", "--top", "30"],
        ["python", out / "score.py"],
    ):
        done = call(made, "export", *words)
        assert done.exit_code == 0, done.output
        said(done)
    yield out


def test_no_table_runs_a_formula(exported: Path) -> None:
    tables = sorted(exported.rglob("*.csv"))
    assert len(tables) >= 7
    assert f"'{FORMULA}" in [cell for table in tables for cell in cells(table)]


def test_other_tables_have_every_letter(exported: Path) -> None:
    table = pyarrow.parquet.read_table(exported / "dataset.parquet").to_pylist()
    assert {row["source"] for row in table} >= {PICTURE, *SOURCES}
    assert set(TAGS) == {tag for row in table for tag in row["tags"] or []}
    names = {row["path"].rsplit("/", 1)[1] for row in table}
    assert {f"{name}.png" for name in NAMES if name.isascii()} <= names


def test_no_card_fetches_runs_or_hides_anything(exported: Path) -> None:
    cards = sorted(exported.rglob("*.md"))
    assert len(cards) >= 4
    for card in cards:
        text = card.read_text(encoding="utf-8")
        outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for part in ("<img", "<script", "<svg", f"](http://{EVIL}", "](javascript:", "!["):
            found = re.search(rf"(?<!\\){re.escape(part)}", outside)
            ours = part == "![" and re.search(r"!\[[^\]]*\]\([\w./-]+\)", outside)
            assert found is None or ours, (card.name, part)
        assert RAW.sub("", text) == text, card.name
    assert HTML.replace("<", r"\<").split("=")[0] in cards[0].read_text(encoding="utf-8")


def test_what_is_written_for_others_is_well_formed(exported: Path) -> None:
    [tasks] = (exported / "label-studio").glob("*.json")
    for task in json.loads(tasks.read_text(encoding="utf-8")):
        assert task["data"]["image"].startswith("/data/local-files/?d=")
        assert re.fullmatch(r"[\w./%~?=-]+", task["data"]["image"], re.ASCII)
    script = ast.parse((exported / "score.py").read_text(encoding="utf-8"))
    calls = {ast.unparse(each.func) for each in ast.walk(script) if isinstance(each, ast.Call)}
    assert "alert" not in calls and "cmd" not in calls
    with Image.open(exported / "sheet.png") as sheet:
        sheet.load()


def test_file_names_that_we_make_are_tame(exported: Path) -> None:
    for folder in ("imagefolder", "score-folders", "cityclassifiers", "clip-retrieval"):
        for path in (exported / folder).rglob("*"):
            assert re.fullmatch(r"[\w .()-]+", path.name), ascii(path.name)
            assert not path.name.startswith("-")


def test_nothing_is_hidden_in_a_name_that_is_shown() -> None:
    assert legible("photo\u202egnp.exe\n\x1b[2J\udcff") == f"photo{MARK}gnp.exe{MARK}{MARK}[2J?"
    family = "👩‍👧 café नमस्ते עברית"
    assert legible(family) == family
    for hidden in "\xad\u200b\u2060\u2064\u206a\ufeff\ufffa\U000e0001\U000e0061":
        assert legible(f"cat{hidden}.jpg") == f"cat{MARK}.jpg"
    scotland = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
    assert legible(scotland) == scotland
    assert legible(scotland.replace("\U000e0073", "\U000e0078")).count(MARK) == 6


def test_a_strangers_version_leads_to_no_other_folder(made: Path, tmp_path: Path) -> None:
    with closing(Project.open(made)) as project:
        version = db.versions.registry.history(project.store)[0]
        with project.store.transaction() as session:
            session.execute(
                update(VersionRow).where(VersionRow.id == version.id).values(file="../../away")
            )
        assert db.versions.registry.history(project.store)[0].file == "away"
        for name in ("x/../../../away", "..\\..\\away", "/away"):
            file = target(project, replace(version, name=name), tmp_path, ".onnx")
            assert file.parent == tmp_path
