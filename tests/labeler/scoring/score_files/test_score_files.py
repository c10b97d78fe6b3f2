"""Protects what people have scored elsewhere: every kind of file gives the same scores, each once.

Tables with any columns and scales, folders named by a score, exports of Label Studio and
imagefolders are told apart by themselves; what can't be taken is counted and named with its reason;
a dry run changes nothing; and what this program exports comes back as it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

import db.images.locations
import db.images.lookup
import db.scores.events
import db.scores.hand_scores
from db.records import Event
from db.scores.confirmations import effective_confirmations
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from labeler.scoring.import_scores import import_scores
from labeler.scoring.label import label_one
from labeler.scoring.score_files.json_stream import read_list
from labeler.scoring.score_files.statements import ReadOptions, StatementError, read_score
from labeler.scoring.score_files.summary import LabelSummary
from tests.support.collection import copied, draw_pictures

NAMES = ("ünï 日本.png", "b c.png", "c.png", "d.png", "e.png", "f.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for path, name in zip(draw_pictures(folder / "pictures", 6), NAMES, strict=True):
        path.rename(path.with_name(name))
    project = Project.create(folder / "project", encoder="lite")
    import_paths(project, [folder / "pictures"], workers=1)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


@pytest.fixture
def pictures(made: Path) -> Path:
    return made / "pictures"


def scored(project: Project) -> dict[str, float]:
    """The scores that count, by file name."""
    ids, values = db.scores.hand_scores.effective(project.store)
    found = db.images.lookup.by_ids(project.store, ids)
    return {
        Path(image.path).name: value for image, value in zip(found, values.tolist(), strict=True)
    }


def given_by(project: Project) -> dict[str, dict[str, float]]:
    """By scorer and file name the latest scores."""
    names = {
        image_id: Path(path).name
        for path, image_id in db.images.locations.ids_by_path(project.store).items()
    }
    return {
        scorer or "": {names[i]: v for i, v in zip(ids.tolist(), values.tolist(), strict=True)}
        for scorer, (ids, values) in db.scores.hand_scores.by_scorer(project.store).items()
    }


def write(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A table of the kind that its name says."""
    if file.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        cells = [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
        file.write_text("\n".join([",".join(rows[0]), *cells]))
    return file


# Scales


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6), st.floats(0, 1))
def test_a_scale_is_spread_over_0_to_10(low: float, width: float, share: float) -> None:
    high = low + width
    value = min(high, max(low, low + share * width))
    score = read_score(value, (low, high))
    assert score is not None
    assert 0 <= score <= 10
    assert (read_score(low, (low, high)), read_score(high, (low, high))) == (0, 10)
    for outside in (low - width, high + width):
        with pytest.raises(StatementError, match="outside the scale"):
            read_score(outside, (low, high))


def test_a_scale_that_is_none_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the lower end first"):
        import_scores(project, tmp_path, ReadOptions(scale=(5, 5)))


def test_scores_keep_their_digits() -> None:
    assert str(read_score("-0")) == "0.0"
    assert read_score("7.25") == 7.25
    assert read_score(0.57, (0, 1)) == 5.7
    assert read_score(4, (1, 5)) == 7.5
    for blank in (None, "", " NaN ", float("nan"), "null"):
        assert read_score(blank) is None
    for nonsense in (True, "good", [], {}, "1e999"):
        with pytest.raises(StatementError):
            read_score(nonsense)


@pytest.mark.parametrize(
    ("written", "scale", "score"),
    [
        ("7,5", (0, 10), 7.5),
        (" 7,25 ", (0, 10), 7.25),
        ("0,005", (0, 10), 0.005),
        (",5", (0, 1), 5),
        ("1,234", (0, 10), 1.234),
        ("9,000", (1000, 9000), 10),
        ("4,5", (1, 8), 5),
    ],
)
def test_decimal_commas_are_read(written: str, scale: tuple[float, float], score: float) -> None:
    assert read_score(written, scale) == score


@pytest.mark.parametrize("written", ["7,5,1", "1.234,5", "7_5", "0,5e", ",", "7,"])
def test_what_is_no_number_in_any_country_is_refused(written: str) -> None:
    with pytest.raises(StatementError, match="is not a score"):
        read_score(written)


def test_a_comma_that_may_mean_two_numbers_is_refused() -> None:
    with pytest.raises(StatementError, match=r"may be 1\.234 or 1234"):
        read_score("1,234", (0, 5000))


# Tables


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("tabs.tsv", b"path\tscore\n{0}\t7,5\n{1}\t3,0\n"),
        ("quoted.csv", b'path,score\n{0},"7,5"\n{1},"3,0"\n'),
        ("hint.csv", b"sep=;\r\npath;score\r\n{0};7,5\r\n{1};3\r\n"),
        ("quoted hint.csv", b'\xef\xbb\xbf"SEP=|"\npath|score\n{0}|7,5\n{1}|3\n'),
        ("texts.jsonl", b'{"path":"{0}","score":"7,5"}\n{"path":"{1}","score":"3,0"}\n'),
        ("unicode text.txt", "path\tscore\r\n{0}\t7,5\r\n{1}\t3\r\n".encode("utf-16")),
    ],
)
def test_tables_as_programs_of_other_countries_write_them(
    project: Project, pictures: Path, tmp_path: Path, name: str, written: bytes
) -> None:
    coding = "utf-16-le" if b"\0" in written else "utf-8"
    for number in range(2):
        path = str(pictures / NAMES[number + 2]).encode(coding)
        written = written.replace(f"{{{number}}}".encode(coding), path)
    (tmp_path / name).write_bytes(written)
    assert import_scores(project, tmp_path / name).taken == 2
    assert scored(project) == {NAMES[2]: 7.5, NAMES[3]: 3.0}


def test_the_line_of_a_hint_counts_as_one(project: Project, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("sep=;\npath;score\nnowhere.png;5\n")
    assert [bad.where for bad in import_scores(project, tmp_path / "scores.csv").bad] == ["line 3"]


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("scores.xlsx", b""),
        ("scores.ods", b""),
        ("a.csv", b"PK\x03\x04"),
        ("b.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ],
)
def test_a_spreadsheet_is_told_as_one(
    project: Project, tmp_path: Path, name: str, begins: bytes
) -> None:
    (tmp_path / name).write_bytes(begins)
    with pytest.raises(BadInput, match=r"is a spreadsheet.* save it as CSV \(UTF-8\)"):
        import_scores(project, tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_table_of_any_columns_and_scale(
    project: Project, pictures: Path, tmp_path: Path, suffix: str
) -> None:
    rows = [
        {"File": str(pictures / NAMES[0]), "stars": 5, "who": "ann", "set": "one"},
        {"File": str(pictures / NAMES[1]), "stars": 1, "who": "ben", "set": ""},
        {"File": str(pictures / NAMES[2]), "stars": None, "who": "ben", "set": "one"},
        {"File": str(pictures / NAMES[3]), "stars": 6, "who": "ben", "set": ""},
        {"File": str(pictures / NAMES[0]), "stars": 3, "who": "ben", "set": ""},
    ]
    reading = ReadOptions(
        path_column="file",
        score_column="STARS",
        scorer_column="who",
        group_column="set",
        scale=(1, 5),
    )
    file = write(tmp_path / f"stars{suffix}", rows)
    summary = import_scores(project, file, reading)
    assert (summary.kind, summary.taken, summary.blank) == ("table", 3, 1)
    assert summary.reasons == {"outside the scale": 1}
    assert "from 1 to 5" in summary.bad[0].problem
    assert given_by(project) == {"ann": {NAMES[0]: 10}, "ben": {NAMES[1]: 0, NAMES[0]: 5}}
    assert sorted(db.images.lookup.groups(project.store).values()) == ["one", "one"]
    again = import_scores(project, file, reading)
    assert (again.taken, again.unchanged) == (0, 3)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(
    project: Project, tmp_path: Path, suffix: str
) -> None:
    file = write(tmp_path / f"other{suffix}", [{"image": "x.png", "stars": 5}])
    with pytest.raises(BadInput, match=r"no column path.*image, stars"):
        import_scores(project, file)


def test_bad_json_lines_are_named_and_the_rest_is_taken(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    good = json.dumps({"path": str(pictures / NAMES[2]), "score": 4})
    deep = "[" * 100_000
    file = tmp_path / "scores.jsonl"
    file.write_bytes(b"\n".join([b"{", b"[1]", good.encode(), b"\xff", deep.encode(), b"{}"]))
    summary = import_scores(project, file)
    assert scored(project) == {NAMES[2]: 4}
    assert summary.reasons == {"can't be read": 4, "no path": 1}
    assert [bad.place for bad in summary.bad] == [1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    "written",
    [
        [{"path": "b c.png", "score": "3,5"}, {"PATH": "c.png", "Score": 4}, ["no", "row"]],
        [{"file_name": "b c.png", "score": 3.5, "note": {}}, {"file_name": "c.png", "score": 4}],
        {"b c.png": "3,5", "c.png": 4, "gone.png": 1},
    ],
)
def test_json_of_rows_or_of_scores_by_path_is_a_table(
    project: Project, pictures: Path, tmp_path: Path, written: object
) -> None:
    folder = shutil.copytree(pictures, tmp_path / "beside")
    import_paths(project, [folder], workers=1)
    file = folder / "scores.json"
    file.write_text(json.dumps(written), encoding="utf-8")
    summary = import_scores(project, file)
    assert summary.kind == "table"
    assert scored(project) == {"b c.png": 3.5, "c.png": 4}


def test_columns_of_json_lines_are_looked_for_beyond_the_first_line(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    rows = [{"score": 3}, {"path": str(pictures / NAMES[0]), "stars": 4}]
    file = write(tmp_path / "scores.jsonl", rows)
    summary = import_scores(project, file, ReadOptions(score_column="stars"))
    assert (scored(project), summary.reasons) == ({NAMES[0]: 4}, {"no path": 1})
    with pytest.raises(BadInput, match=r"no column rating; it has score, path, stars"):
        import_scores(project, file, ReadOptions(score_column="rating"))


def test_no_parquet_is_refused_whole(project: Project, tmp_path: Path) -> None:
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(BadInput, match="not a Parquet file"):
        import_scores(project, tmp_path / "scores.parquet")


def test_what_several_files_and_people_say_does_not_replace_one_another(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "s.csv", [{"path": str(pictures / NAMES[0]), "score": 7}])
    assert import_scores(project, file, ReadOptions(scorer="ann")).taken == 1
    assert import_scores(project, file, ReadOptions(scorer="ben")).taken == 1  # ben says so too
    assert import_scores(project, file, ReadOptions(scorer="ann")).unchanged == 1
    assert import_scores(project, file).unchanged == 1  # nobody in particular says nothing new
    label_one(project, str(pictures / NAMES[0]), 2, "ann")
    assert import_scores(project, file, ReadOptions(scorer="ann")).unchanged == 1
    assert given_by(project) == {"ann": {NAMES[0]: 2}, "ben": {NAMES[0]: 7}}


def test_many_bad_lines_are_counted_and_only_some_kept(project: Project, tmp_path: Path) -> None:
    rows = [{"path": f"{number}.png", "score": 5} for number in range(5000)]
    file = write(tmp_path / "s.csv", rows)
    summary = import_scores(project, file)
    assert (summary.refused, len(summary.bad)) == (5000, 5)
    assert len(import_scores(project, file, keep_all=True).bad) == 5000


def test_two_scores_for_one_image_are_noticed_however_far_apart(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    path = str(pictures / NAMES[0])
    rows = [{"path": path, "score": 3}, *[{"path": path, "score": 3}] * 4000]
    file = write(tmp_path / "s.csv", [*rows, {"path": path, "score": 9}])
    summary = import_scores(project, file)
    assert (summary.taken, summary.refused) == (1, 1)
    assert "line 2" in summary.bad[0].problem


def test_two_scores_for_exact_copies_are_told_as_such(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    for name in ("one.png", "two.png"):
        shutil.copy(pictures / "b c.png", folder / name)
    import_paths(project, [folder], workers=1)
    rows = [{"path": "one.png", "score": 3}, {"path": "two.png", "score": 8}]
    summary = import_scores(project, write(folder / "scores.csv", rows))
    [refused] = summary.bad
    assert "an exact copy of it, has the score 3 in line 2" in refused.problem


def test_a_name_of_a_scorer_is_kept_short_and_printable(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    path = str(pictures / NAMES[0])
    rows = [
        {"path": path, "score": 3, "who": "<img src=x>\x1b[2J\u202e  a"},
        {"path": path, "score": 4, "who": "x" * 500},
        {"path": path, "score": 5, "who": None},
    ]
    import_scores(project, write(tmp_path / "s.jsonl", rows), ReadOptions(scorer_column="who"))
    assert set(given_by(project)) == {"<img src=x> [2J a", "x" * 80, ""}


# Folders named by their score


@pytest.fixture
def folders(project: Project, made: Path, tmp_path: Path) -> Path:
    """07_good with a picture, 10/deep with one, and folders that are no scores."""
    root = tmp_path / "scored"
    for name, place in zip(NAMES, ("07_good", "10/deep", "2nd", "12_much", "0"), strict=False):
        (root / place).mkdir(parents=True)
        shutil.copy(made / "pictures" / name, root / place / name)
    return root


def test_folders_are_scores_and_missing_pictures_are_imported_if_wanted(
    project: Project, folders: Path
) -> None:
    seen = import_scores(project, folders)
    assert (seen.kind, seen.taken) == ("score-folders", 0)
    assert seen.reasons == {"not in the project": 3, "not a score": 1, "outside the scale": 1}
    dry = import_scores(project, folders, add_images=True, dry_run=True)
    assert (dry.taken, dry.to_import, scored(project)) == (3, 3, {})
    taken = import_scores(project, folders, add_images=True)
    assert taken.imported is not None
    assert (taken.taken, taken.imported.duplicates) == (3, 3)
    assert scored(project) == {NAMES[0]: 7, NAMES[1]: 10, NAMES[4]: 0}
    assert import_scores(project, folders).unchanged == 3


def test_what_is_no_picture_gets_no_score(project: Project, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "many" / "00_bad").mkdir(parents=True)
    (tmp_path / "many" / "00_bad" / "broken.png").write_bytes(b"hello")
    shutil.copy(pictures / NAMES[0], tmp_path / "many" / "00_bad")
    summary = import_scores(project, tmp_path / "many", add_images=True)
    assert scored(project) == {NAMES[0]: 0}
    assert summary.reasons == {"can't be read": 1}
    assert "not a picture" in summary.bad[0].problem


def test_one_folder_of_a_score_can_be_given_alone(project: Project, folders: Path) -> None:
    assert import_scores(project, folders / "07_good", add_images=True).taken == 1
    assert import_scores(project, folders / "12_much", ReadOptions(scale=(0, 20)), add_images=True)
    assert scored(project) == {NAMES[0]: 7, NAMES[3]: 6}


def test_a_folder_without_scores_is_refused(project: Project, pictures: Path) -> None:
    with pytest.raises(BadInput, match="07_name"):
        import_scores(project, pictures)


# Label Studio


def task(image: str, *annotations: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return {"id": number, "data": {"image": image}, "annotations": list(annotations)}


def annotation(value: Any, by: Any = 1, kind: str = "number", **more: Any) -> dict[str, Any]:
    result = {"from_name": "score", "to_name": "image", "type": kind, "value": {kind: value}}
    return {"completed_by": by, "was_cancelled": False, "result": [result]} | more


def studio(tmp_path: Path, *tasks: Any) -> Path:
    file = tmp_path / "project-1.json"
    file.write_text(json.dumps(list(tasks)))
    return file


def test_annotators_are_kept_apart_and_the_cancelled_left_out(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    local = "/data/local-files/?d=" + str(pictures / NAMES[1]).lstrip("/").replace(" ", "%20")
    file = studio(
        tmp_path,
        task(
            str(pictures / NAMES[0]),
            annotation(0, by=1),
            annotation(10, by={"id": 7, "email": "ben@example.org"}),
            annotation(5, by=3, was_cancelled=True),
        ),
        task(f"http://localhost:8080{local}", annotation(3, by=1), number=2),
        task("s3://bucket/some/where/d.png", annotation(4, by=1), number=3),
        task("/data/upload/3/0123abcd-e.png", annotation(5, by=1), number=4),
        task("https://example.org/nowhere.png", annotation(5, by=1), number=5),
        task(str(pictures / NAMES[5]), number=6),
    )
    summary = import_scores(project, file)
    assert summary.kind == "label-studio"
    assert given_by(project) == {
        "annotator 1": {NAMES[0]: 0, NAMES[1]: 3, "d.png": 4, "e.png": 5},
        "ben@example.org": {NAMES[0]: 10},
    }
    assert (summary.taken, summary.blank, summary.by_name) == (5, 1, 2)
    assert [(bad.place, bad.reason) for bad in summary.bad] == [("task 5", "no such file")]
    assert any("file's name alone" in note for note in summary.notes())
    assert any("Cancelled annotations" in note for note in summary.notes())
    assert import_scores(project, file).unchanged == 5


def test_ratings_are_read_and_a_rating_of_0_is_none(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    file = studio(
        tmp_path,
        task(str(pictures / NAMES[0]), annotation(5, kind="rating")),
        task(str(pictures / NAMES[1]), annotation(0, kind="rating")),
    )
    assert any("--scale 1:5" in note for note in import_scores(project, file, dry_run=True).notes())
    summary = import_scores(project, file, ReadOptions(scale=(1, 5)))
    assert (scored(project), summary.blank, summary.notes()) == ({NAMES[0]: 10}, 1, [])


def test_of_one_persons_annotations_of_an_image_the_latest_counts(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    later = annotation(8, by=1, created_at="2025-05-02T10:00:00Z")
    earlier = annotation(2, by=1, created_at="2025-05-01T10:00:00Z")
    other = annotation(3, by=2, created_at="2025-05-03T10:00:00Z")
    timeless = [annotation(4, by=1), annotation(6, by=1)]
    file = studio(
        tmp_path,
        task(str(pictures / NAMES[0]), later, earlier, other),
        task(str(pictures / NAMES[1]), *timeless, number=2),
    )
    summary = import_scores(project, file)
    assert given_by(project) == {
        "annotator 1": {NAMES[0]: 8, NAMES[1]: 4},
        "annotator 2": {NAMES[0]: 3},
    }
    assert [bad.place for bad in summary.bad] == ["task 2"]
    assert any("only the latest" in note for note in summary.notes())
    assert import_scores(project, file).taken == 0


def test_annotations_count_in_the_order_in_which_they_were_made(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    late = annotation(9, by=1, created_at="2025-03-01T12:00:00Z")
    early = annotation(2, by=2, created_at="2024-03-01T12:00:00Z")
    import_scores(project, studio(tmp_path, task(str(pictures / NAMES[0]), late, early)))
    assert scored(project) == {NAMES[0]: 9}
    image = db.images.lookup.find_by_path(project.store, str(pictures / NAMES[0]))
    assert image is not None
    assert [row.at.year for row in db.scores.hand_scores.history(project.store, image.id)] == [
        2024,
        2025,
    ]


def test_of_several_controls_one_is_named(project: Project, pictures: Path, tmp_path: Path) -> None:
    both = annotation(3)
    both["result"].append(both["result"][0] | {"from_name": "other", "value": {"number": 8}})
    file = studio(tmp_path, task(str(pictures / NAMES[0]), both))
    assert "--score-column" in import_scores(project, file).bad[0].problem
    assert import_scores(project, file, ReadOptions(score_column="other")).taken == 1
    assert scored(project) == {NAMES[0]: 8}


def test_names_as_a_server_spells_them_find_their_image(project: Project, tmp_path: Path) -> None:
    names = ("0123abcd-b_c.png", "1a2b3c4d-ünï_日本.png")
    done = [task(f"/data/upload/3/{name}", annotation(4), number=n) for n, name in enumerate(names)]
    assert import_scores(project, studio(tmp_path, *done)).bad == []
    assert scored(project) == {NAMES[0]: 4, NAMES[1]: 4}


def test_choices_that_are_numbers_are_scores_and_other_controls_are_named(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    done = [
        task(str(pictures / NAMES[0]), annotation(["7"], kind="choices")),
        task(str(pictures / NAMES[1]), annotation(["good"], kind="choices"), number=2),
        task(str(pictures / NAMES[2]), annotation(["cat"], kind="rectanglelabels"), number=3),
    ]
    summary = import_scores(project, studio(tmp_path, *done))
    assert (scored(project), summary.blank) == ({NAMES[0]: 7}, 2)
    told = " ".join(summary.notes())
    assert "Choices of score that are no numbers" in told
    assert "The control score (rectanglelabels) was not read" in told


def test_tasks_that_are_none_are_named(project: Project, tmp_path: Path) -> None:
    strange = [
        1,
        None,
        {},
        {"data": 1},
        {"data": {"image": 3}},
        task("x", number=1) | {"annotations": 3},
    ]
    summary = import_scores(project, studio(tmp_path, *strange))
    assert summary.refused == len(strange)


def test_a_plain_list_is_told_from_tasks(project: Project, tmp_path: Path) -> None:
    summary = import_scores(
        project, studio(tmp_path, {"id": 1, "image": "x", "score": {"number": 7}})
    )
    assert "JSON-MIN" in summary.bad[0].problem
    assert ".jsonl" in summary.bad[0].problem


@pytest.mark.parametrize("text", ["", "nothing", "[1", "[1 2]", '{"a"', "[" * 100_000])
def test_a_broken_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInput, match=r"x\.json"):
        list(read_list(tmp_path / "x.json"))


def test_a_list_is_read_however_it_is_cut(tmp_path: Path) -> None:
    tasks = [{"n": number, "text": "ü" * 1000} for number in range(3000)]
    for indent in (None, 2):
        (tmp_path / "x.json").write_text(json.dumps(tasks, indent=indent, ensure_ascii=False))
        assert list(read_list(tmp_path / "x.json")) == tasks


def test_what_is_not_in_its_archive_is_told_so(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(1024))
    file = write(tmp_path / "scores.csv", [{"path": "a.tar/1.jpg", "score": 0}])
    assert import_scores(project, file).reasons == {"no such file": 1}


# Imagefolders


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_metadata_beside_the_images(
    project: Project, pictures: Path, tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for split, name in (("train", NAMES[0]), ("test", NAMES[1])):
        (folder / split).mkdir()
        shutil.copy(pictures / name, folder / split / name)
        write(folder / split / f"metadata.{suffix}", [{"file_name": name, "score": 6.5}])
    summary = import_scores(project, folder, add_images=True)
    assert (summary.kind, scored(project)) == ("imagefolder", {NAMES[0]: 6.5, NAMES[1]: 6.5})
    assert import_scores(project, folder).unchanged == 2


@pytest.mark.parametrize("splits", [["train"], ["train", "test"]])
def test_metadata_of_a_folder_named_from_elsewhere(
    project: Project,
    pictures: Path,
    tmp_path: Path,
    splits: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "alias").symlink_to("data")
    (tmp_path / "deep").symlink_to("project")  # to the system, its .. is the project's
    for split, name in zip(splits, NAMES, strict=False):
        (tmp_path / "data" / split).mkdir(parents=True)
        shutil.copy(pictures / name, tmp_path / "data" / split / name)
        write(tmp_path / "data" / split / "metadata.csv", [{"file_name": name, "score": 0}])
    monkeypatch.chdir(tmp_path)
    for spelled in ("project/../data", "./data/", "alias", "deep/../data"):
        assert not import_scores(project, Path(spelled), dry_run=True).reasons["no such file"]
    import_scores(project, Path("deep/../data"), add_images=True)
    assert scored(project) == dict.fromkeys(NAMES[: len(splits)], 0)


# Round trips


@pytest.fixture
def told(project: Project, pictures: Path) -> Project:
    """0 and 10, two scorers, a revision, a score that was undone, and an image without one."""
    for name, score, scorer in (
        (NAMES[0], 0, "ann"),
        (NAMES[1], 10, "ann"),
        (NAMES[1], 4.5, "ben"),
        (NAMES[2], 3, "ann"),
        (NAMES[2], 6, "ann"),
    ):
        label_one(project, str(pictures / name), score, scorer)
    known = db.images.locations.ids_by_path(project.store)
    at = datetime(2025, 3, 1, tzinfo=UTC)
    wrong = Event("wrong", "score", known[str(pictures / NAMES[3])], at, value=9, scorer=None)
    db.scores.events.record(project.store, [wrong, Event("oops", "undo", 0, at, undoes="wrong")])
    return project


@pytest.fixture
def other(made: Path, tmp_path: Path) -> Iterator[Project]:
    """A project that knows the same pictures and no score."""
    shutil.copytree(made / "project", tmp_path / "other")
    project = Project.open(tmp_path / "other")
    yield project
    project.close()


def histories(project: Project) -> list[tuple[Any, ...]]:
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    return [
        (
            (one.event_id, one.image_id, one.value, one.why, one.scorer, one.at, one.undone_at),
            (one.at_least, one.below),
        )
        for one in db.scores.hand_scores.histories(project.store, ids)
    ]


@pytest.mark.parametrize("name", ["all.csv", "all.parquet", "all.jsonl"])
def test_our_own_history_comes_back_whole(
    told: Project, other: Project, tmp_path: Path, name: str
) -> None:
    right = {"value": 7, "why": "confirmation", "queue": "false-positive", "at_least": 4.5}
    image_id = db.scores.hand_scores.histories(told.store, range(99))[-1].image_id
    at = datetime(2025, 3, 2, tzinfo=UTC)
    db.scores.events.record(told.store, [Event("right", "confirm", image_id, at, **right)])
    export(told, "dataset", tmp_path / name, Plan())
    file = tmp_path / ("all.history.csv" if name == "all.csv" else name)
    summary = import_scores(other, file)
    assert (summary.kind, summary.taken, summary.bad) == ("history", 7, [])
    assert effective_confirmations(other.store) == {image_id: (4.5, None)}
    assert set(histories(other)) == set(histories(told))
    given = {NAMES[0]: 0, NAMES[1]: 4.5, NAMES[2]: 6, NAMES[3]: 7}
    assert scored(other) == scored(told) == given
    assert import_scores(other, file).unchanged == 7


def test_a_history_finds_its_pictures_wherever_they_lie_now(
    told: Project, pictures: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(NAMES):
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.copy(pictures / name, tmp_path / "moved" / f"{number}.png")
    other = Project.create(tmp_path / "elsewhere", encoder="lite")
    import_paths(other, [tmp_path / "moved"], workers=1)
    export(told, "dataset", tmp_path / "all.parquet", Plan())
    summary = import_scores(other, tmp_path / "all.parquet")
    assert (summary.taken, summary.bad) == (6, [])
    assert scored(other) == {"0.png": 0, "1.png": 4.5, "2.png": 6}
    other.close()


def test_our_own_tasks_come_back_with_their_scorers(
    told: Project, other: Project, tmp_path: Path
) -> None:
    export(told, "label-studio", tmp_path / "studio", Plan())
    summary = import_scores(other, tmp_path / "studio" / "tasks.json")
    assert summary.bad == []
    assert given_by(other) == given_by(told)


def test_earlier_exports_number_the_scorers(
    told: Project, other: Project, pictures: Path, tmp_path: Path
) -> None:
    before = task(str(pictures / NAMES[0]), annotation(7, by=2))
    before["data"]["scorers"] = {"1": "ann", "2": "ben"}
    import_scores(other, studio(tmp_path, before))
    assert given_by(other) == {"ben": {NAMES[0]: 7}}
    # The same number on a server is one of its accounts.
    served = before | {"annotations": [annotation(7, by=2, id=9)]}
    (tmp_path / "served").mkdir()
    import_scores(other, studio(tmp_path / "served", served))
    assert set(given_by(other)) == {"ben", "annotator 2"}


@pytest.mark.parametrize("kind", ["imagefolder", "score-folders"])
def test_our_own_folders_come_back_exactly(
    told: Project, other: Project, tmp_path: Path, kind: str
) -> None:
    export(told, kind, tmp_path / "out", Plan())
    summary = import_scores(other, tmp_path / "out", add_images=True)
    assert (summary.kind, summary.bad) == (
        "imagefolder",
        [],
    )
    assert sorted(scored(other).values()) == [0, 4.5, 6]


# The command


def call(project: Project, *words: object, code: int = 0) -> Any:
    told = CliRunner().invoke(labeler, ["--project", str(project.folder), *map(str, words)])
    assert told.exit_code == code, told.output
    return told


def test_a_dry_run_says_all_and_changes_nothing(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    rows = [{"path": str(pictures / NAMES[0]), "score": 3, "group": "g"}]
    rows += [{"path": f"{n}.png", "score": 3, "group": ""} for n in range(30)]
    file = write(tmp_path / "s.csv", rows)
    shown = call(project, "label", "--from", file, "--dry-run").stdout
    assert "Would score 1 image;" in shown
    assert "Not taken, no such file: 30" in shown
    assert shown.count("does not exist") == 3
    assert "--json" in shown
    document = json.loads(call(project, "label", "--from", file, "--dry-run", "--json").stdout)
    assert (document["dry_run"], document["taken"], len(document["refused"])) == (True, 1, 30)
    assert (scored(project), db.images.lookup.groups(project.store)) == ({}, {})


def test_bad_lines_are_capped_with_a_pointer_to_all(
    project: Project, pictures: Path, tmp_path: Path
) -> None:
    rows = [{"path": str(pictures / NAMES[0]), "stars": 9}]
    rows += [{"path": f"{n}.png", "stars": 3} for n in range(300)]
    file = write(tmp_path / "s.csv", rows)
    told = call(
        project,
        *("label", "--from", file, "--score-column", "stars", "--scale", "1:9", "--scorer", "ann"),
    )
    assert len(told.stderr.splitlines()) <= 21
    assert "more; all of them: the same command with --json" in told.stderr
    assert "Scored 1 image; unchanged 0, without a score 0, not taken 300." in told.stdout
    assert given_by(project) == {"ann": {NAMES[0]: 10}}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["label", "x.png", "3", "--scale", "1:5"], "go with --from"),
        (["label", "x.png", "3", "--dry-run"], "go with --from"),
        (["label", "--from", "x.csv", "--scorer", "a", "--scorer-column", "b"], "not both"),
        (["label", "--from", "x.csv", "--scale", "5:1"], "the lower first"),
        (["label", "--from", "x.csv", "--kind", "poem"], "poem"),
    ],
)
def test_what_contradicts_itself_is_refused(
    project: Project, words: list[str], sentence: str
) -> None:
    assert sentence in call(project, *words, code=2).stderr


def test_what_a_file_is_can_be_told(project: Project, pictures: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "scores.csv", [{"path": str(pictures / NAMES[0]), "score": 3}])
    file = file.rename(tmp_path / "scores.dat")
    assert "--kind" in call(project, "label", "--from", file, code=1).stderr
    call(project, "label", "--from", file, "--kind", "table")
    assert scored(project) == {NAMES[0]: 3}


def test_a_summary_without_statements_is_not_useless() -> None:
    assert not LabelSummary("table").is_useless


def test_a_sentence_about_what_cannot_be_read_is_short() -> None:
    """Each of these is shown as four characters."""
    told = StatementError("no file", "\0" * 1000 + " does not exist; write another.").at(2).problem
    assert len(told) < 400
    assert told.endswith(" does not exist; write another.")
    brief = "a.png does not exist; write another."
    assert StatementError("no file", brief).at(2).problem == brief
