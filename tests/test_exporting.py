"""Protects what leaves the project: each image once, exact cells, whole files, no file replaced.

What is written must read back as it was: names with commas, quotes and formulas, unscored as empty
and 0 as 0.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from collection import add_version, draw_pictures, make_collection

from db import images, versions
from labeler import exporting
from labeler.errors import BadInput
from labeler.importing import import_paths
from labeler.labels import label_from, label_one
from labeler.project import Project
from labeler.tables import Table, write_table
from labeler.whole_files import copy_beside, whole_file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 12 images, 11 of them scored 0 to 10, and a version; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    project = make_collection(folder, images=12, scored=11)
    add_version(project, noise=0.05)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(made / "project", tmp_path / "project")
    project = Project.open(tmp_path / "project")
    yield project
    project.close()


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def fake_model(project: Project, name: str) -> None:
    (project.models / f"{name}.safetensors").write_bytes(b"weights of " + name.encode())
    (project.models / f"{name}.config.json").write_text(json.dumps({"name": name}))


def test_one_row_per_image_with_what_is_known_of_it(project: Project, tmp_path: Path) -> None:
    label_one(project, "1", 4.5)
    done = exporting.export_dataset(project, tmp_path / "all.csv")
    rows = rows_of(tmp_path / "all.csv")
    assert done.images == len(rows) == 12
    first, last = rows[0], rows[11]
    assert (first["score"], first["history_count"], first["source"]) == ("4.5", "2", "gradients")
    assert (last["score"], last["history_count"]) == ("", "0")
    assert [row["score"] for row in rows[1:11]] == [str(score) for score in range(1, 11)]
    assert {row["version"] for row in rows} == {"v1.0"}
    assert all(0 <= float(row["prediction"]) <= 1 for row in rows)
    content = Path(first["path"]).read_bytes()
    assert first["hash"] == hashlib.sha256(content).hexdigest()


def test_parquet_holds_the_same_with_types(project: Project, tmp_path: Path) -> None:
    exporting.export_dataset(project, tmp_path / "all.parquet")
    exporting.export_dataset(project, tmp_path / "all.csv")
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    assert table.column_names == list(exporting.COLUMNS)
    assert str(table.schema.field("score").type) == "double"
    assert str(table.schema.field("group").type) == "string"  # though no image has a group
    scores = [row["score"] for row in rows_of(tmp_path / "all.csv")]
    assert table["score"].to_pylist() == [float(score) if score else None for score in scores]


def test_an_exported_dataset_reads_back_as_labels(project: Project, tmp_path: Path) -> None:
    exporting.export_dataset(project, tmp_path / "all.csv")
    summary = label_from(project, tmp_path / "all.csv")
    assert (summary.taken, summary.unchanged, summary.blank, summary.bad) == (0, 11, 1, [])


def test_without_a_version_predictions_are_empty(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=2, scored=1)
    exporting.export_dataset(project, tmp_path / "all.csv")
    assert [(r["prediction"], r["version"]) for r in rows_of(tmp_path / "all.csv")] == [
        ("", "")
    ] * 2
    project.close()


@pytest.mark.parametrize(
    "name", ['=cmd "quoted", and; comma.png', "line\nend.png", "émoji 🎨 ünïcode.png"]
)
def test_names_stay_exact_in_both_formats(project: Project, tmp_path: Path, name: str) -> None:
    [drawn] = draw_pictures(tmp_path / "odd", 1)
    odd = drawn.rename(drawn.with_name(name))
    # A picture of its own, or it would be a second place of one that is known.
    odd.write_bytes(odd.read_bytes() + b"tail")
    import_paths(project, [tmp_path / "odd"], workers=1)
    exporting.export_dataset(project, tmp_path / "all.csv")
    exporting.export_dataset(project, tmp_path / "all.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    assert rows_of(tmp_path / "all.csv")[-1]["path"] == str(odd)
    assert table["path"].to_pylist()[-1] == str(odd)


@pytest.mark.parametrize(
    ("out", "file_format", "file"),
    [
        ("some.csv", None, "some.csv"),
        ("SOME.PARQUET", None, "SOME.PARQUET"),
        ("folder", None, "folder/dataset.csv"),
        ("folder", "parquet", "folder/dataset.parquet"),
        ("deep/down/some.csv", "csv", "deep/down/some.csv"),
    ],
)
def test_out_is_a_file_by_its_ending_and_else_a_folder(
    project: Project, tmp_path: Path, out: str, file_format: str | None, file: str
) -> None:
    assert exporting.export_dataset(project, tmp_path / out, file_format).file == tmp_path / file
    assert (tmp_path / file).stat().st_size > 0


def test_a_name_and_a_format_that_disagree_are_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="parquet"):
        exporting.export_dataset(project, tmp_path / "some.csv", "parquet")
    with pytest.raises(BadInput, match="jsonl"):
        exporting.export_dataset(project, tmp_path / "folder", "jsonl")
    assert not (tmp_path / "folder").exists()


def test_images_are_copied_once_and_the_table_names_the_copies(
    project: Project, tmp_path: Path
) -> None:
    first = exporting.export_dataset(project, tmp_path / "out", with_images=True)
    again = exporting.export_dataset(project, tmp_path / "out", with_images=True)
    assert (first.copied, again.copied) == (12, 0)
    for row in rows_of(tmp_path / "out" / "dataset.csv"):
        copy = tmp_path / "out" / row["file"]
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == row["hash"]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 12


def test_an_image_that_went_missing_is_named_and_the_rest_is_exported(
    project: Project, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    [drawn] = draw_pictures(own, 1)
    drawn.write_bytes(drawn.read_bytes() + b"tail")
    import_paths(project, [own], workers=1)
    drawn.unlink()
    done = exporting.export_dataset(project, tmp_path / "out", with_images=True)
    assert (done.images, done.copied) == (13, 12)
    assert [path for path, _ in done.not_copied] == [str(drawn)]


def test_the_preview_tells_what_the_export_will_hold(project: Project) -> None:
    preview = exporting.preview_dataset(project, rows=3)
    assert (preview.images, preview.scored, preview.predicted) == (12, 11, 12)
    assert preview.version == "v1.0"
    assert len(preview.sample.rows) == 3
    assert preview.sample.columns == list(exporting.COLUMNS)


def test_the_model_of_the_active_version_is_written_as_a_pair(
    project: Project, tmp_path: Path
) -> None:
    fake_model(project, "v1.0")
    into_folder = exporting.export_model(project, tmp_path / "folder")
    named = exporting.export_model(project, tmp_path / "mine.safetensors")
    assert {path.name for path in into_folder} == {
        "project-v1.0.config.json",
        "project-v1.0.safetensors",
    }
    assert {path.name for path in named} == {"mine.config.json", "mine.safetensors"}
    assert (tmp_path / "mine.safetensors").read_bytes() == b"weights of v1.0"


def test_going_back_to_a_version_exports_that_one(project: Project, tmp_path: Path) -> None:
    add_version(project, noise=0.01)
    fake_model(project, "v1.0")
    versions.activate(project.store, "v1.0")
    exporting.export_model(project, tmp_path / "mine.safetensors")
    assert (tmp_path / "mine.safetensors").read_bytes() == b"weights of v1.0"


def test_a_model_without_its_files_is_named_and_nothing_is_written(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"v1\.0"):
        exporting.export_model(project, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_version_is_never_written_over_another(project: Project) -> None:
    add_version(project, noise=0.01)
    fake_model(project, "v1.0")
    fake_model(project, "v1.1")
    with pytest.raises(BadInput, match="another folder"):
        exporting.export_model(project, project.models / "v1.0.safetensors")
    assert (project.models / "v1.0.safetensors").read_bytes() == b"weights of v1.0"


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


def test_a_whole_file_appears_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    with whole_file(tmp_path / "deep" / "file") as scratch:
        scratch.write_text("done")
        assert not (tmp_path / "deep" / "file").exists()
    assert (tmp_path / "deep" / "file").read_text() == "done"
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "deep" / "other"):
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_is_named_as_the_person_named_it(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    target = tmp_path / "closed" / "file.csv"
    if os.access(target.parent, os.W_OK):  # An account that may write everywhere but there:
        target = Path("/proc/file.csv")
    with pytest.raises(OSError) as refused, whole_file(target):
        pass
    assert refused.value.filename == str(target)


def test_a_copy_never_replaces_another_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(name)
    target = tmp_path / "out" / "copy.txt"
    assert copy_beside(tmp_path / "one.txt", target) == (target, True)
    assert copy_beside(tmp_path / "one.txt", target) == (target, False)
    beside = tmp_path / "out" / "copy-2.txt"
    assert copy_beside(tmp_path / "two.txt", target) == (beside, True)
    assert copy_beside(tmp_path / "two.txt", target) == (beside, False)
    assert (target.read_text(), beside.read_text()) == ("one", "two")


def test_images_that_were_never_readable_are_left_out(project: Project, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "broken.png").write_bytes(b"not a picture")
    import_paths(project, [broken], workers=1)
    assert images.count_by_state(project.store)["unreadable"] == 1
    assert exporting.export_dataset(project, tmp_path / "all.csv").images == 12
