"""Embeddings made elsewhere are taken in as if they had been computed here.

Protects: every known layout is read, each vector travels with its own name, embeddings that are not
of the project's kind are refused, images known by their embedding alone are predicted and become
pictures when their files come, and what was interrupted goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

import db.images.counts
import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.images.sources
import db.importing.embeddings
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
from db.records import NewVersion, Predictions
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput, Stopped
from labeler.core.project import Project
from labeler.embedding.files.block import BLOCK, Columns
from labeler.embedding.files.match_images import absolute
from labeler.embedding.importing import ImportOptions, import_embeddings
from labeler.versions.train import train
from model.encoders.names import LITE_WIDTH as WIDTH
from model.training.quick import Quick
from tests.support.pictures import make_collection, make_jpeg

ENCODER = "lite"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", ENCODER)
    yield made
    made.close()


def raw(count: int, seed: int = 0) -> np.ndarray:
    """(count, WIDTH) float32, none of length 1; the first value tells the row."""
    rows = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    rows[:, 0] = np.arange(count) + 100 * seed
    return rows


def unit(count: int, seed: int = 0) -> np.ndarray:
    rows = raw(count, seed)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def stored(project: Project, path: str | Path) -> np.ndarray:
    """The embedding (WIDTH,) of the image at `path`."""
    record = db.images.embeddings.encoder(project.store, project.encoder)
    assert record is not None
    image_id = db.images.locations.ids_by_path(project.store)[str(path)]
    found, vectors = db.images.embeddings.get(project.store, record.id, [image_id])
    assert found.tolist() == [image_id]
    return vectors[0]


def run(project: Project, *words: str | Path, code: int = 0) -> Result:
    command = ["--project", str(project.folder), "import-embeddings", *map(str, words)]
    result = CliRunner().invoke(labeler, command)
    assert result.exit_code == code, result.output
    return result


def clip_retrieval(folder: Path, parts: list[np.ndarray], names: list[list[str]]) -> Path:
    for kind in ("img_emb", "metadata"):
        (folder / kind).mkdir(parents=True)
    for number, (rows, paths) in enumerate(zip(parts, names, strict=True)):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", rows)
        table = pyarrow.table({"image_path": paths, "caption": ["…"] * len(paths)})
        parquet.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def test_clip_retrieval_goes_to_the_images_and_brings_the_others(
    project: Project, tmp_path: Path
) -> None:
    pictures = make_collection(tmp_path / "photos", 3)
    import_paths(project, [tmp_path / "photos"])
    rows = raw(BLOCK + 7)
    names = [f"00000/{number:09}" for number in range(len(rows))]
    names[5], names[BLOCK + 1] = str(pictures[1]), str(pictures[2])
    folder = clip_retrieval(tmp_path / "laion", [rows[:10], rows[10:]], [names[:10], names[10:]])
    result = run(project, folder, "--encoder", ENCODER)
    assert f"Took {len(rows)} embeddings" in result.stdout
    assert f"{len(rows) - 2} more" in result.stdout
    for row in (0, 9, 10, BLOCK + 6):
        assert np.array_equal(stored(project, folder / names[row]), rows[row])
    assert np.array_equal(stored(project, pictures[2]), rows[BLOCK + 1])
    assert db.images.counts.by_state(project.store) == {
        "fine": 3,
        "unreadable": 0,
        "missing": len(rows) - 2,
    }
    assert [source.name for source in db.images.sources.sources(project.store)] == [
        "photos",
        "laion",
    ]


def test_an_embedding_that_is_there_stays_unless_it_is_to_be_replaced(
    project: Project, tmp_path: Path
) -> None:
    folder = clip_retrieval(tmp_path / "a", [raw(4)], [["w", "x", "y", "z"]])
    other = clip_retrieval(tmp_path / "b", [raw(2, 1)], [[str(tmp_path / "a" / "x"), "new"]])
    import_embeddings(project, [folder], ENCODER)
    again = import_embeddings(project, [folder], ENCODER)
    assert (again.rows, again.embedded, again.kept, again.images) == (4, 0, 4, 0)
    summary = import_embeddings(project, [other], ENCODER)
    assert (summary.embedded, summary.kept) == (1, 1)
    assert np.array_equal(stored(project, folder / "x"), raw(4)[1])
    replaced = import_embeddings(project, [other], ENCODER, how=ImportOptions(replace=True))
    assert (replaced.embedded, replaced.kept) == (2, 0)
    assert np.array_equal(stored(project, folder / "x"), raw(2, 1)[0])


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_a_single_array_with_a_list_of_paths(project: Project, tmp_path: Path, suffix: str) -> None:
    (picture,) = make_collection(tmp_path / "photos", 1)
    import_paths(project, [picture])
    rows, names = raw(3), ["ä b.jpg", "photos/000.jpg", "https://host/c.jpg"]
    np.save(tmp_path / "vectors.npy", rows)
    listed = tmp_path / f"list{suffix}"
    if suffix == ".txt":
        listed.write_text("\n".join(names) + "\n", encoding="utf-8")
    elif suffix == ".csv":
        pd.DataFrame({"id": [1, 2, 3], "where": names}).to_csv(listed, index=False)
    else:
        pd.DataFrame({"id": [1, 2, 3], "where": names}).to_parquet(listed)
    column = () if suffix == ".txt" else ("--path-column", "where")
    run(project, tmp_path / "vectors.npy", "--encoder", ENCODER, "--paths", listed, *column)
    assert np.array_equal(stored(project, picture), rows[1])
    assert np.array_equal(stored(project, tmp_path / "ä b.jpg"), rows[0])
    assert np.array_equal(stored(project, "https://host/c.jpg"), rows[2])


def test_a_folder_whose_name_is_no_text_harms_no_store(project: Project, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    np.save(folder / "rows.npy", raw(3))
    (folder / "paths.txt").write_text("1.png\n2.png\n3.png\n")
    for expected in (3, 0):  # a path that can't be read back would stop the second
        columns = Columns(folder / "paths.txt")
        taken = import_embeddings(project, [folder / "rows.npy"], ENCODER, columns=columns)
        assert taken.embedded == expected
    assert str(tmp_path / "caf\\xe9" / "1.png") in db.images.locations.ids_by_path(project.store)


def test_an_array_that_names_no_rows_is_taken_and_said_to_meet_no_file(
    project: Project, tmp_path: Path
) -> None:
    np.save(tmp_path / "plain.npy", raw(3))
    told = run(project, tmp_path / "plain.npy", "--encoder", ENCODER).output
    assert "plain.npy doesn't name its rows" in told
    assert "--paths" in told
    assert stored(project, f"{tmp_path / 'plain.npy'}:1")[0] == 1
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\nc.jpg\n")
    listed = ("--paths", tmp_path / "list.txt")
    told = run(project, tmp_path / "plain.npy", "--encoder", ENCODER, *listed).output
    assert "doesn't name" not in told


def test_a_folder_without_embeddings_is_told_so(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = run(project, tmp_path / "empty", "--encoder", ENCODER, code=1)
    assert "name .npy files" in told.stderr


def test_a_list_of_another_length_is_refused(project: Project, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", raw(3))
    (tmp_path / "list.txt").write_text("a\nb\n")
    words = (tmp_path / "vectors.npy", "--encoder", ENCODER, "--paths", tmp_path / "list.txt")
    assert "list.txt names 2 rows, but it has 3" in run(project, *words, code=1).stderr
    assert db.images.counts.by_state(project.store)["missing"] == 0


def city_classifiers(folder: Path) -> dict[str, np.ndarray]:
    """data/CLIP/{score}[_name]/*.npy, of both shapes."""
    rows = raw(5)
    found = {}
    for number, place in enumerate(["0", "10_best", "7.5_good", "7.5_good", "notes"]):
        path = folder / place / f"image{number}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rows[number] if number % 2 else rows[number : number + 1])
        found[str(path)] = rows[number]
    np.save(folder / "test.npy", rows[:1])  # one of them again, to try a model on
    return found


def test_folders_of_city_classifiers_bring_their_scores(project: Project, tmp_path: Path) -> None:
    found = city_classifiers(tmp_path / "data" / "CLIP")
    result = run(project, tmp_path / "data" / "CLIP", "--encoder", ENCODER, "--with-scores")
    assert "Scored 4 images" in result.stdout
    assert all(np.array_equal(stored(project, path), row) for path, row in found.items())
    ids, values = db.scores.hand_scores.effective(project.store)
    by_path = db.images.locations.ids_by_path(project.store)
    scored = dict(zip(ids.tolist(), values.tolist(), strict=True))
    assert [scored.get(by_path[path]) for path in found] == [0, 10, 7.5, 7.5, None]
    again = import_embeddings(
        project, [tmp_path / "data"], ENCODER, how=ImportOptions(with_scores=True)
    )
    assert (again.kept, again.scored) == (5, 0)


@pytest.mark.parametrize("encoder", ["lite", "lite/normalised"])
def test_scores_and_embeddings_without_images_are_enough_to_train(
    tmp_path: Path, encoder: str
) -> None:
    project = Project.create(tmp_path / "project", encoder)
    db.images.embeddings.register_encoder(project.store, encoder, 16, "normalised" in encoder, {})
    generator = np.random.default_rng(1)
    for number in range(44):
        score = number % 11
        row = generator.normal(size=16).astype(np.float32)
        row[:4] += score
        if "normalised" in encoder:
            row /= np.linalg.norm(row)
        path = tmp_path / "CLIP" / f"{score}_s" / f"{number}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, row)
    import_embeddings(project, [tmp_path / "CLIP"], encoder, how=ImportOptions(with_scores=True))
    version = train(project, recipe=Quick(steps=6, features=8, hidden=64))
    assert version.scored_count == 44
    assert version.metrics["rank_correlation"]["value"] > 0.5
    project.close()


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed", "float16"])
def test_a_table_with_a_column_of_vectors(project: Project, tmp_path: Path, kind: str) -> None:
    rows = raw(9)
    number = pyarrow.float16() if kind == "float16" else pyarrow.float32()
    held = {
        "list": pyarrow.list_(number),
        "large_list": pyarrow.large_list(number),
        "fixed": pyarrow.list_(number, WIDTH),
        "float16": pyarrow.list_(number),
    }[kind]
    vectors = list(rows.astype(np.float16) if kind == "float16" else rows)
    if kind != "fixed":
        vectors[3], vectors[4] = None, vectors[4][:5]
    columns = {
        "path": [f"{row}.jpg" for row in range(9)],
        "emb": pyarrow.array(vectors, held),
        "caption": ["…"] * 9,
    }
    file = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table(columns), file, row_group_size=4)
    summary = import_embeddings(project, [file], ENCODER)
    left_out = 0 if kind == "fixed" else 2
    assert (summary.rows, summary.embedded, summary.left_out) == (9, 9 - left_out, left_out)
    np.testing.assert_allclose(stored(project, tmp_path / "8.jpg"), rows[8], rtol=2e-3, atol=1e-3)
    if left_out:
        assert "2 rows hold no embedding" in summary.unusable[0][1]


def test_a_column_must_be_named_where_there_are_several(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    parquet.write_table(
        pyarrow.table({"a": list(raw(2)), "b": list(raw(2, 1)), "w": ["x", "y"]}), file
    )
    told = run(project, file, "--encoder", ENCODER, code=1).stderr
    assert "several columns of vectors (a, b); choose one with --vector-column" in told
    told = run(project, file, "--encoder", ENCODER, "--vector-column", "w", code=1).stderr
    assert "column w holds string" in told
    words = ("--encoder", ENCODER, "--vector-column", "b", "--path-column")
    assert "no column nope" in run(project, file, *words, "nope", code=1).stderr
    run(project, file, *words, "w")
    assert np.array_equal(stored(project, tmp_path / "y"), raw(2, 1)[1])


def test_images_are_found_by_name_where_it_is_unique(project: Project, tmp_path: Path) -> None:
    unique = make_jpeg(tmp_path / "photos" / "one.jpg", 1)
    make_jpeg(tmp_path / "photos" / "a" / "two.jpg", 2)
    make_jpeg(tmp_path / "photos" / "b" / "two.jpg", 3)
    import_paths(project, [tmp_path / "photos"])
    (tmp_path / "e").mkdir()
    for number, name in enumerate(["one", "two", "three"]):
        np.save(tmp_path / "e" / f"{name}.npy", raw(3)[number])
    result = run(project, tmp_path / "e", "--encoder", ENCODER, "--by-name")
    assert "2 more" in result.stdout
    assert np.array_equal(stored(project, unique), raw(3)[0])


def test_an_image_known_by_its_embedding_becomes_a_picture_when_its_file_comes(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    names = [str(tmp_path / "photos" / f"{number:03}.jpg") for number in range(3)]
    import_embeddings(project, [clip_retrieval(tmp_path / "e", [raw(3)], [names])], ENCODER)
    before = db.images.locations.ids_by_path(project.store)
    image = db.images.lookup.get(project.store, before[names[1]])
    assert image is not None and (image.state, image.content_hash) == ("missing", None)
    make_collection(tmp_path / "photos", 2)
    summary = import_paths(project, [tmp_path / "photos"])
    assert (summary.found, summary.new) == (2, 2)
    after = db.images.lookup.get(project.store, before[names[1]])
    assert after is not None and (after.state, after.format, after.width) == ("fine", "JPEG", 64)
    assert db.images.locations.ids_by_path(project.store) == before
    record = db.images.embeddings.encoder(project.store, ENCODER)
    assert record is not None
    assert db.images.embeddings.missing(project.store, record.id) == []
    assert np.array_equal(stored(project, names[1]), raw(3)[1])


def test_the_active_version_predicts_what_came(project: Project, tmp_path: Path) -> None:
    from model.heads.head import Head
    from model.heads.head_files import save_head

    db.images.embeddings.register_encoder(project.store, ENCODER, WIDTH, False, {})
    save_head(project.models / "v1.0", Head(WIDTH, 8), name="mine", rev="v1.0")
    nothing = np.zeros(0, dtype=np.int64)
    version = db.versions.registry.add(
        project.store,
        NewVersion(
            name="v1.0",
            parent=None,
            encoder=ENCODER,
            recipe="plain",
            threshold=0.5,
            file="v1.0.safetensors",
            scored_ids=nothing,
            scored_values=nothing.astype(np.float64),
            out_of_fold=Predictions(nothing, np.zeros(0, dtype=np.float32), folds=nothing),
        ),
    )
    record = db.images.embeddings.encoder(project.store, ENCODER)
    assert record is not None
    folder = clip_retrieval(tmp_path / "e", [raw(6)], [list("abcdef")])
    run(project, folder, "--encoder", "lite")
    assert (
        len(db.versions.predictions.without_prediction(project.store, version.id, record.id)) == 0
    )


def test_what_is_interrupted_goes_on(project: Project, tmp_path: Path) -> None:
    count = BLOCK + 50
    folder = clip_retrieval(tmp_path / "e", [raw(count)], [[f"{n}" for n in range(count)]])

    def stop(done: int, total: int, what: str) -> None:
        assert (total, what) == (count, "taking in embeddings")
        if done >= BLOCK:
            raise Stopped

    with pytest.raises(Stopped):
        import_embeddings(project, [folder], ENCODER, progress=stop)
    record = db.images.embeddings.encoder(project.store, ENCODER)
    assert record is not None
    assert db.images.embeddings.count(project.store, record.id) == BLOCK
    summary = import_embeddings(project, [folder], ENCODER)
    assert (summary.kept, summary.embedded) == (BLOCK, 50)
    assert np.array_equal(stored(project, folder / f"{count - 1}"), raw(count)[-1])


def test_what_another_encoder_made_is_refused(project: Project, tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "e", [raw(3)], [list("abc")])
    told = run(project, folder, "--encoder", "clip-b32", code=1).stderr
    assert "by lite, not by open_clip:ViT-B-32" in told
    assert "labeler init DIR --encoder clip-b32" in told
    narrow = clip_retrieval(tmp_path / "n", [raw(3)[:, :8]], [list("abc")])
    told = run(project, narrow, "--encoder", ENCODER, code=1).stderr
    assert f"It holds 8 values for each image, but this project reads {WIDTH}" in told
    assert db.images.embeddings.encoder(project.store, ENCODER) is None
    assert run(project, folder, code=2).stderr
    assert "not there" in run(project, tmp_path / "nope", "--encoder", ENCODER, code=1).stderr


def test_normalised_ones_need_a_project_that_reads_them(project: Project, tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "e", [unit(50)], [[f"{n}" for n in range(50)]])
    told = run(project, folder, "--encoder", ENCODER, code=1).stderr
    assert "are normalised (all have length 1), but this project reads those of lite raw" in told
    assert "labeler init DIR --encoder lite/normalised" in told
    other = Project.create(tmp_path / "other", "lite/normalised")
    run(other, folder, "--encoder", "lite/normalised")
    assert np.array_equal(stored(other, folder / "7"), unit(50)[7].astype(np.float32))
    rough = clip_retrieval(tmp_path / "r", [raw(50)], [[f"{n}" for n in range(50)]])
    with pytest.raises(BadInput, match=r"--encoder lite$"):
        import_embeddings(other, [rough], "lite/normalised")
    other.close()


def test_an_encoder_that_comes_later_is_the_one_that_made_them(
    project: Project, tmp_path: Path
) -> None:
    import_embeddings(project, [clip_retrieval(tmp_path / "e", [raw(2)], [["a", "b"]])], ENCODER)
    known = db.images.embeddings.register_encoder(
        project.store, ENCODER, WIDTH, False, {"size": 224}
    )
    assert known.preprocessing == {"size": 224}
    assert db.images.embeddings.encoder(project.store, ENCODER) == known
    assert db.images.embeddings.register_encoder(project.store, ENCODER, WIDTH, False, {}) == known


def test_rows_without_an_embedding_are_left_out(project: Project, tmp_path: Path) -> None:
    rows = raw(6)
    rows[1], rows[2, 3], rows[4, 0] = 0, np.nan, np.inf
    folder = clip_retrieval(tmp_path / "e", [rows], [list("abcdef")])
    summary = import_embeddings(project, [folder], ENCODER)
    assert (summary.embedded, summary.left_out, summary.images) == (3, 3, 3)
    assert np.array_equal(stored(project, folder / "d"), rows[3])


def test_of_two_rows_of_one_image_the_first_counts_or_the_last_replaces(
    project: Project, tmp_path: Path
) -> None:
    folder = clip_retrieval(tmp_path / "e", [raw(3)], [["a", "b", "a"]])
    summary = import_embeddings(project, [folder], ENCODER)
    assert (summary.embedded, summary.kept, summary.images) == (2, 1, 2)
    assert np.array_equal(stored(project, folder / "a"), raw(3)[0])
    import_embeddings(project, [folder], ENCODER, how=ImportOptions(replace=True))
    assert np.array_equal(stored(project, folder / "a"), raw(3)[2])


def test_paths_are_as_an_import_would_call_them(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    names = ["a.jpg", "../b.jpg", "/x.jpg", "/d/e.jpg", "https://h/i.jpg", "nul\0.jpg"]
    assert absolute(tmp_path / "link", names) == [
        str(tmp_path / "real" / "a.jpg"),
        str(tmp_path / "b.jpg"),
        "/x.jpg",
        "/d/e.jpg",
        "https://h/i.jpg",
        str(tmp_path / "real" / "nul\\0.jpg"),
    ]


def test_odd_names_come_back_as_they_were(project: Project) -> None:
    record = db.images.embeddings.register_encoder(project.store, ENCODER, 2, False, {})
    source = db.images.sources.add_source(project.store, "odd")
    names = ["/ü/猫.jpg", "/a \"b' c.jpg", "/line\nend.jpg", "/\u202etxt.jpg", "/" + "x" * 5000]
    taken = db.importing.embeddings.import_embeddings(
        project.store, record.id, source.id, names, np.ones((5, 2))
    )
    assert db.images.locations.ids_by_path(project.store) == dict(
        zip(names, taken.ids.tolist(), strict=True)
    )
    assert db.images.sources.counts_by_source(project.store)[0].images == 5
