"""Tags come with the images, whatever the files they come in are made of.

Protects: texts beside images are read on import, are no "other files", and an import again takes
what has changed; hostile, huge or unreadable ones do no harm; a table of tags names each bad line
and takes the rest; neither origin wipes what the other said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import db.images.locations
import db.images.tags
from labeler.collection.discovery import find_images
from labeler.collection.import_summary import ImportSummary
from labeler.collection.importing import import_paths
from labeler.collection.tags import LONGEST_TAG, MOST_TAGS, _read_tags, split_tags, tag_from_table
from labeler.core.errors import BadInput
from labeler.core.project import Project
from tests.support.collection import draw_pictures
from tests.support.store_rows import tags_of_image


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    draw_pictures(tmp_path / "pictures", 3)
    yield made
    made.close()


def imported(project: Project, *paths: Path) -> ImportSummary:
    folder = project.folder.parent / "pictures"
    return import_paths(project, list(paths) or [folder], workers=1)


def beside(project: Project, number: int, more: str = ".txt") -> Path:
    return project.folder.parent / "pictures" / f"picture {number:03}{more}"


def tags(project: Project, number: int) -> list[str]:
    ids = db.images.locations.ids_by_path(project.store)
    return tags_of_image(project.store, ids[str(beside(project, number, ".png").resolve())])


def test_a_text_beside_an_image_is_its_tags(project: Project) -> None:
    beside(project, 0).write_text("1girl, solo,  long   hair,\nsolo, ;)")
    beside(project, 1, ".png.txt").write_text("sky")
    (beside(project, 0).parent / "notes.txt").write_text("not, beside, anything")
    summary = imported(project)
    assert (summary.new, summary.tagged, summary.other_files) == (3, 2, 1)
    assert tags(project, 0) == sorted(["1girl", "solo", "long hair", ";)"])
    assert tags(project, 1) == ["sky"]
    assert tags(project, 2) == []


def test_importing_again_takes_what_has_changed(project: Project) -> None:
    beside(project, 0).write_text("old, kept")
    beside(project, 1).write_text("gone")
    imported(project)
    beside(project, 0).write_text("kept, new")
    beside(project, 1).write_text("")
    assert imported(project).known == 3
    assert (tags(project, 0), tags(project, 1)) == (["kept", "new"], [])


def test_a_single_file_brings_its_tags_too(project: Project) -> None:
    beside(project, 2).write_text("alone")
    assert imported(project, beside(project, 2, ".png")).tagged == 1
    assert tags(project, 2) == ["alone"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"caption": "a cat, photo", "keywords": ["pet", "soft fur"]}', 4),
        ('{"caption": null, "tags": "one, two", "keywords": [1, null, ["x"]]}', 2),
        ('{"key": "000", "status": "success"}', 0),
        ('["no", "object"]', 0),
        ('{"tag_string": "1girl long_hair", "tag_string_artist": "some_one"}', 3),
        ('{"tags": {"general": ["cat", "dog"], "species": ["fox"], "x": null}}', 3),
        ('{"tags": "1girl solo long_hair"}', 3),
        ('{"prompt": {"3": {"class_type": "KSampler"}}, "workflow": {}}', 0),
        ("{" * 100_000, None),
        ('{"a": ' + "[" * 100_000, None),
        ('{"caption": "cut', None),
        ('{"caption": "' + "x" * 2_000_000 + '"}', None),
        ("\xff", None),
        ("", 0),
    ],
)
def test_tags_stand_in_json_too(project: Project, content: str, found: int | None) -> None:
    """Where it can't be read, what was said before stays."""
    json = beside(project, 0, ".json")
    json.write_text('{"tags": ["before"]}')
    imported(project)
    json.write_text(content, encoding="latin-1")
    summary = imported(project)
    assert (summary.known, summary.other_files) == (3, 0)
    assert tags(project, 0) == ["before"] if found is None else len(tags(project, 0)) == found


def test_a_text_and_json_of_one_image_come_together(project: Project) -> None:
    beside(project, 0).write_text("a, b")
    beside(project, 0, ".json").write_text('{"caption": "b, c"}')
    beside(project, 0, ".png.txt").write_text("d")
    assert imported(project).tagged == 1
    assert tags(project, 0) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\x00caf\xe9, ok",
        b"\x1b[31mred\x1b[0m, \xe2\x80\xae, ok, \x00\x00",
        b"ok, " + b"x" * 5_000_000,
        b", ".join(b"t%d" % n for n in range(100_000)) + b", ok",
        b"ok, a caption: " + b"it goes on and on " * 20,
    ],
    ids=["no text", "control characters", "huge", "very many", "caption"],
)
def test_hostile_texts_do_no_harm(project: Project, content: bytes) -> None:
    beside(project, 0).write_bytes(content)
    assert imported(project).new == 3
    found = tags(project, 0)
    assert len(found) <= MOST_TAGS
    assert all(0 < len(tag) <= LONGEST_TAG and tag.isprintable() for tag in found)
    assert "ok" in found or "t0" in found


def test_what_is_no_plain_file_is_passed_over(project: Project, tmp_path: Path) -> None:
    os.mkfifo(beside(project, 0))
    (tmp_path / "secret").write_text("secret")
    beside(project, 1).symlink_to(tmp_path / "secret")
    beside(project, 2).mkdir()
    assert imported(project).tagged == 0
    assert tags(project, 1) == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            "1girl solo long_hair looking_at_viewer",
            ["1girl", "solo", "long_hair", "looking_at_viewer"],
        ),
        ("blue_eyes\n1girl smile", ["blue_eyes", "1girl", "smile"]),
        ("a cat on a mat", ["a cat on a mat"]),
        ("long hair, blue_eyes", ["long hair", "blue_eyes"]),
        (
            "masterpiece, a castle\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Seed: 1",
            [],
        ),
        ("a castle\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1, Size: 512x512", []),
        ("castle, stairs, steps", ["castle", "stairs", "steps"]),
    ],
)
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("suffix", [".txt", ".caption", ".png.caption"])
def test_texts_of_trainers_boards_and_generators(
    content: str, found: list[str], coding: str, suffix: str, tmp_path: Path
) -> None:
    text = tmp_path / f"a{suffix}"
    text.write_bytes(content.encode(coding))
    draw_pictures(tmp_path, 1)[0].rename(tmp_path / "a.png")
    assert find_images(tmp_path).texts == {str(tmp_path / "a.png"): [str(text)]}
    assert _read_tags(str(text)) == found


def test_splitting_keeps_the_order_and_drops_repeats() -> None:
    assert split_tags("b, a\r\nb,,  ,c\td") == ["b", "a", "c d"]


def table(project: Project, text: str) -> Path:
    path = project.folder.parent / "tags.csv"
    path.write_text(text)
    return path


def test_a_table_of_tags_names_each_bad_line_and_takes_the_rest(project: Project) -> None:
    imported(project)
    file = table(
        project,
        'path,tags\npictures/picture 000.png,"sky, sea"\npictures/picture 001.png,sky;night\n'
        f"pictures/nowhere.png,sky\n{beside(project, 2, '.png')},unquoted,comma\n,lost\n",
    )
    summary = tag_from_table(project, file)
    assert summary.images == 2
    assert [bad.line for bad in summary.bad] == [4, 5, 6]
    assert "does not exist" in summary.bad[0].problem
    assert "quote what holds a comma" in summary.bad[1].problem
    assert (tags(project, 0), tags(project, 1)) == (["sea", "sky"], ["night", "sky"])


def test_one_tag_a_line_may_hold_anything(project: Project) -> None:
    imported(project)
    lines = ["a, b", "c;d", "x" * (LONGEST_TAG + 1)]
    text = "".join(f'pictures/picture 000.png,"{tag}"\n' for tag in lines)
    summary = tag_from_table(project, table(project, f"path,tag\n{text}"))
    assert tags(project, 0) == ["a, b", "c;d"]
    assert [bad.line for bad in summary.bad] == [4]


def test_each_origin_replaces_only_what_it_said_itself(project: Project) -> None:
    beside(project, 0).write_text("text, both")
    imported(project)
    file = table(project, 'path,tags\npictures/picture 000.png,"table, both"\n')
    tag_from_table(project, file)
    imported(project)
    assert tags(project, 0) == ["both", "table", "text"]
    tag_from_table(project, table(project, "path,tags\npictures/picture 000.png,\n"))
    assert tags(project, 0) == ["both", "text"]


def test_a_file_that_is_no_table_of_tags_is_refused(project: Project) -> None:
    with pytest.raises(BadInput, match="no column tags or tag"):
        tag_from_table(project, table(project, "path,score\na.png,3\n"))
    with pytest.raises(BadInput, match="no column path"):
        tag_from_table(project, table(project, "file,tags\na.png,x\n"))
