"""A name finds its picture however it is written, in all that names pictures.

Protects embeddings, scores and tags from other machines and programs: each goes to the picture it
means, to none where several may be meant, and what came before its picture meets it later.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from click.testing import CliRunner, Result

import db.images.counts
import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.images.tags
import db.repair.consistency
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.images.lookup import Lookup, on_disk
from labeler.core.project import Project
from labeler.review.simulation.labelled_data import read_labelled
from model.encoders.names import LITE_WIDTH
from tests.labeler.core.archives.test_archives import shard
from tests.support.pictures import make_jpeg
from tests.support.store_rows import score, tags_of_image

NAME = "caf\u00e9 \u00fc.jpg"
DECOMPOSED = unicodedata.normalize("NFD", NAME)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    found = {
        each.name: db.repair.consistency.find(made.store, each)
        for each in db.repair.consistency.CONSISTENCY_CHECKS
    }
    made.close()
    assert not any(found.values()), found


def run(project: Project, *words: str | Path) -> Result:
    result = CliRunner().invoke(labeler, ["--project", str(project.folder), *map(str, words)])
    assert result.exit_code == 0, result.output
    return result


def vectors_of(folder: Path, names: list[str]) -> tuple[Path, Path]:
    """An array, and the list that names its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(0).normal(size=(len(names), LITE_WIDTH)).astype(np.float32)
    np.save(folder / "vectors.npy", rows)
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return folder / "vectors.npy", folder / "names.txt"


def take(project: Project, folder: Path, *names: str) -> Result:
    array, listed = vectors_of(folder, list(names))
    return run(project, "import-embeddings", array, "--encoder", "lite", "--paths", listed)


def embedded(project: Project) -> int:
    record = db.images.embeddings.encoder(project.store, project.encoder)
    assert record is not None
    ids = sorted(set(db.images.locations.ids_by_path(project.store).values()))
    return len(db.images.embeddings.get(project.store, record.id, ids)[0])


@pytest.mark.parametrize(
    ("kept", "named"),
    [
        (NAME, DECOMPOSED),
        (DECOMPOSED, NAME),
        ("sub/a.jpg", "sub\\a.jpg"),
        ("sub/a.jpg", "D:\\pictures\\sub\\a.jpg"),
        ("00000/000000012.jpg", "00000/000000012"),
        ("00000/000000012.jpg", "000000012"),
    ],
)
def test_embeddings_go_to_the_picture_that_is_meant(
    project: Project, tmp_path: Path, kept: str, named: str
) -> None:
    make_jpeg(tmp_path / "photos" / kept, 1)
    make_jpeg(tmp_path / "photos" / "other.jpg", 2)
    import_paths(project, [tmp_path / "photos"])
    told = take(project, tmp_path / "photos", named)
    assert "alone" not in told.output
    assert db.images.counts.by_state(project.store)["missing"] == 0
    assert embedded(project) == 1


def test_keys_of_a_shard(project: Project, tmp_path: Path) -> None:
    shard(tmp_path / "data" / "00000.tar", 3)
    import_paths(project, [tmp_path / "data"])
    take(project, tmp_path / "vectors", "000000000", "000000001", "000000002")
    assert db.images.counts.by_state(project.store) == {
        "fine": 3,
        "unreadable": 0,
        "missing": 0,
    }


def test_a_name_that_several_have_means_none(project: Project, tmp_path: Path) -> None:
    for seed, folder in enumerate(("a", "b")):
        make_jpeg(tmp_path / "photos" / folder / "000000001.jpg", seed)
    import_paths(project, [tmp_path / "photos"])
    told = take(project, tmp_path / "vectors", "000000001")
    assert "None of the names" in told.output and "--by-name" in told.output
    assert db.images.counts.by_state(project.store)["missing"] == 1


def test_what_came_before_its_picture_meets_it(project: Project, tmp_path: Path) -> None:
    take(project, tmp_path / "photos", DECOMPOSED, "000000012", "of nothing here.jpg")
    assert db.images.counts.by_state(project.store)["missing"] == 3
    first = db.images.lookup.find_by_path(project.store, str(tmp_path / "photos" / DECOMPOSED))
    assert first is not None and score(project.store, first.id, 8).accepted
    make_jpeg(tmp_path / "photos" / NAME, 1)
    make_jpeg(tmp_path / "photos" / "000000012.jpg", 2)
    assert import_paths(project, [tmp_path / "photos"]).met == 2
    found = db.images.lookup.find_by_path(project.store, str(tmp_path / "photos" / NAME))
    assert found is not None and found.hand_score == 8
    assert db.images.counts.by_state(project.store) == {
        "fine": 2,
        "unreadable": 0,
        "missing": 1,
    }
    told = run(project, "phantoms")
    assert "of nothing here.jpg" in told.output and "1 image known" in told.output
    assert "Removed 1 image" in run(project, "phantoms", "--remove").output
    assert db.images.counts.by_state(project.store)["missing"] == 0
    assert embedded(project) == 2


def test_a_phantom_that_was_scored_stays(project: Project, tmp_path: Path) -> None:
    take(project, tmp_path / "photos", "nowhere.jpg")
    (image_id,) = db.images.locations.ids_by_path(project.store).values()
    score(project.store, image_id, 3)
    assert "1 scored one stay" in run(project, "phantoms", "--remove").output
    assert db.images.lookup.get(project.store, image_id) is not None


@pytest.mark.parametrize("named", [DECOMPOSED, f"sub\\..\\{NAME}".replace("sub\\..\\", ".\\")])
def test_scores_and_tags_find_it_too(project: Project, tmp_path: Path, named: str) -> None:
    path = make_jpeg(tmp_path / "photos" / NAME)
    import_paths(project, [path.parent])
    table = path.parent / "scores.csv"
    table.write_text(f"path,score\n{named},6\n", encoding="utf-8")
    run(project, "label", "--from", table)
    image = db.images.lookup.find_by_path(project.store, str(path))
    assert image is not None and image.hand_score == 6
    tags = path.parent / "tags.csv"
    tags.write_text(f"path,tags\n{named},sky\n", encoding="utf-8")
    run(project, "tag", tags)
    assert tags_of_image(project.store, image.id) == ["sky"]
    run(project, "label", str(path.with_name(DECOMPOSED)), "9")
    image = db.images.lookup.get(project.store, image.id)
    assert image is not None and image.hand_score == 9


ADDRESSES = (
    "file://{address}",
    "file://localhost{address}",
    "FILE://{address}",
    "file:{address}",
    "file:///C:/Users/ann/photos/{name}",
    "file://nas/share/photos/{name}",
    '"{path}"',
    "'photos/{plain}'",
)


@pytest.mark.parametrize("written", ADDRESSES)
def test_addresses_of_files_and_paths_in_quotes_are_paths(
    project: Project, tmp_path: Path, written: str
) -> None:
    path = make_jpeg(tmp_path / "photos" / "a b é.jpg")
    make_jpeg(tmp_path / "other" / "a b é.jpg", 1)
    import_paths(project, [tmp_path / "photos", tmp_path / "other"], workers=1)
    parts = {"address": quote(str(path)), "path": path, "name": quote(path.name)}
    named = written.format(**parts, plain=path.name)
    tables = [tmp_path / name for name in ("scores.csv", "tags.csv")]
    for table, (column, value) in zip(tables, (("score", "6"), ("tags", "sky")), strict=True):
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows((("path", column), (named, value)))
    run(project, "label", "--from", tables[0])
    run(project, "tag", tables[1])
    if "nas" not in written:  # what lies outside the folder is refused
        (tmp_path / "photos" / "metadata.jsonl").write_text(
            json.dumps({"file_name": named.replace("'photos/", "'"), "score": 6}), encoding="utf-8"
        )
        assert "unchanged 1" in run(project, "label", "--from", tmp_path / "photos").output
    image = db.images.lookup.find_by_path(project.store, str(path))
    assert image is not None and image.hand_score == 6
    assert tags_of_image(project.store, image.id) == ["sky"]
    if not written.startswith("'"):  # rows of an array are named from its folder
        take(project, tmp_path / "vectors", named)
        record = db.images.embeddings.encoder(project.store, "lite")
        assert record is not None
        assert db.images.embeddings.get(project.store, record.id, np.array([image.id]))[
            0
        ].tolist() == [image.id]


@pytest.mark.parametrize("written", ["file://{address}", "'{plain}'"])
def test_a_simulation_reads_addresses_too(tmp_path: Path, written: str) -> None:
    path = make_jpeg(tmp_path / "photos" / "a b.jpg")
    named = written.format(address=quote(str(path)), plain=path.name)
    assert on_disk(path.parent, named) == path


def test_a_simulation_finds_it_on_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for seed, name in enumerate((NAME, "sub/b.jpg", "000000001.jpg")):
        make_jpeg(folder / name, seed)
    table = tmp_path / "labels.csv"
    lines = f"{DECOMPOSED},1\nsub\\b.jpg,2\n000000001,3\n"
    table.write_text(f"path,score\n{lines}", encoding="utf-8")
    told: list[str] = []
    found = read_labelled(table, folder, folder=tmp_path / "run", print_message=told.append)
    assert (sorted(found.scores.tolist()), told) == ([1, 2, 3], [])


def test_nothing_is_read_for_plain_paths() -> None:
    def never() -> dict[str, int]:
        raise AssertionError("all paths were read")

    assert Lookup(never).find("sub/a.jpg", ["/photos/sub/a.jpg"]) is None
