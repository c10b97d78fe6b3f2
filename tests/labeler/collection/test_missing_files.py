"""An import calls missing only what is gone, and says what it passes over.

Protects pictures that are where they were: in folders that a walk doesn't enter, named singly, in
folders that nobody may read, on disks that are away. Sources: what is expected of a folder reaches
its pictures, and none stays that has no picture.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import db.images.counts
import db.images.lookup
import db.images.sources
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.collection.missing_files import MissingFiles
from labeler.core.errors import BadInput
from labeler.core.project import STORE_FILE, Project, preview_path
from tests.labeler.core.archives.test_archives import shard
from tests.support.pictures import jpeg_bytes, make_jpeg, noise_image


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def states(project: Project) -> dict[str, int]:
    return db.images.counts.by_state(project.store)


@pytest.mark.parametrize("folder", [".hidden", "@eaDir", "#recycle", "deep/.trash/more"])
def test_what_a_walk_passes_over_is_not_missing(
    project: Project, tmp_path: Path, folder: str
) -> None:
    inside = make_jpeg(tmp_path / "photos" / folder / "a.jpg", 1)
    make_jpeg(tmp_path / "photos" / "b.jpg", 2)
    import_paths(project, [inside.parent])
    summary = import_paths(project, [tmp_path / "photos"])
    assert (summary.missing, states(project)["fine"]) == (0, 2)
    ((passed, reason),) = summary.passed_over
    assert passed.startswith(str(tmp_path / "photos")) and "import that folder itself" in reason
    inside.unlink()
    assert import_paths(project, [tmp_path / "photos"]).missing == 1


@pytest.mark.parametrize("name", ["._a.jpg", "picture.dat", "notes.txt"])
def test_a_file_that_was_named_alone_is_not_missing(
    project: Project, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "photos" / name
    path.parent.mkdir()
    noise_image(1).save(path, "TIFF")  # which its content alone doesn't give away
    import_paths(project, [path])
    assert states(project)["fine"] == 1
    assert import_paths(project, [path.parent]).missing == 0
    path.unlink()
    assert import_paths(project, [path.parent]).missing == 1


def test_an_archive_in_a_folder_that_is_passed_over_is_not_missing(
    project: Project, tmp_path: Path
) -> None:
    archive = shard(tmp_path / "photos" / ".packed" / "0.tar", 3)
    import_paths(project, [archive])
    assert import_paths(project, [tmp_path / "photos"]).missing == 0
    shard(archive, 2)
    assert import_paths(project, [tmp_path / "photos"]).missing == 1
    archive.unlink()
    assert import_paths(project, [tmp_path / "photos"]).missing == 2


def test_a_folder_that_nobody_may_list_says_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_jpeg(tmp_path / "photos" / "closed" / "a.jpg")
    import_paths(project, [tmp_path / "photos"])
    path.unlink()
    plain = os.scandir

    def refuse(folder: str | Path) -> object:
        if Path(folder) == path.parent:
            raise PermissionError(13, "Permission denied", str(folder))
        return plain(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    summary = import_paths(project, [tmp_path / "photos"])
    assert (summary.missing, len(summary.closed)) == (0, 1)
    monkeypatch.undo()
    assert import_paths(project, [tmp_path / "photos"]).missing == 1


def test_a_disk_that_is_away_takes_no_picture_with_it(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "media" / "disk" / "a.jpg", 1)
    make_jpeg(tmp_path / "media" / "b.jpg", 2)
    import_paths(project, [path.parent])
    import_paths(project, [tmp_path / "media"])
    path.parent.rename(tmp_path / "away")
    summary = import_paths(project, [tmp_path / "media"])
    assert (summary.missing, states(project)["fine"]) == (0, 2)
    assert any("not connected" in reason for _, reason in summary.closed)


def test_a_new_spelling_is_a_new_name_where_letters_are_alike(tmp_path: Path) -> None:
    """As on file systems that find A.jpg under a.jpg; here a link stands for that."""
    old, new = tmp_path / "A.jpg", tmp_path / "a.jpg"
    make_jpeg(new)
    real, absence = os.lstat, MissingFiles([])
    try:
        os.lstat = lambda path: real(new if str(path) == str(old) else path)  # type: ignore[assignment]
        assert absence.is_gone(str(old), {str(new)})
        assert not absence.is_gone(str(new), {str(new)})
    finally:
        os.lstat = real


@pytest.mark.parametrize("name", ["models", "previews", "thumbnails", "runs"])
def test_a_persons_own_folder_is_read_in_a_project_among_the_pictures(
    tmp_path: Path, name: str
) -> None:
    make_jpeg(tmp_path / name / "mine.jpg", 1)
    make_jpeg(tmp_path / name / "ab" / "mine too.jpg", 2)
    make_jpeg(tmp_path / "large.jpg", 3, (900, 700))
    project = Project.create(tmp_path, encoder="lite")
    first = import_paths(project, [tmp_path])
    image = db.images.lookup.find_by_path(project.store, str(tmp_path / "large.jpg"))
    assert image is not None and preview_path(project, image.content_hash or "").is_file()
    again = import_paths(project, [tmp_path])
    assert (first.new, again.found, again.known) == (3, 3, 3)
    assert (tmp_path / STORE_FILE).exists()
    project.close()


def test_the_sum_adds_up_and_all_that_is_left_out_is_named(
    project: Project, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    for number in range(3):
        make_jpeg(photos / f"{number}.jpg", number)
    make_jpeg(photos / "copy.jpg", 0)
    (photos / "broken.jpg").write_bytes(jpeg_bytes(9)[:200])
    for folder in (".one", ".two"):
        make_jpeg(photos / folder / "x.jpg", 20)
    run, at = CliRunner(), ["--project", str(project.folder), "import", str(photos)]
    told = run.invoke(labeler, at).output
    line = next(line for line in told.splitlines() if line.startswith("Found"))
    numbers = [int(word) for word in line.replace(":", " ").split() if word.isdigit()]
    assert numbers[0] == sum(numbers[1:]) == 5
    assert ".one and 1 more: A hidden folder" in told
    document = run.invoke(labeler, [*at, "--json"]).output
    assert '"passed_over": [' in document and ".two" in document


def test_what_is_expected_reaches_the_pictures(project: Project, tmp_path: Path) -> None:
    make_jpeg(tmp_path / "pics" / "sub" / "a.jpg", 1)
    make_jpeg(tmp_path / "pics" / "b.jpg", 2)
    pics = tmp_path / "pics"
    import_paths(project, [pics])
    import_paths(project, [pics], source="portraits")
    import_paths(project, [pics], expect=(0, 1))
    (only,) = db.images.sources.counts_by_source(project.store)
    assert (only.source.name, only.source.expect_high, only.images) == ("portraits", 1.0, 2)
    import_paths(project, [pics / "sub"], expect=(5, 6))  # a part becomes a source of its own
    found = {
        each.source.name: (each.source.expect_high, each.images)
        for each in db.images.sources.counts_by_source(project.store)
    }
    assert found == {"portraits": (1.0, 1), "sub": (6.0, 1)}


def test_an_expectation_of_several_sources_is_asked_about(project: Project, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_jpeg(tmp_path / "all" / name / "a.jpg", len(name) + ord(name[0]))
        import_paths(project, [tmp_path / "all" / name])
    with pytest.raises(BadInput, match="one, two"):
        import_paths(project, [tmp_path / "all"], expect=(0, 1))


def test_no_source_stays_without_a_picture(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make_jpeg(tmp_path / "pics" / "a.jpg")
    import_paths(project, [tmp_path / "empty", tmp_path / "pics"])
    assert [source.name for source in db.images.sources.sources(project.store)] == ["pics"]


def test_a_copy_of_what_may_not_be_looked_at_is_a_copy(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves, and no source changes, because a folder is closed to us."""
    closed = make_jpeg(tmp_path / "closed" / "a.jpg")
    import_paths(project, [closed.parent])
    copy = tmp_path / "copy" / "a.jpg"
    copy.parent.mkdir()
    copy.write_bytes(closed.read_bytes())
    look = os.lstat

    def refuse(path: str | Path, **more: int) -> os.stat_result:
        if str(path).startswith(f"{closed.parent}{os.sep}"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, **more)

    monkeypatch.setattr(os, "lstat", refuse)
    summary = import_paths(project, [copy.parent])
    assert (summary.duplicates, summary.moved) == (1, 0)
    image = db.images.lookup.find_by_path(project.store, str(copy))
    assert image is not None and (image.path, image.source) == (str(closed), "closed")


@pytest.mark.parametrize("way", ["whole", "a part of more", "moved"])
def test_an_expectation_is_not_lost_without_a_word(
    project: Project, tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "pics" / "a"
    for number in range(2):
        make_jpeg(folder / f"{number}.jpg", number)
    make_jpeg(tmp_path / "pics" / "b" / "c.jpg", 3)
    import_paths(project, [folder], source="photos", expect=(0, 2))
    if way == "whole":
        told = import_paths(project, [folder], source="all").no_more_expected
    elif way == "moved":
        told = import_paths(project, [folder.rename(tmp_path / "all")]).no_more_expected
    else:
        told = import_paths(project, [tmp_path / "pics"], source="all").no_more_expected
    expected = {each.name: each.expect_high for each in db.images.sources.sources(project.store)}
    if way == "whole":
        assert (told, expected) == ([], {"all": 2})
        return
    assert expected["all"] is None
    (sentence,) = told
    assert sentence.startswith("2 images went from photos (expected 0 to 2) to all (nothing")
