"""Protects against Parquet files of a few bytes that unpack to gigabytes or to millions of rows of
nothing, and against those whose description says what their pages don't hold.

What they would cost is counted, in rows and in what pyarrow has allocated, never by the clock.
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import db.images.locations
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.archives import archives, parquet_images
from labeler.core.archives.archives import look_into, read_member
from labeler.core.archives.img2dataset import failed_keys
from labeler.core.errors import BadInput
from labeler.core.files.parquet import TooMuch, check_columns, open_parquet
from labeler.core.project import Project
from labeler.embedding.files.find import find_embeddings
from labeler.scoring.score_files.statements import ReaderNotes, ReadOptions, Refused, Statement
from labeler.scoring.score_files.tables import read_table
from model.errors import UnreadableImage
from tests.support.parquet_bombs import BOMBS, dictionary, padded, written
from tests.support.pictures import jpeg_bytes

MOST = 300 << 20  # bytes that pyarrow may have at once
# What was allocated by one may be freed at any time; a pool must not go before that.
COUNTED: list[pyarrow.MemoryPool] = []
UNPACKED = 64 << 20  # bytes of a column that are unpacked freely, instead of a gigabyte


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left_of_the_pools() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _little_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_images, "_FREELY_UNPACKED", UNPACKED)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def _read_pictures(path: Path) -> None:
    listing = look_into(path)
    for name in listing.pictures if listing else ():
        try:
            read_member(str(path), name)
            for text in listing.texts.get(name, ()) if listing else ():
                read_member(str(path), text)
        except UnreadableImage:
            continue


def _read_scores(path: Path) -> None:
    columns = parquet.read_schema(path).names
    asked = ReadOptions(path_column=columns[0], score_column=columns[-1])
    for _ in read_table(path, asked, ReaderNotes()):
        pass


def _read_vectors(path: Path) -> None:
    for file in find_embeddings(path).files:
        for block in file.blocks():
            len(block.vectors)


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_is_refused_or_read_a_little_at_a_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.parquet"
    BOMBS[name](path)
    assert path.stat().st_size < 1 << 20
    pool = pyarrow.default_memory_pool()
    for read in (_read_pictures, _read_scores, _read_vectors, failed_keys):
        counted = pyarrow.proxy_memory_pool(pool)
        COUNTED.append(counted)
        pyarrow.set_memory_pool(counted)
        try:
            read(path)
        except BadInput as error:
            assert len(str(error)) < 1000
        finally:
            pyarrow.set_memory_pool(pool)
            archives._kept.clear()
        assert counted.max_memory() < MOST, read


@pytest.mark.parametrize(
    ("make", "rows", "told"),
    [
        (lambda rows: {"jpg": dictionary(padded(9_000), rows)}, 20_000, "20,000 pictures in"),
        (lambda rows: {"jpg": pyarrow.nulls(rows, pyarrow.binary())}, 2_000_000, "2,000,000 rows"),
    ],
    ids=["one picture", "nothing"],
)
def test_rows_without_end_are_not_gone_through(
    project: Project, tmp_path: Path, make: Callable[[int], dict[str, object]], rows: int, told: str
) -> None:
    written(tmp_path / "a.parquet", make(rows))
    summary = import_paths(project, [tmp_path / "a.parquet"])
    assert summary.found == 0
    assert told in summary.closed[0][1]
    assert not db.images.locations.ids_by_path(project.store)


def test_a_picture_that_many_rows_share_is_unpacked_so_often_and_no_further(tmp_path: Path) -> None:
    rows, size = 1_000, 1 << 20
    path = tmp_path / "a.parquet"
    start = jpeg_bytes(1)  # and behind it what nothing makes smaller
    picture = start + np.random.default_rng(1).bytes(size - len(start))
    written(path, {"jpg": dictionary(picture, rows)})
    listing = look_into(path)
    assert listing is not None and len(listing.pictures) == rows
    read = 0
    with pytest.raises(UnreadableImage, match="not read further"):
        for name in listing.pictures:
            assert len(read_member(str(path), name)) == size
            read += 1
    # All that is free, and a hundred times what the file takes.
    assert UNPACKED / size <= read < 2 * (UNPACKED / size + 100)


def test_a_file_contradicting_itself_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"path": ["a", "b"], "score": [1.0, 2.0]}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + struct.pack("<I", len(whole) - 8) + b"PAR1")
    with pytest.raises((pyarrow.ArrowException, OSError)):
        open_parquet(path)
    path.write_bytes(whole[:-8] + struct.pack("<I", 0xFFFFFFF0) + b"PAR1")
    with pytest.raises(pyarrow.ArrowException):
        open_parquet(path)
    with path.open("wb") as file:  # takes no room
        file.truncate((1 << 26) + 4096)
        file.seek(-8, 2)
        file.write(struct.pack("<I", (1 << 26) + 1) + b"PAR1")
    with pytest.raises(TooMuch, match="its description takes"):
        open_parquet(path)


def test_pages_decide_how_much_there_is(tmp_path: Path) -> None:
    """The description says 30,000 rows where the pages hold two."""
    path = tmp_path / "a.parquet"
    few, many = {"path": ["a", "b"]}, {"path": ["a"] * 30_000}
    parquet.write_table(pyarrow.table(few), path, compression="none")
    with parquet.ParquetFile(path) as file:
        check_columns(file, path, ["path"])
    short = path.read_bytes()
    parquet.write_table(pyarrow.table(many), path, compression="none")
    with parquet.ParquetFile(path) as lying:
        path.write_bytes(short)
        with pytest.raises(TooMuch):
            check_columns(lying, path, ["path"])


@pytest.mark.parametrize("column", ["image", "jpg"])
def test_scores_beside_the_pictures_are_those_of_the_pictures(
    project: Project, tmp_path: Path, column: str
) -> None:
    path = tmp_path / "train.parquet"
    pictures = [jpeg_bytes(k) for k in range(4)]
    if column == "image":
        cells = [{"bytes": data, "path": f"img{k}.jpg"} for k, data in enumerate(pictures)]
        columns: dict[str, object] = {"image": cells}
    else:
        columns = {"jpg": pictures, "key": [f"{k:09}" for k in range(4)]}
    parquet.write_table(pyarrow.table(columns | {"score": [1.0, 3.0, 5.0, 7.0]}), path)
    import_paths(project, [path])
    for named in ([], ["--path-column", column], ["--path-column", "key"]):
        if "key" in named and column == "image":
            continue
        told = ["--project", str(project.folder), "label", "--from", str(path), "--dry-run", *named]
        result = CliRunner().invoke(labeler, told)
        assert result.exit_code == 0, result.output
        assert "Would score 4" in result.output
        assert len(result.output) < 2_000


def test_bytes_are_never_taken_for_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"path": [b"\xff" * 100_000], "score": [5.0]}), path)
    [one] = read_table(path, ReadOptions(), ReaderNotes())
    assert isinstance(one, Refused) and len(one.problem) < 500
    (tmp_path / "a.jsonl").write_text('{"path": ["' + "x" * 100_000 + '"], "score": 5}\n')
    [one] = read_table(tmp_path / "a.jsonl", ReadOptions(), ReaderNotes())
    assert isinstance(one, Refused) and len(one.problem) < 500
    (tmp_path / "b.jsonl").write_text('{"path": "a.jpg", "score": "' + "9" * 100_000 + '"}\n')
    [one] = read_table(tmp_path / "b.jsonl", ReadOptions(), ReaderNotes())
    assert isinstance(one, Refused) and len(one.problem) < 500


def test_pictures_told_by_a_dictionary_are_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    two = pyarrow.array([jpeg_bytes(1), jpeg_bytes(2)], pyarrow.binary())
    rows = pyarrow.array([0, 1, 0], pyarrow.int32())
    parquet.write_table(
        pyarrow.table({"jpg": pyarrow.DictionaryArray.from_arrays(rows, two)}), path
    )
    listing = look_into(path)
    assert listing is not None
    found = [read_member(str(path), name) for name in listing.pictures]
    assert found == [jpeg_bytes(1), jpeg_bytes(2), jpeg_bytes(1)]


def test_a_sound_table_of_any_shape_is_read(tmp_path: Path) -> None:
    """What is checked beforehand never refuses what other programs write."""
    rng = np.random.default_rng(1)
    count = 3_000
    columns = {
        "path": [f"{number}.jpg" for number in range(count)],
        "score": rng.uniform(0, 10, count),
        "tags": [[f"tag {k}" for k in range(number % 5)] for number in range(count)],
    }
    for how in (
        {"compression": "zstd"},
        {"compression": "none", "use_dictionary": False},
        {"data_page_version": "2.0", "row_group_size": 100},
        {"data_page_size": 64, "write_page_index": True},
        {"write_statistics": False, "store_schema": False, "version": "1.0"},
    ):
        path = tmp_path / "a.parquet"
        parquet.write_table(pyarrow.table(columns), path, **how)
        found = list(read_table(path, ReadOptions(), ReaderNotes()))
        assert sum(isinstance(each, Statement) for each in found) == count
