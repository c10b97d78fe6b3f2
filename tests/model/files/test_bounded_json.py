"""Protects against JSON of strangers that would fill the memory or take for ever: elements, lines
and cells of a few megabytes that become gigabytes of objects, and work that grows with its square.
"""

from __future__ import annotations

import cProfile
import json
import pstats
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.scoring.import_scores import import_scores
from labeler.scoring.score_files.json_stream import read_list
from model.files.bounded_json import LONGEST, MOST_VALUES, parse_json
from tests.support.collection import draw_pictures

NESTED = "[" * 100_000


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    draw_pictures(tmp_path / "pictures", 1)
    import_paths(made, [tmp_path / "pictures"], workers=1)
    yield made
    made.close()


@pytest.fixture
def picture(tmp_path: Path, project: Project) -> str:
    return str(next((tmp_path / "pictures").iterdir()))


def many_values() -> str:
    """Two million parts in half as many values."""
    return "[" + "{}," * (MOST_VALUES // 2) + "{}]"


def test_what_would_become_too_many_objects_is_refused_before_any_is_made() -> None:
    for text in (many_values(), many_values().encode()):
        with pytest.raises(ValueError, match="more than 2,097,152 values"):
            parse_json(text)
    with pytest.raises(ValueError, match="longer than"):
        parse_json('"' + "a" * LONGEST + '"')
    with pytest.raises(ValueError, match="nested"):
        parse_json(NESTED)
    drawn = list(range(0, 4_000_000, 4))  # a mask of a photograph: numbers up to seven digits
    assert parse_json(json.dumps(drawn, separators=(",", ":"))) == drawn


def test_a_task_of_too_many_values_is_refused_and_a_large_one_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    file.write_text('[{"data": {"image": "x"}, "x": ' + many_values() + "}]")
    with pytest.raises(BadInput, match=r"tasks\.json is not .* values"):
        list(read_list(file))
    large = {"data": {"image": "x"}, "mask": list(range(600_000)), "note": "n" * 1_000_000}
    file.write_text(json.dumps([large, {"data": 1}, large]))
    assert list(read_list(file)) == [large, {"data": 1}, large]


def test_a_line_of_too_many_values_is_named_and_the_rest_is_taken(
    project: Project, picture: str, tmp_path: Path
) -> None:
    file = tmp_path / "scores.jsonl"
    rows = [json.dumps({"path": picture, "score": 3}) + "\n"]
    file.write_text(rows[0] + '{"path": "x", "score": 1, "x": ' + many_values() + "}\n")
    summary = import_scores(project, file)
    assert (summary.taken, [bad.where for bad in summary.bad]) == (1, ["line 2"])


def test_a_list_of_many_small_elements_is_walked_without_copying_it(tmp_path: Path) -> None:
    """Every step of which once copied a megabyte."""
    (tmp_path / "x.json").write_text("[" + "12," * 300_000 + "345]")
    assert list(read_list(tmp_path / "x.json")) == [12] * 300_000 + [345]


def test_a_number_may_go_on_where_a_piece_of_the_file_ends(tmp_path: Path) -> None:
    for spaces in range(4):
        text = "[" + " " * ((1 << 20) - 4 + spaces) + "12345, 6]"
        (tmp_path / "x.json").write_text(text)
        assert list(read_list(tmp_path / "x.json")) == [12345, 6]


def test_work_grows_with_the_number_of_annotations_not_with_its_square(
    project: Project, picture: str, tmp_path: Path
) -> None:
    def calls(number: int) -> int:
        made = [
            {"created_at": "2020-01-01T00:00:00", "completed_by": each, "result": []}
            for each in range(number)
        ]
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps([{"data": {"image": picture}, "annotations": made}]))
        with cProfile.Profile() as profile:
            assert import_scores(project, file, dry_run=True).blank == number
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    calls(10)
    assert calls(400) < 8 * calls(100)


@pytest.mark.parametrize("name", ["scores.jsonl", "tasks.json"])
def test_texts_that_are_no_names_are_not_kept_by_the_thousand(
    project: Project, picture: str, tmp_path: Path, name: str
) -> None:
    """A batch of statements is held at once: a path of megabytes in each would fill the memory."""
    long = "p" * 100_000
    if name == "scores.jsonl":
        rows = [{"path": long, "score": 1}, {"path": picture, "score": 2}]
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        result = [{"from_name": "score", "type": "number", "value": {"number": 2}}]
        tasks = [
            {"data": {"image": image}, "annotations": [{"completed_by": long, "result": result}]}
            for image in (long, picture)
        ]
        text = json.dumps([*tasks, {"id": long, "data": {"image": f"http://[{long}"}}])
    (tmp_path / name).write_text(text)
    summary = import_scores(project, tmp_path / name)
    assert summary.taken == 1
    assert all(len(bad.problem) < 1000 and len(bad.where) < 1000 for bad in summary.bad)
    assert "too long" in summary.bad[0].problem


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "no time"]
)
def test_times_at_the_ends_of_the_calendar_are_sentences(
    project: Project, picture: str, tmp_path: Path, at: str
) -> None:
    file = tmp_path / "history.csv"
    good = "2020-01-01T00:00:00+00:00"
    file.write_text(
        "path,event,scorer,score,at,undone_at,why\n"
        f"{picture},e1,me,5,{at},,first\n{picture},e2,me,5,{good},{at},first\n"
        f"{picture},e3,me,5,{good},,first\n"
    )
    summary = import_scores(project, file)
    assert (summary.taken, [bad.where for bad in summary.bad]) == (1, ["line 2", "line 3"])
    result = [{"from_name": "score", "type": "number", "value": {"number": 6}}]
    annotations = [
        {"created_at": at, "completed_by": 1, "result": result},
        {"created_at": good, "updated_at": at, "completed_by": 2, "result": result},
    ]
    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps([{"data": {"image": picture}, "annotations": annotations}]))
    assert import_scores(project, tasks).taken == 2
