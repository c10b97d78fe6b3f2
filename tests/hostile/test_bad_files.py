"""Protects against hostile tables, arrays, heads and archives: a sentence instead of a traceback,
no code run, nothing unpacked to gigabytes, nothing read or written outside a source.

By the thousand: tests/torture. Among the files are those that once broke something.
"""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import db.images.locations
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import read_lines
from labeler.core.project import Project
from labeler.embedding.files.block import Columns
from labeler.embedding.files.find import find_embeddings, holds_embeddings
from labeler.prediction.copy_images import Destination, copy_images
from labeler.prediction.predict_files import PredictedImage
from labeler.scoring.score_files.imagefolder import metadata_files, read_image_folder
from labeler.scoring.score_files.statements import ReaderNotes, ReadOptions, Refused
from model.checkpoints.read import read_checkpoint
from model.errors import ModelError
from model.heads.published_files import read_published
from tests.support.bad_input import read_all, write_all
from tests.support.mutations import mutated
from tests.support.odd_files import (
    code_in_weights,
    npy,
    odd_archives,
    odd_arrays,
    odd_tables,
    odd_weights,
    whole_tables,
)
from tests.support.pictures import jpeg_bytes

SEED = 20261123


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def test_tables_arrays_heads_and_archives_are_told_in_a_sentence(tmp_path: Path) -> None:
    Project.create(tmp_path / "project", encoder="lite").close()
    odd = odd_tables(tmp_path) | odd_arrays() | odd_weights() | odd_archives()
    more = {one.name: one.data for one in mutated(39, SEED, whole_tables(tmp_path))}
    write_all(tmp_path / "files", (odd | more).items())
    told = read_all(tmp_path / "project", tmp_path / "files")
    assert not told["broken"]


def test_a_table_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    Project.create(tmp_path / "project", encoder="lite").close()
    text = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(np.zeros(200_000, np.int32)), pyarrow.array(["x" * 100_000])
    )
    table = pyarrow.table({"path": text, "score": np.zeros(200_000)})
    parquet.write_table(table, tmp_path / "a.parquet")
    for arguments in (["label", "--from"], ["import-embeddings", "--encoder", "lite"]):
        told = [*arguments, str(tmp_path / "a.parquet")]
        result = CliRunner().invoke(labeler, ["--project", str(tmp_path / "project"), *told])
        assert result.exit_code == 1
        assert "a.parquet" in result.output


def test_lists_of_far_too_many_numbers_are_not_read(tmp_path: Path) -> None:
    numbers = pyarrow.array(np.zeros(1 << 20, np.float32))
    one = pyarrow.ListArray.from_arrays(pyarrow.array([0, 1 << 20], pyarrow.int32()), numbers)
    parquet.write_table(pyarrow.table({"embedding": one}), tmp_path / "a.parquet")
    [(_, why)] = find_embeddings(tmp_path / "a.parquet").unusable
    assert "far more numbers" in why


@pytest.mark.parametrize("name", sorted(code_in_weights(Path("x"))))
def test_code_in_weights_is_never_run(tmp_path: Path, project: Project, name: str) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / name
    path.write_bytes(code_in_weights(canary)[name])
    for arguments in (
        ["versions", "add", str(path)],
        ["import-embeddings", str(path), "--encoder", "lite"],
        ["import", str(path)],
    ):
        result = CliRunner().invoke(labeler, ["--project", str(project.folder), *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert path.name in result.output
    for read in (read_checkpoint, read_published):  # as of open_clip:MODEL/PATH, and of a head
        with pytest.raises(ModelError, match=r"not opened|not a whole|no head"):
            read(path)
    assert not canary.exists()


def test_weights_packed_to_unpack_to_gigabytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "zip.pth"
    path.write_bytes(odd_weights()["zip.pth"])
    with pytest.raises(ModelError, match="not a whole checkpoint"):
        read_checkpoint(path)


def test_a_config_beside_weights_is_only_read(tmp_path: Path) -> None:
    weights = whole_tables(tmp_path)["weights.safetensors"]
    for number, config in enumerate(
        (
            {"arch": "score", "model_params": {"features": 1 << 40, "hidden": 2, "outputs": 1}},
            {"arch": "foreign", "model_params": {"layers": [[1 << 40, 1 << 40]]}},
            {"arch": "score", "model_params": "__import__('os').system('true')"},
            {"arch": "class", "labels": {"a": []}, "model_params": {"features": True}},
            [],
        )
    ):
        (tmp_path / f"{number}.safetensors").write_bytes(weights)
        (tmp_path / f"{number}.config.json").write_text(json.dumps(config))
        with pytest.raises(ModelError):
            read_published(tmp_path / f"{number}.safetensors")


@pytest.mark.parametrize("shape", ["-5, 8", "-768,", "5, -8", "-2, -4"])
def test_an_array_of_less_than_nothing_costs_only_itself(tmp_path: Path, shape: str) -> None:
    np.save(tmp_path / "good.npy", np.ones((4, 8), np.float32))
    told = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}"
    (tmp_path / "bad.npy").write_bytes(npy(told, bytes(4096)))
    found = find_embeddings(tmp_path)
    assert [file.rows for file in found.files] == [4]
    assert [Path(name).name for name, _ in found.unusable] == ["bad.npy"]


@pytest.mark.parametrize("column", ["path", "score", "group"])
def test_times_beyond_all_years_are_told(project: Project, tmp_path: Path, column: str) -> None:
    late = pyarrow.array([2**60, 1], pyarrow.timestamp("us"))
    columns = {"path": ["a.jpg", "b.jpg"], "score": [1.0, 2.0], "group": ["x", "y"]}
    parquet.write_table(pyarrow.table(columns | {column: late}), tmp_path / "a.parquet")
    told = ["--project", str(project.folder), "label", "--from", str(tmp_path / "a.parquet")]
    result = CliRunner().invoke(labeler, told)
    assert isinstance(result.exception, SystemExit)
    assert "a.parquet is not a Parquet file that can be read" in result.output


@pytest.mark.parametrize("odd", [{"why": {"a": 1}}, {"queue": [1]}, {"why": 5}])
def test_a_history_with_odd_reasons_is_told(
    project: Project, tmp_path: Path, odd: dict[str, object]
) -> None:
    write_all(tmp_path / "in", [("a.jpg", jpeg_bytes())])
    import_paths(project, [tmp_path / "in"])
    act = {"event": "e", "scorer": "a", "score": 5, "at": "2026-01-01", "undone_at": None}
    line = {"path": str(tmp_path / "in" / "a.jpg"), "history": [act | odd]}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    told = ["--project", str(project.folder), "label", "--from", str(tmp_path / "a.jsonl")]
    result = CliRunner().invoke(labeler, told)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "is no text" in result.output


def test_pipes_in_a_folder_are_never_waited_for(tmp_path: Path) -> None:
    """Were one opened, its name would be told, for the other end of each is held open."""
    np.save(tmp_path / "good.npy", np.ones((4, 8), np.float32))
    ends = []
    for name in ("x.npy", "x.parquet", "img_emb_0.npy", "metadata.csv"):
        os.mkfifo(tmp_path / name)
        ends.append(os.open(tmp_path / name, os.O_RDWR))
        os.write(ends[-1], bytes(4096))
    try:
        found = find_embeddings(tmp_path)
        assert holds_embeddings(tmp_path)
        assert not list(metadata_files(tmp_path))
    finally:
        for end in ends:
            os.close(end)
    assert [file.rows for file in found.files] == [4]
    assert not found.unusable


def test_names_in_archives_lead_nowhere_else(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_all(folder, odd_archives().items())
    keys = ["../out", "/etc/out", "a/../../out", "", "fine", "a\0b", "c:\\out"]
    table = pyarrow.table({"key": keys, "jpg": [jpeg_bytes(k) for k in range(len(keys))]})
    parquet.write_table(table, folder / "keys.parquet")
    import_paths(project, [folder])
    taken = db.images.locations.ids_by_path(project.store)
    assert taken
    assert all(os.path.normpath(path).startswith(f"{folder}{os.sep}") for path in taken)
    assert not any("out" in Path(path).name for path in taken)
    chosen = [
        PredictedImage(path, str(Path(path).relative_to(folder)), 0.9) for path in sorted(taken)
    ]
    for flat in (False, True):
        copies = copy_images(chosen, Destination(tmp_path / "x" / f"{flat}", flat=flat), "v1.0")
        assert copies.made + copies.there == len(chosen)
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    apart = {tmp_path / name for name in ("in", "project", "x")}
    assert all(any(path.is_relative_to(each) for each in apart) for path in written)


def test_links_never_lead_out_of_a_source(project: Project, tmp_path: Path) -> None:
    outside, source = tmp_path / "outside", tmp_path / "source"
    write_all(outside, [("secret.jpg", jpeg_bytes(1)), ("secret.tar", odd_archives()["names.tar"])])
    write_all(source, [("own.jpg", jpeg_bytes(2))])
    np.save(outside / "secret.npy", np.ones((4, 8), np.float32))
    for name in ("secret.jpg", "secret.tar", "secret.npy"):
        (source / name).symlink_to(outside / name)
    (source / "folder").symlink_to(outside)
    (source / "circle").symlink_to(source)
    (source / "self.jpg").symlink_to(source / "self.jpg")
    (source / "inside.jpg").symlink_to(source / "own.jpg")
    (tmp_path / "root").symlink_to(source)
    summary = import_paths(project, [tmp_path / "root"])  # the root itself may be a link
    assert (summary.new, summary.duplicates) == (1, 1)
    told = {Path(path).name: why for path, why in [*summary.unreadable, *summary.closed]}
    assert told.keys() == {"secret.jpg", "self.jpg", "secret.tar", "folder", "circle"}
    assert all("link" in why for why in told.values())
    assert "outside" in told["secret.jpg"] and "outside" in told["secret.tar"]
    [(name, why)] = find_embeddings(source).unusable
    assert Path(name).name == "secret.npy" and "outside" in why


def test_an_imagefolder_names_its_own_images_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lines = "file_name,score\na.jpg,5\n../out.jpg,5\n/etc/out.jpg,5\nsub/../a.jpg,6\n"
    write_all(folder, [("metadata.csv", lines.encode())])
    read = list(read_image_folder(folder, ReadOptions(), ReaderNotes()))
    assert [isinstance(each, Refused) for each in read] == [False, True, True, False]
    assert "leads out of" in read[1].problem


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_line_without_end_is_not_read_to_its_end(
    project: Project, tmp_path: Path, name: str
) -> None:
    start = {"a.csv": b"path,score\n", "a.jsonl": b'{"path":"a","score":1}\n{"path":"'}[name]
    (tmp_path / name).write_bytes(start + b"x" * (17 << 20))
    told = ["--project", str(project.folder), "label", "--from", str(tmp_path / name)]
    result = CliRunner().invoke(labeler, told)
    assert isinstance(result.exception, SystemExit)
    assert ("more than 16,777,216" if name == "a.csv" else "not a JSON object") in result.output


def test_a_list_of_paths_is_read_a_part_at_a_time(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 8), np.float32))
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\xff.jpg\n\n")
    [file] = find_embeddings(tmp_path / "a.npy", Columns(paths=tmp_path / "a.txt")).files
    [block] = file.blocks()
    assert block.names.to_pylist() == ["a.jpg", "\\xff.jpg", f"{tmp_path / 'a.npy'}:2"]
    (tmp_path / "a.txt").write_bytes(b"x" * (2 << 20))
    [(_, why)] = find_embeddings(tmp_path / "a.npy", Columns(paths=tmp_path / "a.txt")).unusable
    assert "no list of paths" in why


def test_columns_without_number_cost_no_line_anything(tmp_path: Path) -> None:
    """Were all columns gone through for each line, a short file would take hours."""
    path = tmp_path / "a.csv"
    path.write_text("path,score" + ",c" * 15_000 + "\n" + "a.jpg,5\n" * 300)
    lines = read_lines(path, [("path",)])
    assert next(lines).cell("score") == "5"
    tracemalloc.start()
    try:
        rest = list(lines)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20  # a dictionary each takes 400 MB
    finally:
        tracemalloc.stop()
    assert {(line.cell("score"), line.cell("c"), line.cell("d")) for line in rest} == {
        ("5", "", "")
    }
    for columns in (1_000_000, 15_000):
        path.write_text("path," * columns + "\na.jpg\n")
        with pytest.raises(BadInput) as told:
            list(read_lines(path, [("score",)]))
        assert len(str(told.value)) < 3_000
