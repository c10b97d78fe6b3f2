"""Protects a dataset as a table: each image once, exact cells, its whole history, read back by the
programs that people read tables with."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest

import db.images.tags
import db.scores.hand_scores
from labeler.collection.tags import tag_from_table
from labeler.core.errors import BadInput
from labeler.core.files.csv_escape import escape_formula, unescape_formula
from labeler.core.files.csv_reader import read_lines
from labeler.core.files.tables import Table, write_table
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.formats.dataset import table_file
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.rows import COLUMNS, NESTED
from labeler.scoring.import_scores import import_scores
from tests.support.exported import FORMULA, UNICODE, image_ids, images, make_exported
from tests.support.store_rows import tags_of_image


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_exported(folder).close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(made / "taste", tmp_path / "taste")
    project = Project.open(tmp_path / "taste")
    yield project
    project.close()


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_csv_file_has_one_row_per_image_with_what_is_known_of_it(
    project: Project, tmp_path: Path
) -> None:
    done = export(project, "dataset", tmp_path / "all.csv", Plan())
    rows = rows_of(tmp_path / "all.csv")
    assert done.images == len(rows) == 33
    assert list(rows[0]) == list(COLUMNS)
    assert (rows[0]["score"], rows[0]["history_count"], rows[0]["group"]) == ("9", "2", "kittens")
    assert (rows[3]["score"], rows[3]["history_count"]) == ("3", "1")  # the undone one is left out
    assert [row["score"] for row in rows[11:13]] == ["0", "1"]
    assert (rows[10]["score"], rows[23]["score"], rows[24]["score"]) == ("10", "4.5", "")
    assert {row["split"] for row in rows} <= {"train", "validation", "test"}
    assert {row["version"] for row in rows} == {"v1.0"}
    for row, image in zip(rows, images(project), strict=True):
        assert (row["path"], row["hash"]) == (image.path, image.content_hash)


def test_the_history_of_all_scorers_is_beside_a_csv_file(project: Project, tmp_path: Path) -> None:
    export(project, "dataset", tmp_path / "all.csv", Plan())
    lines = rows_of(tmp_path / "all.history.csv")
    assert len(lines) == 24 + 3 + 1
    last = lines[-1]
    assert (last["scorer"], last["score"], bool(last["undone_at"])) == ("ben", "1", True)
    assert last["at"].endswith("+00:00")
    assert last["hash"] == images(project)[3].content_hash


def test_parquet_and_json_lines_nest_the_whole_history(project: Project, tmp_path: Path) -> None:
    export(project, "dataset", tmp_path / "all.parquet", Plan())
    export(project, "dataset", tmp_path / "all.jsonl", Plan())
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    text = (tmp_path / "all.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert table.column_names == list(NESTED)
    assert table.to_pylist() == rows
    assert str(table.schema.field("tags").type) == "list<element: string>"
    for row, image_id in zip(rows, image_ids(project), strict=True):
        kept = db.scores.hand_scores.history(project.store, image_id)
        assert [one["event"] for one in row["history"]] == [one.event_id for one in kept]
        assert [one["score"] for one in row["history"]] == [one.value for one in kept]
        assert [one["scorer"] for one in row["history"]] == [one.scorer for one in kept]
    assert rows[24]["score"] is None
    assert rows[0]["tags"] == ["@home", "cat"]
    assert not (tmp_path / "all.history.csv").exists()


def test_pandas_reads_all_three_alike(project: Project, tmp_path: Path) -> None:
    for name in ("csv", "parquet", "jsonl"):
        export(project, "dataset", tmp_path / f"all.{name}", Plan())
    frames = [
        pd.read_csv(tmp_path / "all.csv"),
        pd.read_parquet(tmp_path / "all.parquet"),
        pd.read_json(tmp_path / "all.jsonl", lines=True),
    ]
    for column in ("path", "hash", "score", "prediction", "split", "width"):
        for frame in frames[1:]:
            pd.testing.assert_series_equal(frame[column], frames[0][column])
    assert frames[0]["score"].isna().sum() == 9


def test_a_formula_in_a_name_is_text_in_csv_and_reads_back(
    project: Project, tmp_path: Path
) -> None:
    export(project, "dataset", tmp_path / "all.csv", Plan())
    export(project, "dataset", tmp_path / "all.jsonl", Plan())
    rows = rows_of(tmp_path / "all.csv")
    assert rows[0]["source"] == "'=photos"
    assert rows[0]["tags"] == "'@home, cat"
    [first, *_] = read_lines(tmp_path / "all.csv", [("path",)])
    assert (first.cell("source"), first.cell("tags")) == ("=photos", "@home, cat")
    names = {Path(row["path"]).name for row in rows}
    assert {UNICODE, FORMULA} <= names  # a whole path begins with /
    assert json.loads((tmp_path / "all.jsonl").read_text().splitlines()[0])["source"] == "=photos"


AMONG = (
    "x;=1",
    "x;'=1;@2",
    "\n=1",
    "\t\t=1",
    "＝1",
    "'＝1",
    ";;=",
    "a\r\n'+",
    ";'",
    "=1;=2",
    "-;-'-",
)


@pytest.mark.parametrize(
    "text", ["=1", "'=1", "''+1", "-x", "@a", "\tx", "plain", "'quoted'", "", *AMONG]
)
def test_guarding_a_cell_can_be_undone(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
    for cell in re.split("[;\t\r\n]", escape_formula(text)):
        assert cell[:1] not in tuple("=+-@＝")
    assert escape_formula(text)[:1] not in ("\t", "\r", "\n")


def test_an_exported_table_gives_its_scores_and_tags_back(project: Project, tmp_path: Path) -> None:
    export(project, "dataset", tmp_path / "all.csv", Plan())
    summary = import_scores(project, tmp_path / "all.csv")
    assert (summary.taken, summary.unchanged, summary.blank, summary.bad) == (0, 24, 9, [])
    tag_from_table(project, tmp_path / "all.csv")
    assert tags_of_image(project.store, image_ids(project)[0]) == ["@home", "cat"]


def test_only_scored_images_are_taken_if_asked(project: Project, tmp_path: Path) -> None:
    done = export(project, "dataset", tmp_path / "some.csv", Plan(scored_only=True))
    assert done.images == 24
    assert all(row["score"] for row in rows_of(tmp_path / "some.csv"))


def test_image_files_lie_beside_the_table_that_names_them(project: Project, tmp_path: Path) -> None:
    plan = Plan(with_images=True)
    first = export(project, "dataset", tmp_path / "out", plan)
    again = export(project, "dataset", tmp_path / "out", plan)
    assert (first.made, first.there, again.made, again.there) == (33, 0, 0, 33)
    rows = rows_of(tmp_path / "out" / "dataset.csv")
    assert len({row["file"] for row in rows}) == 33
    for row in rows:
        assert (tmp_path / "out" / row["file"]).read_bytes() == Path(row["path"]).read_bytes()


@pytest.mark.parametrize(
    ("out", "file_format", "file"),
    [
        ("some.csv", None, "some.csv"),
        ("SOME.PARQUET", None, "SOME.PARQUET"),
        ("folder", None, "folder/dataset.csv"),
        ("folder", "jsonl", "folder/dataset.jsonl"),
        ("deep/down/some.csv", "csv", "deep/down/some.csv"),
    ],
)
def test_out_is_a_file_by_its_ending_and_else_a_folder(
    project: Project, tmp_path: Path, out: str, file_format: str | None, file: str
) -> None:
    done = export(project, "dataset", tmp_path / out, Plan(file_format=file_format))
    assert done.place == tmp_path / file
    assert (tmp_path / file).stat().st_size > 0
    assert (tmp_path / file).with_name(f"{(tmp_path / file).stem}.data-card.md").is_file()


def test_a_name_and_a_format_that_disagree_are_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="parquet"):
        export(project, "dataset", tmp_path / "some.csv", Plan(file_format="parquet"))
    with pytest.raises(BadInput, match="xlsx"):
        export(project, "dataset", tmp_path / "folder", Plan(file_format="xlsx"))
    assert not (tmp_path / "folder").exists()


def test_a_table_that_fails_halfway_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_table(file, Table({"a": str}, [["old"]]), "csv")
    with pytest.raises(ValueError, match="shorter"):
        write_table(file, Table({"a": str}, Breaking()), "csv")
    assert file.read_text() == "a\nold\n"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


class Breaking(list[list[str]]):
    """Rows that end in an error after the first."""

    def __iter__(self) -> Iterator[list[str]]:
        yield ["new"]
        raise ValueError("shorter than it said")


def test_a_carriage_return_in_a_name_does_not_end_its_row(tmp_path: Path) -> None:
    rows = [["a\rb.png", 1.0], ["c\nd.png", None], ["e.png", 3.0]]
    write_table(tmp_path / "all.csv", Table({"path": str, "score": float}, rows), "csv")
    read = pd.read_csv(tmp_path / "all.csv")
    assert read.path.tolist() == ["a\rb.png", "c\nd.png", "e.png"]
    assert read.score.tolist()[::2] == [1, 3]
    assert read.score.isna().tolist() == [False, True, False]


def test_a_store_or_another_file_is_no_place_for_a_table(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(BadInput, match="no table by its name"):
        table_file(tmp_path / "notes", None)
    with pytest.raises(BadInput, match="is the store of a project"):
        table_file(tmp_path / "labeler.sqlite", None)
