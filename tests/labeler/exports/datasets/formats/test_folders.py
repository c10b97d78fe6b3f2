"""Protects folders of exports: gone on with, brought up to date, not mixed with other files. Their
images have the very bytes that were imported, and what can't be had is named."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from labeler.collection.importing import import_paths
from labeler.core.error_messages import message_for
from labeler.core.errors import BadInput, Stopped
from labeler.core.project import Project
from labeler.exports.datasets import image_files
from labeler.exports.datasets.export import export
from labeler.exports.datasets.output_folder import LIST, export_folder
from labeler.exports.datasets.plan import Plan
from tests.support.exported import image_ids, images, make_exported, score
from tests.support.pictures import noise_image


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_exported(folder).close()
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """With pictures of its own, as these tests change them."""
    project = make_exported(tmp_path)
    yield project
    project.close()


@pytest.fixture
def kept(made: Path, tmp_path: Path) -> Iterator[Project]:
    """Whose pictures stay as they are."""
    shutil.copytree(made / "taste", tmp_path / "taste")
    project = Project.open(tmp_path / "taste")
    yield project
    project.close()


def files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != LIST
    }


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def test_scored_images_lie_in_the_folder_of_their_score(kept: Project, tmp_path: Path) -> None:
    done = export(kept, "score-folders", tmp_path / "out", Plan(name="my taste"))
    table = pd.read_csv(tmp_path / "out" / "metadata.csv")
    assert done.images == len(table) == len(pictures(tmp_path / "out")) == 24
    by_path = {image.path: image for image in images(kept)}
    for row in table.itertuples():
        image = by_path[row.path]
        assert row.score == image.hand_score  # 4.5 is exact here
        folder = f"{int(image.hand_score + 0.5):02d}_my-taste"
        assert row.file_name.startswith(f"{folder}/")
        assert (tmp_path / "out" / row.file_name).read_bytes() == Path(row.path).read_bytes()
    names = {file.parent.name for file in pictures(tmp_path / "out")}
    assert {"00_my-taste", "10_my-taste"} <= names
    assert (tmp_path / "out" / "history.csv").is_file()
    assert (tmp_path / "out" / "data-card.md").is_file()


def test_the_folders_are_called_after_the_project(kept: Project, tmp_path: Path) -> None:
    export(kept, "score-folders", tmp_path / "out", Plan())
    assert (tmp_path / "out" / "10_taste").is_dir()


def test_an_export_that_was_stopped_goes_on_where_it_was(kept: Project, tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what == "copying images" and done == 10:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        export(kept, "score-folders", tmp_path / "out", Plan(), stop)
    assert len(pictures(tmp_path / "out")) == 10
    killed = next(iter(sorted((tmp_path / "out").glob("*/")))) / ".labeler-x1.part"
    killed.write_bytes(b"half an im")
    done = export(kept, "score-folders", tmp_path / "out", Plan())
    assert (done.made, done.there, done.removed) == (14, 10, 0)
    again = export(kept, "score-folders", tmp_path / "whole", Plan())
    assert again.made == 24
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_an_image_with_another_score_moves_and_its_old_place_is_cleared(
    kept: Project, tmp_path: Path
) -> None:
    export(kept, "score-folders", tmp_path / "out", Plan())
    score(kept, [(each, 7) for each in image_ids(kept)[:24] if each != 1], "ann", why="revision")
    done = export(kept, "score-folders", tmp_path / "out", Plan())
    assert done.removed == done.made > 15
    assert len(pictures(tmp_path / "out")) == 24
    left = {folder.name for folder in (tmp_path / "out").iterdir() if folder.is_dir()}
    assert left == {"07_taste", "09_taste"}


def test_a_folder_with_other_files_is_never_touched(kept: Project, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("my own")
    with pytest.raises(BadInput, match="never mixes"):
        export(kept, "imagefolder", mine, Plan())
    assert [file.name for file in mine.iterdir()] == ["README.md"]
    export(kept, "clip-retrieval", tmp_path / "out", Plan())
    with pytest.raises(BadInput, match="clip-retrieval"):
        export(kept, "imagefolder", tmp_path / "out", Plan())
    with pytest.raises(BadInput, match="is a file"):
        export(kept, "imagefolder", mine / "README.md", Plan())


def test_a_list_that_leads_elsewhere_removes_nothing(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "inside.txt").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path / "linked")
    names = ["../outside.txt", str(outside), "link/inside.txt", "gone.txt"]
    lines = [json.dumps({"labeler export": "test"}), *map(json.dumps, names), '"cut o']
    (out / LIST).write_text("\n".join(lines))
    with export_folder(out, "test") as folder:
        assert folder.finish() == (0, 0)
    assert outside.read_text() == (tmp_path / "linked" / "inside.txt").read_text() == "mine"


@pytest.mark.parametrize("link", ["hard", "sym"])
def test_linked_images_take_no_room(kept: Project, tmp_path: Path, link: str) -> None:
    done = export(kept, "score-folders", tmp_path / "out", Plan(link=link))
    assert (done.made, done.notes) == (24, [])
    for file in pictures(tmp_path / "out"):
        assert file.is_symlink() == (link == "sym")
        assert file.stat().st_nlink == (1 if link == "sym" else 2)
    again = export(kept, "score-folders", tmp_path / "out", Plan(link=link))
    assert (again.made, again.there) == (0, 24)
    copied = export(kept, "score-folders", tmp_path / "out", Plan())
    assert copied.made == 24  # links are no copies
    assert {file.stat().st_nlink for file in pictures(tmp_path / "out")} == {1}


def test_where_links_cannot_be_made_images_are_copied_and_it_is_said(
    kept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(image_files.os, "link", refuse)
    done = export(kept, "score-folders", tmp_path / "out", Plan(link="hard"))
    assert done.made == 24
    assert "24 images could not be linked" in done.notes[0]


def test_what_is_missing_changed_or_unreadable_is_named_and_left_out(
    project: Project, tmp_path: Path
) -> None:
    gone, changed, closed, *_ = images(project)
    Path(gone.path).unlink()
    noise_image(77, (70, 50)).save(changed.path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "broken.png").write_bytes(b"not a picture")
    import_paths(project, [tmp_path / "broken"], workers=1)
    done = export(project, "score-folders", tmp_path / "out", Plan())
    assert done.images == 22
    told = dict(done.left_out)
    assert set(told) == {gone.path, changed.path}
    assert "not there any more" in told[gone.path]
    assert "has changed" in told[changed.path]
    listed = pd.read_csv(tmp_path / "out" / "metadata.csv")["path"]
    assert not set(told) & set(listed)
    assert closed.path in set(listed)
    linked = export(project, "imagefolder", tmp_path / "linked", Plan(link="sym"))
    assert set(dict(linked.left_out)) == set(told)
    assert "2 images could not be written" in (tmp_path / "out" / "data-card.md").read_text()


@pytest.mark.parametrize(
    ("kind", "link"),
    [("imagefolder", "copy"), ("imagefolder", "hard"), ("score-folders", "sym")],
)
def test_a_folder_that_may_not_be_entered_costs_its_own_images_alone(
    kept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, link: str
) -> None:
    last = images(kept)[-6:]
    closed, inside = Path(last[0].path).parent, {each.path for each in last}
    score(kept, [(each.id, 7) for each in last], "ann")
    look = os.stat

    def refused(path: object, *args: object, **how: object) -> os.stat_result:
        if isinstance(path, (str, Path)) and Path(path).is_relative_to(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, *args, **how)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "stat", refused)
    done = export(kept, kind, tmp_path / "out", Plan(link=link))
    assert done.images == 24
    assert dict(done.left_out).keys() == inside
    assert all("No permission" in reason for _, reason in done.left_out)
    assert list((tmp_path / "out").glob("*.md"))


@pytest.mark.parametrize("link", ["copy", "sym"])
def test_a_copy_stays_where_its_original_is_gone_and_a_dead_link_does_not(
    project: Project, tmp_path: Path, link: str
) -> None:
    export(project, "score-folders", tmp_path / "out", Plan(link=link))
    gone = images(project)[5]
    Path(gone.path).unlink()
    import_paths(project, [tmp_path / "a"], workers=1)
    done = export(project, "score-folders", tmp_path / "out", Plan(link=link))
    if link == "copy":
        assert (done.images, done.there, done.left_out) == (24, 24, [])
    else:
        assert (done.images, done.there, done.removed) == (23, 23, 1)
        assert [path for path, _ in done.left_out] == [gone.path]
    assert len(pictures(tmp_path / "out")) == done.images


def test_a_missing_image_stays_in_a_table(project: Project, tmp_path: Path) -> None:
    first = images(project)[0]
    Path(first.path).unlink()
    import_paths(project, [tmp_path / "a"], workers=1)
    done = export(project, "dataset", tmp_path / "out", Plan(with_images=True))
    assert [path for path, _ in done.left_out] == [first.path]
    table = pd.read_csv(tmp_path / "out" / "dataset.csv")
    assert len(table) == 33
    assert table["file"].isna().sum() == 1
    assert table["state"][0] == "missing"


def test_a_full_disk_is_one_sentence_and_leaves_no_part_of_a_file(
    kept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.utime
    written: list[object] = []

    def full(path: Path, **times: object) -> None:
        written.append(path)
        if len(written) == 6:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, **times)

    monkeypatch.setattr(image_files.os, "utime", full)
    with pytest.raises(OSError, match="No space") as refused:
        export(kept, "score-folders", tmp_path / "out", Plan())
    assert "make room on that disk" in str(message_for(refused.value))
    assert len(pictures(tmp_path / "out")) == 5
    assert not list((tmp_path / "out").rglob("*.part"))
    monkeypatch.undo()
    assert export(kept, "score-folders", tmp_path / "out", Plan()).there == 5


@pytest.mark.parametrize("link", ["copy", "hard", "sym"])
def test_a_picture_within_an_archive_is_copied_whatever_link_is_wanted(
    kept: Project, tmp_path: Path, link: str
) -> None:
    image = images(kept)[0]
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        archive.add(image.path, "000.jpg")
    inside = dataclasses.replace(image, path=str(tmp_path / "some.tar" / "000.jpg"))
    target = tmp_path / "out" / image_files.file_name(inside)
    assert image_files.place_image(inside, target, link) == (True, False)
    assert target.read_bytes() == Path(image.path).read_bytes()
    assert image_files.place_image(inside, target, link) == (False, False)


def test_nothing_to_export_is_said(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "empty", encoder="lite")
    for kind in ("imagefolder", "score-folders", "clip-retrieval", "label-studio"):
        with pytest.raises(BadInput, match="nothing to export"):
            export(project, kind, tmp_path / "out", Plan())
    assert not (tmp_path / "out").exists()
    project.close()


def test_formats_by_score_hold_no_unscored_images(kept: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't hold unscored"):
        export(kept, "score-folders", tmp_path / "out", Plan(scored_only=False))


def test_a_name_that_is_no_utf_8_still_gives_a_file_name(kept: Project) -> None:
    image = images(kept)[0]
    odd = dataclasses.replace(image, path=os.fsdecode(b"/pictures/caf\xe9.JPG"))
    assert image_files.file_name(odd) == f"caf-{image.content_hash[:16]}.jpg"
    odd = dataclasses.replace(image, path="/pictures/....dat")
    assert image_files.file_name(odd) == f"image-{image.content_hash[:16]}.jpg"
