"""Protects the command line of exports: every kind by its promised name and flags, what is told,
and exit codes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from labeler.cli.main import labeler
from labeler.core.project import Project
from labeler.exports.datasets.export import KINDS
from tests.support.exported import images, make_exported


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_exported(folder).close()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(made / "taste", tmp_path / "taste")
    yield tmp_path / "taste"


def call(folder: Path, *words: object, code: int = 0) -> Result:
    called = CliRunner().invoke(labeler, ["--project", str(folder), "export", *map(str, words)])
    assert called.exit_code == code, called.output
    return called


@pytest.mark.parametrize(
    ("words", "told", "file"),
    [
        (["dataset", "--format", "jsonl", "--all"], "33 images", "dataset.jsonl"),
        (["imagefolder", "--link", "hard", "--split", "1:0:0"], "24 images", "README.md"),
        (["imagefolder", "--all", "--format", "jsonl"], "33 images", "train/metadata.jsonl"),
        (["score-folders", "--name", "mine", "--link", "sym"], "24 images", "10_mine"),
        (["cityclassifiers", "--seed", "3"], "24 images", "data/CLIP/test.npy"),
        (["clip-retrieval", "--scored-only"], "24 images", "img_emb/img_emb_0.npy"),
        (["label-studio", "--image-url", "x/"], "33 images", "config.xml"),
    ],
)
def test_every_kind_is_a_command(
    folder: Path, tmp_path: Path, words: list[str], told: str, file: str
) -> None:
    kind, *options = words
    ended = call(folder, kind, tmp_path / "out", *options)
    assert told in ended.stdout
    assert (tmp_path / "out" / file).exists()
    again = call(folder, kind, tmp_path / "out", *options).stdout
    assert "Removed" not in again


def test_the_formats_and_the_commands_are_the_same() -> None:
    group = labeler.commands["export"]
    assert isinstance(group, click.Group)
    assert set(KINDS) <= set(group.commands)


def test_what_is_left_out_is_named_on_standard_error(folder: Path, tmp_path: Path) -> None:
    project = Project.open(folder)
    path = Path(images(project)[2].path)
    project.close()
    kept = path.read_bytes()
    path.unlink()
    try:
        ended = call(folder, "score-folders", tmp_path / "out")
    finally:
        path.write_bytes(kept)
    assert "Wrote 23 images" in ended.stdout
    assert str(path) in ended.stderr
    assert "import the folder that it lies in now" in ended.stderr


def test_the_data_card_alone_keeps_a_licence(folder: Path, tmp_path: Path) -> None:
    call(
        folder, "data-card", tmp_path / "card.md", "--licence", "CC0", "--licence", "drawings=mine"
    )
    call(folder, "data-card", tmp_path / "later")
    for file in (tmp_path / "card.md", tmp_path / "later" / "data-card.md"):
        text = file.read_text(encoding="utf-8")
        assert "CC0" in text
        assert "| mine |" in text


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["dataset", "out.csv", "--format", "parquet"], 1, "drop one"),
        (["imagefolder", "out", "--split", "80"], 1, "80:10:10"),
        (["imagefolder", "out", "--link", "soft"], 2, "--link"),
        (["score-folders", "out", "--all"], 2, "--all"),
        (["everything", "out"], 2, "No such command"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    folder: Path, words: list[str], code: int, told: str
) -> None:
    ended = call(folder, *words, code=code)
    assert told in ended.stderr
    assert "Traceback" not in ended.output


def test_a_folder_with_other_files_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "choose a new or empty" in call(folder, "imagefolder", tmp_path / "mine", code=1).stderr
