"""Protects predictions for embeddings in files: each name keeps its own number, foreign vectors are
refused, a file that can't be used is named and the rest goes on, and nothing in a file is run.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from click.testing import CliRunner, Result
from pyarrow import parquet

import db.images.embeddings
import db.versions.registry
from db.records import NewVersion, Predictions
from labeler.cli.main import labeler
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.embedding.files.block import BLOCK
from labeler.embedding.files.find import find_embeddings, holds_embeddings
from labeler.versions.inference import score_embeddings
from model.heads.head import Head
from model.heads.head_files import save_head

WIDTH = 8


def varied_head() -> Head:
    """Random, and scaled so that its predictions spread from 0 to 1."""
    torch.manual_seed(5)
    head = Head(WIDTH, 16).eval().requires_grad_(False)
    logits = head.logits(torch.from_numpy(unit_rows(500)).float())
    last = head.down[5]
    assert isinstance(last, torch.nn.Linear)
    last.bias.sub_(logits.mean()).div_(logits.std())
    last.weight.div_(logits.std())
    return head


def make_project(folder: Path, *, normalised: bool) -> Project:
    """A project with a version whose head is random but steep, and nothing else."""
    project = Project.create(folder, encoder="lite")
    db.images.embeddings.register_encoder(project.store, project.encoder, WIDTH, normalised, {})
    save_head(project.models / "v1.0", varied_head(), name="mine", rev="v1.0")
    none = np.zeros(0, dtype=np.int64)
    db.versions.registry.add(
        project.store,
        NewVersion(
            name="v1.0",
            parent=None,
            encoder=project.encoder,
            recipe="plain",
            threshold=0.5,
            file="v1.0.safetensors",
            scored_ids=none,
            scored_values=none.astype(np.float64),
            out_of_fold=Predictions(none, np.zeros(0, dtype=np.float32), folds=none),
        ),
    )
    return project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path / "project", normalised=True)
    yield made
    made.close()


def unit_rows(count: int, seed: int = 0) -> np.ndarray:
    """(count, WIDTH) float16 of length 1, as clip-retrieval keeps them."""
    rows = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def write(
    folder: Path, number: int, rows: np.ndarray, names: list[str | None] | None = None
) -> Path:
    """One array of a clip-retrieval folder, with its metadata if `names` are given."""
    path = folder / "img_emb" / f"img_emb_{number}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, rows)
    if names is not None:
        (folder / "metadata").mkdir(exist_ok=True)
        table = pyarrow.table({"caption": ["…"] * len(names), "image_path": names})
        parquet.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
    return path


def named(number: int, count: int) -> list[str | None]:
    return [f"shard {number}/{row:05}.jpg" for row in range(count)]


def run(project: Project, *words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(
        labeler, ["--project", str(project.folder), "predict", *map(str, words)]
    )
    assert result.exit_code == code, result.output
    return result


def rows_of(project: Project, *words: str | Path) -> list[tuple[str, float]]:
    document = json.loads(run(project, *words, "--encoder", "lite", "--json").stdout)
    return [(image["path"], image["prediction"]) for image in document["images"]]


def expected(project: Project, rows: np.ndarray) -> list[float]:
    version = db.versions.registry.active(project.store)
    assert version is not None
    return score_embeddings(project, version, rows.astype(np.float32)).tolist()


def test_every_name_keeps_its_own_prediction_over_files_and_blocks(
    project: Project, tmp_path: Path
) -> None:
    counts = {0: BLOCK + 3, 2: 5, 10: 7}
    rows = {number: unit_rows(count, number) for number, count in counts.items()}
    for number, count in counts.items():
        write(tmp_path / "laion", number, rows[number], named(number, count))
    found = rows_of(project, tmp_path / "laion")
    assert [name for name, _ in found] == [
        name for number, count in counts.items() for name in named(number, count)
    ]
    wanted = expected(project, np.concatenate(list(rows.values())))
    np.testing.assert_allclose([value for _, value in found], wanted, atol=1e-5)
    assert np.std(wanted) > 0.1


def test_rows_without_metadata_or_without_a_name_are_called_by_file_and_number(
    project: Project, tmp_path: Path
) -> None:
    path = write(tmp_path / "a", 0, unit_rows(3))
    other = write(tmp_path / "b", 0, unit_rows(2), ["one.jpg", None])
    assert [name for name, _ in rows_of(project, tmp_path / "a")] == [
        f"{path}:{k}" for k in range(3)
    ]
    assert [name for name, _ in rows_of(project, other)] == ["one.jpg", f"{other}:1"]


def test_a_single_array_of_any_float_format_is_read(project: Project, tmp_path: Path) -> None:
    rows = unit_rows(20)
    wanted = expected(project, rows)
    for kind in ("<f2", "<f4", ">f4", "<f8"):
        path = tmp_path / "vectors.npy"
        np.save(path, rows.astype(kind))
        found = rows_of(project, path)
        np.testing.assert_allclose([value for _, value in found], wanted, atol=1e-5)


def test_tables_of_vectors_and_files_for_each_image_are_read_alike(
    project: Project, tmp_path: Path
) -> None:
    rows = unit_rows(40).astype(np.float32)
    wanted = expected(project, rows)
    columns = {"path": [f"{row}.jpg" for row in range(40)], "vector": list(rows)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet", row_group_size=16)
    found = rows_of(project, tmp_path / "t.parquet")
    assert [name for name, _ in found] == columns["path"]
    np.testing.assert_allclose([value for _, value in found], wanted, atol=1e-5)

    for row in range(40):
        path = tmp_path / "CLIP" / f"{row % 3}_folder" / f"{row:02}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rows[row] if row % 2 else rows[row : row + 1])
    said = dict(rows_of(project, tmp_path / "CLIP"))
    by_row = {int(Path(name).stem): value for name, value in said.items()}
    np.testing.assert_allclose([by_row[row] for row in range(40)], wanted, atol=1e-5)


def test_what_holds_embeddings_is_told_from_folders_of_images(tmp_path: Path) -> None:
    write(tmp_path / "laion", 0, unit_rows(2))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.jpg").touch()
    np.save(tmp_path / "images" / "beside.npy", unit_rows(1))
    (tmp_path / "CLIP" / "7_good").mkdir(parents=True)
    np.save(tmp_path / "CLIP" / "7_good" / "one.npy", unit_rows(1))
    parquet.write_table(pyarrow.table({"v": [[0.5]]}), tmp_path / "vectors.parquet")
    parquet.write_table(pyarrow.table({"v": [0.5]}), tmp_path / "other.parquet")
    assert holds_embeddings(tmp_path / "laion")
    assert holds_embeddings(tmp_path / "CLIP")
    assert holds_embeddings(tmp_path / "CLIP" / "7_good")
    assert holds_embeddings(tmp_path / "vectors.parquet")
    assert not holds_embeddings(tmp_path / "other.parquet")
    assert holds_embeddings(tmp_path / "laion" / "img_emb")
    assert holds_embeddings(tmp_path / "laion" / "img_emb" / "img_emb_0.npy")
    assert not holds_embeddings(tmp_path / "images")
    assert not holds_embeddings(tmp_path / "images" / "one.jpg")
    assert not holds_embeddings(tmp_path / "nowhere")


def test_a_band_the_top_and_every_kind_of_file(project: Project, tmp_path: Path) -> None:
    rows = unit_rows(2 * BLOCK)
    write(tmp_path / "laion", 0, rows, named(0, len(rows)))
    every = rows_of(project, tmp_path / "laion")
    low, high = sorted(np.quantile([value for _, value in every], [0.4, 0.8]).round(6).tolist())
    inside = [row for row in every if low <= row[1] <= high]
    limits = ("--min", str(low), "--max", str(high))
    assert rows_of(project, tmp_path / "laion", *limits) == inside
    best = sorted(inside, key=lambda row: -row[1])[:7]
    assert rows_of(project, tmp_path / "laion", *limits, "--top", "7") == best
    assert rows_of(project, tmp_path / "laion", "--top", "0") == []
    for suffix in ("csv", "parquet", "jsonl"):
        out = tmp_path / f"list.{suffix}"
        told = run(project, tmp_path / "laion", *limits, "--encoder", "lite", "--out", out)
        assert f"{len(inside)} rows" in told.stderr
        assert told.stdout == ""
        assert read_table(out) == [(name, value, "v1.0") for name, value in inside]


def read_table(path: Path) -> list[tuple[str, float, str]]:
    rows: list[dict[str, Any]]
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        rows = parquet.read_table(path).to_pylist()
    return [(row["path"], float(row["prediction"]), row["version"]) for row in rows]


def test_without_a_file_rows_are_printed_in_their_order(project: Project, tmp_path: Path) -> None:
    write(tmp_path / "laion", 0, unit_rows(3), ["one", "two\x1b", "three"])
    shown = run(project, tmp_path / "laion", "--encoder", "lite").stdout.splitlines()
    assert [line.split("% ")[1] for line in shown] == ["[one]", r"[two\x1b]", "[three]"]


def test_normalised_and_raw_never_meet(project: Project, tmp_path: Path) -> None:
    write(tmp_path / "unit", 0, unit_rows(50))
    write(tmp_path / "raw", 0, unit_rows(50) * np.linspace(5, 9, 50).astype(np.float16)[:, None])
    told = run(project, tmp_path / "raw", "--encoder", "lite", code=1).stderr
    assert "img_emb_0.npy are raw (lengths around 7" in told
    assert "divide each by its length" in told
    raw = make_project(tmp_path / "raw project", normalised=False)
    assert len(rows_of(raw, tmp_path / "raw")) == 50
    told = run(raw, tmp_path / "unit", "--encoder", "lite", code=1).stderr
    assert "img_emb_0.npy are normalised (all have length 1)" in told
    assert "without normalising" in told
    raw.close()


def test_another_encoder_or_none_is_refused(project: Project, tmp_path: Path) -> None:
    write(tmp_path / "laion", 0, unit_rows(3))
    told = run(project, tmp_path / "laion", code=2).stderr
    assert "name it with --encoder" in told
    told = run(project, tmp_path / "laion", "--encoder", "clip-b32", code=1).stderr
    assert "v1.0 reads embeddings by lite, not by open_clip:ViT-B-32" in told
    told = run(project, tmp_path / "laion", "--encoder", "nobody", code=1).stderr
    assert "nobody" in told


def test_what_does_not_go_together_is_refused(project: Project, tmp_path: Path) -> None:
    laion = tmp_path / "laion"
    write(laion, 0, unit_rows(3))
    (tmp_path / "one.jpg").touch()
    told = run(project, tmp_path / "one.jpg", "--encoder", "lite", code=2).stderr
    assert "leave it out" in told
    told = run(project, laion, tmp_path / "one.jpg", "--encoder", "lite", code=2).stderr
    assert "give them apart" in told
    told = run(project, laion, "--encoder", "lite", "--copy-to", tmp_path / "c", code=2).stderr
    assert "--out" in told


class _Runs:
    """What would run if a pickle of it were read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def pickled(folder: Path, path: Path) -> None:
    array = np.array([[_Runs(folder / "ran")] * WIDTH], dtype=object)
    np.save(path, array, allow_pickle=True)


def with_metadata(content: bytes) -> Callable[[Path, Path], None]:
    return lambda folder, _: void((folder / "metadata" / "metadata_1.parquet").write_bytes(content))


def with_array(array: np.ndarray) -> Callable[[Path, Path], None]:
    return lambda _, path: np.save(path, array)


def void(_: object) -> None:
    """For what returns something that nobody needs."""


ROWS = unit_rows(6)
# What becomes of file 1, and a part of what must be said about it.
UNUSABLE: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "another width": (
        with_array(np.ones((6, WIDTH + 1), dtype=np.float16)),
        f"It holds {WIDTH + 1} values for each image, but v1.0 reads {WIDTH}",
    ),
    "metadata of another length": (
        lambda folder, _: void(write(folder, 1, ROWS, named(1, 5))),
        "metadata_1.parquet names 5 rows, but it has 6",
    ),
    "metadata that is no table": (with_metadata(b"PAR1 no PAR1"), "beside it can't be read"),
    "pickled": (pickled, "Python objects, which are never opened"),
    "cut off": (
        lambda _, path: void(path.write_bytes(path.read_bytes()[:-5])),
        "5 bytes are missing",
    ),
    "whole numbers": (with_array(np.ones((6, WIDTH), dtype=np.int64)), "It holds int64"),
    "one dimension": (with_array(ROWS[0]), "metadata_1.parquet names 6 rows, but it has 1"),
    "three dimensions": (with_array(ROWS[None]), "not (rows, values)"),
    "by columns": (with_array(np.asfortranarray(ROWS)), "stored by columns"),
    "nothing": (with_array(ROWS[:0]), "no embeddings"),
    "no array": (lambda _, path: void(path.write_bytes(b"\x93NUMPZ")), "not an array as numpy"),
    "an empty file": (lambda _, path: void(path.write_bytes(b"")), "not an array as numpy"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_file_is_named_and_the_others_go_on(
    project: Project, tmp_path: Path, kind: str
) -> None:
    folder, (spoil, reason) = tmp_path / "laion", UNUSABLE[kind]
    for number in range(3):
        path = write(folder, number, unit_rows(6, number), named(number, 6))
        if number == 1:
            spoil(folder, path)
    result = run(project, folder, "--encoder", "lite", "--json")
    document = json.loads(result.stdout)
    assert [one["path"] for one in document["images"]] == named(0, 6) + named(2, 6)
    [left_out] = document["unreadable"]
    assert left_out["path"].endswith("img_emb_1.npy")
    assert reason in left_out["reason"]
    assert reason in result.stderr
    assert not (folder / "ran").exists()


def test_nothing_usable_is_a_failure(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    told = run(project, tmp_path / "empty.npy", "--encoder", "lite", code=1).stderr
    assert "empty.npy" in told
    told = run(project, tmp_path / "nowhere.npy", "--encoder", "lite", code=1).stderr
    assert "nowhere.npy is not there" in told


def test_rows_that_are_not_finite_are_left_out_and_counted(
    project: Project, tmp_path: Path
) -> None:
    rows = unit_rows(40)
    rows[3, 2], rows[7, 0] = np.nan, np.inf
    write(tmp_path / "laion", 0, rows, named(0, 40))
    fine = [row for row in range(40) if row not in (3, 7)]
    found = rows_of(project, tmp_path / "laion")
    assert [name for name, _ in found] == [named(0, 40)[row] for row in fine]
    wanted = expected(project, rows[fine])
    np.testing.assert_allclose([value for _, value in found], wanted, atol=1e-5)
    told = run(project, tmp_path / "laion", "--encoder", "lite").stderr
    assert "2 rows hold values that are not finite" in told


def test_a_file_of_images_beside_it_is_not_touched(tmp_path: Path) -> None:
    """Reading maps the file: what is computed with a block must not reach it."""
    path = write(tmp_path, 0, unit_rows(4))
    before = path.read_bytes()
    [file] = find_embeddings(tmp_path).files
    [block] = file.blocks()
    block.vectors[:] = 0
    assert path.read_bytes() == before
    with pytest.raises(BadInput, match="not there"):
        find_embeddings(tmp_path / "nowhere.npy")


def test_paths_and_columns_are_named_where_files_have_their_own(
    project: Project, tmp_path: Path
) -> None:
    rows = unit_rows(3, seed=9)
    names = [f"ü {row}.jpg" for row in range(3)]
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "list.csv").write_text("n,where\n" + "".join(f"1,{name}\n" for name in names))
    listed = rows_of(
        project,
        *(tmp_path / "rows.npy", "--paths", tmp_path / "list.csv", "--path-column", "where"),
    )

    table = {"file": names, "b": list(rows[::-1].astype("f4")), "a": list(rows.astype("f4"))}
    parquet.write_table(pyarrow.table(table), tmp_path / "rows.parquet")
    columns = ("--path-column", "file", "--vector-column", "a")
    in_a_column = rows_of(project, tmp_path / "rows.parquet", *columns)

    assert [name for name, _ in listed] == [name for name, _ in in_a_column] == names
    said = [prediction for _, prediction in listed]
    assert said == pytest.approx([prediction for _, prediction in in_a_column], abs=1e-5)
    assert len(set(said)) == 3


def test_columns_are_refused_where_there_are_no_embeddings_or_several_files(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    told = run(project, tmp_path / "pictures", "--path-column", "file", code=2).stderr
    assert "--path-column is about files of embeddings" in told
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", unit_rows(2))
    (tmp_path / "list.txt").write_text("1.jpg\n2.jpg\n")
    both = (tmp_path / "a.npy", tmp_path / "b.npy")
    words = ("--encoder", "lite", "--paths", tmp_path / "list.txt")
    assert "give that alone" in run(project, *both, *words, code=2).stderr
