"""Protects hand scores from tables: the right image, the right value, nothing twice.

A CSV file may be written by any table program; its bad lines are named, its good ones are taken,
and running it again neither repeats a score nor undoes what a person has revised since.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import db.images.lookup
import db.scores.hand_scores
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.images.lookup import find_image
from labeler.core.project import Project
from labeler.scoring.import_scores import import_scores
from labeler.scoring.label import label_one
from labeler.scoring.score_files.statements import Place, ReadOptions
from labeler.scoring.score_files.summary import LabelSummary
from tests.support.collection import draw_pictures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six pictures and a project that knows them; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    draw_pictures(folder / "pictures", 6)
    project = Project.create(folder / "project", encoder="lite")
    import_paths(project, [folder / "pictures"], workers=1)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(made / "project", tmp_path / "project")
    (tmp_path / "pictures").symlink_to(made / "pictures", target_is_directory=True)
    project = Project.open(tmp_path / "project")
    yield project
    project.close()


def score_of(project: Project, path: Path) -> float | None:
    image = db.images.lookup.find_by_path(project.store, str(path))
    assert image is not None
    return image.hand_score


def history_of(project: Project, path: Path) -> list[tuple[float, str]]:
    image = db.images.lookup.find_by_path(project.store, str(path))
    assert image is not None
    return [(one.value, one.why) for one in db.scores.hand_scores.history(project.store, image.id)]


def picture(tmp_path: Path, number: int) -> Path:
    return (tmp_path / "pictures" / f"picture {number:03}.png").resolve()


def take(project: Project, file: Path, text: str | bytes) -> LabelSummary:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return import_scores(project, file, ReadOptions(scorer="ann"), keep_all=True)


def problems(summary: LabelSummary) -> dict[Place, str]:
    return {bad.place: bad.problem for bad in summary.bad}


def test_an_image_is_meant_by_path_relative_path_or_id(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "pictures")
    by_path = find_image(project, str(picture(tmp_path, 2)))
    assert find_image(project, "picture 002.png") == by_path
    assert find_image(project, "../pictures/picture 002.png") == by_path
    assert find_image(project, str(by_path.id)) == by_path


def test_a_number_is_an_id_and_dot_slash_makes_it_a_file(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "numbered"
    draw_pictures(folder, 7)
    (folder / "picture 006.png").rename(folder / "1")
    import_paths(project, [folder], workers=1)
    monkeypatch.chdir(folder)
    assert find_image(project, "1").id == 1
    assert find_image(project, "./1").path == str(folder / "1")


@pytest.mark.parametrize("named", ["999", "9" * 30, "nowhere.png", "a" * 5000, "nul\0.png"])
def test_an_unknown_image_is_named_with_what_to_do(project: Project, named: str) -> None:
    with pytest.raises(BadInput, match=r"999|nowhere\.png|aaa|nul"):
        find_image(project, named)


def test_a_file_outside_the_project_is_to_be_imported_first(
    project: Project, tmp_path: Path
) -> None:
    [stray] = draw_pictures(tmp_path / "elsewhere", 1)
    with pytest.raises(BadInput, match="labeler import"):
        find_image(project, str(stray))


def test_the_first_score_and_its_revision_are_both_in_the_history(
    project: Project, tmp_path: Path
) -> None:
    first = label_one(project, str(picture(tmp_path, 0)), 0.0)
    again = label_one(project, str(picture(tmp_path, 0)), 6.5)
    assert (first.before, again.before) == (None, 0.0)
    assert history_of(project, picture(tmp_path, 0)) == [(0.0, "first"), (6.5, "revision")]


def test_a_file_with_relative_and_absolute_paths_and_groups(
    project: Project, tmp_path: Path
) -> None:
    text = (
        "path,score,split_group\n"
        f"pictures/picture 000.png,0,alpha\n{picture(tmp_path, 1)},10,\n"
        "pictures/../pictures/picture 002.png,7.25,beta\n"
    )
    summary = take(project, tmp_path / "scores.csv", text)
    assert (summary.taken, summary.bad) == (3, [])
    assert [score_of(project, picture(tmp_path, n)) for n in range(3)] == [0.0, 10.0, 7.25]
    assert history_of(project, picture(tmp_path, 0)) == [(0.0, "import")]
    assert sorted(db.images.lookup.groups(project.store).values()) == ["alpha", "beta"]


def test_a_spreadsheets_file_with_mark_semicolons_crlf_and_decimal_commas(
    project: Project, tmp_path: Path
) -> None:
    text = '\ufeffScore;PATH\r\n"7,5";"pictures/picture 000.png"\r\n\r\n3;pictures/picture 001.png'
    assert take(project, tmp_path / "scores.csv", text).taken == 2
    assert score_of(project, picture(tmp_path, 0)) == 7.5


@pytest.mark.parametrize("blank", ["", " ", "NaN", "nan", "NULL", "n/a"])
def test_a_blank_score_is_unscored_and_never_0(
    project: Project, tmp_path: Path, blank: str
) -> None:
    text = f"path,score\npictures/picture 000.png,{blank}\n"
    summary = take(project, tmp_path / "scores.csv", text)
    assert (summary.taken, summary.blank, summary.bad) == (0, 1, [])
    assert score_of(project, picture(tmp_path, 0)) is None


def test_bad_lines_are_named_by_their_number_and_the_rest_is_taken(
    project: Project, tmp_path: Path
) -> None:
    text = (
        "path,score\n"
        "pictures/picture 000.png,11\n"
        "pictures/picture 001.png,good\n"
        "nowhere.png,5\n"
        ",5\n"
        "pictures/picture 002.png,-0.5\n"
        "pictures/picture 003.png,inf\n"
        '"pictures/picture\n004.png",4\n'
        "pictures/picture 005.png,4\n"
    )
    summary = take(project, tmp_path / "scores.csv", text)
    assert sorted(problems(summary)) == [2, 3, 4, 5, 6, 7, 8]
    assert "'good' is not a score" in problems(summary)[3]
    assert "nowhere.png does not exist" in problems(summary)[4]
    assert summary.taken == 1
    assert not summary.is_useless
    assert score_of(project, picture(tmp_path, 5)) == 4.0


def test_a_decimal_comma_between_commas_is_named_and_never_cut_to_a_whole_number(
    project: Project, tmp_path: Path
) -> None:
    text = "path,score\npictures/picture 000.png,7,5\npictures/picture 001.png,4,\n"
    summary = take(project, tmp_path / "scores.csv", text)
    assert "more cells than columns" in problems(summary)[2]
    assert score_of(project, picture(tmp_path, 0)) is None
    assert score_of(project, picture(tmp_path, 1)) == 4.0  # A comma too many says nothing.


def test_an_unreadable_image_is_refused_with_its_reason_as_one_sentence(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "empty.png").touch()
    import_paths(project, [tmp_path / "empty.png"])
    with pytest.raises(BadInput, match=r"can't be scored: The file is empty .*original\.$"):
        label_one(project, str(tmp_path / "empty.png"), 3)


def test_two_scores_for_one_image_keep_the_first_and_name_the_second(
    project: Project, tmp_path: Path
) -> None:
    text = "path,score\npictures/picture 000.png,3\npictures/picture 000.png,9\n"
    summary = take(project, tmp_path / "scores.csv", text)
    assert "line 2" in problems(summary)[3]
    assert score_of(project, picture(tmp_path, 0)) == 3.0


def test_the_same_file_again_adds_nothing(project: Project, tmp_path: Path) -> None:
    text = "path,score\npictures/picture 000.png,3\npictures/picture 001.png,4\n"
    take(project, tmp_path / "scores.csv", text)
    again = take(project, tmp_path / "scores.csv", text)
    assert (again.taken, again.unchanged) == (0, 2)
    assert len(history_of(project, picture(tmp_path, 0))) == 1


def test_a_longer_file_keeps_what_a_person_has_revised_since(
    project: Project, tmp_path: Path
) -> None:
    text = "path,score\npictures/picture 000.png,3\n"
    take(project, tmp_path / "scores.csv", text)
    label_one(project, str(picture(tmp_path, 0)), 8.0)
    longer = take(project, tmp_path / "scores.csv", text + "pictures/picture 001.png,4\n")
    assert (longer.taken, longer.unchanged) == (1, 1)
    assert score_of(project, picture(tmp_path, 0)) == 8.0


def test_a_changed_line_is_taken_and_changed_back_it_is_taken_again(
    project: Project, tmp_path: Path
) -> None:
    for score in (3, 5, 3):
        take(project, tmp_path / "scores.csv", f"path,score\npictures/picture 000.png,{score}\n")
    values = [value for value, _ in history_of(project, picture(tmp_path, 0))]
    assert values == [3.0, 5.0, 3.0]
    assert score_of(project, picture(tmp_path, 0)) == 3.0


def test_a_file_of_nothing_but_bad_lines_is_useless(project: Project, tmp_path: Path) -> None:
    summary = take(project, tmp_path / "scores.csv", "path,score\nnowhere.png,5\n")
    assert summary.is_useless


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"path,stars\nx.png,5\n", "no column score"),
        (b"", "no column path"),
        ("path,score\nü.png,5\n".encode("latin-1"), "UTF-8"),
        (b"path,score\n" + b"x" * 200_000 + b",5\n", "line 2"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_whole(
    project: Project, tmp_path: Path, content: bytes, told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        take(project, tmp_path / "scores.csv", content)


def test_a_file_that_is_not_there_is_named(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing\.csv"):
        import_scores(project, tmp_path / "missing.csv")


@pytest.mark.skipif(os.name != "posix", reason="needs names that Windows forbids")
def test_a_name_with_spaces_at_its_ends_is_found_exactly(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    draw_pictures(folder, 7)
    odd = folder / " picture 6.png "
    (folder / "picture 006.png").rename(odd)
    import_paths(project, [folder], workers=1)
    assert take(project, tmp_path / "scores.csv", "path,score\nodd/ picture 6.png ,5\n").taken == 1
    assert score_of(project, odd) == 5.0
