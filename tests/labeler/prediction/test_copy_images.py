"""Protects people's files while predictions are used: copies and links land where they should, no
file is ever replaced by another, nothing is written among the sources, and sidecars say what was
predicted without becoming tags."""

from __future__ import annotations

import errno
import json
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from labeler.collection.discovery import find_images
from labeler.collection.tags import _read_tags
from labeler.core.error_messages import message_for
from labeler.core.errors import BadInput
from labeler.core.scale import bracket_of, spans_of
from labeler.prediction import copy_images as copying
from labeler.prediction.copy_images import (
    CopyResult,
    Destination,
    check_holds_no_originals,
    check_not_a_source,
    check_outside_project,
    copy_images,
)
from labeler.prediction.predict_files import PredictedImage

BRIGHT = {"a/dark.png": 10, "a/b/bright.png": 250, "grey.jpg": 120}


@pytest.fixture
def chosen(tmp_path: Path) -> list[PredictedImage]:
    found = []
    for name, level in BRIGHT.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (level, level, level)).save(path)
        found.append(PredictedImage(str(path), name, level / 255))
    return found


def copied(chosen: list[PredictedImage], folder: Path, **how: object) -> CopyResult:
    source = folder.parent / "source"
    return copy_images(chosen, Destination(folder, **how), "v1.0", sources=[source])


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


def test_copies_keep_their_folders_and_a_second_time_copies_nothing(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    first, again = (copied(chosen, tmp_path / "out") for _ in range(2))
    assert (first.made, first.there, again.made, again.there) == (3, 0, 0, 3)
    assert files(tmp_path / "out") == set(BRIGHT)


def test_a_copy_does_not_replace_another_file_of_its_name(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "grey.jpg").write_text("mine")
    for _ in range(2):
        copies = copied(chosen[2:], out)
        assert (out / "grey.jpg").read_text() == "mine"
        assert copies.renamed == [(chosen[2].path, str(out / "grey-2.jpg"))]
    assert (out / "grey-2.jpg").read_bytes() == Path(chosen[2].path).read_bytes()
    assert files(out) == {"grey.jpg", "grey-2.jpg"}


def test_flat_copies_of_one_name_are_all_there(tmp_path: Path) -> None:
    found = []
    for n, folder in enumerate("abc"):
        path = tmp_path / "source" / folder / "same.bmp"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (9, 9), (80 * n, 0, 0)).save(path)
        os.utime(path, (1, 1))  # as unpacked: neither size nor time tells them apart
        found.append(PredictedImage(str(path), f"{folder}/same.bmp", 0.5))
    for made in (3, 0):
        copies = copied(found, tmp_path / "out", flat=True)
        assert copies.made == made
        assert files(tmp_path / "out") == {"same.bmp", "same-2.bmp", "same-3.bmp"}
    held = {(tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    assert held == {Path(one.path).read_bytes() for one in found}


@pytest.mark.parametrize("link", ["hard", "sym"])
def test_links_take_no_room_and_are_found_again(
    link: str, chosen: list[PredictedImage], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for made in (3, 0):
        copies = copied(chosen, out, link=link)
        assert (copies.made, copies.there, copies.unlinked) == (made, 3 - made, 0)
    assert files(out) == set(BRIGHT)
    for one in chosen:
        place = out / one.relative
        assert place.samefile(one.path)
        assert place.is_symlink() == (link == "sym")


def test_across_disks_a_hard_link_becomes_a_copy(
    chosen: list[PredictedImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(copying.os, "link", refused)
    copies = copied(chosen, tmp_path / "out", link="hard")
    assert (copies.made, copies.unlinked) == (3, 3)
    assert not (tmp_path / "out" / "grey.jpg").samefile(chosen[2].path)


def test_pictures_in_a_tar_are_copied_from_it(chosen: list[PredictedImage], tmp_path: Path) -> None:
    tar = tmp_path / "all.tar"
    with tarfile.open(tar, "w") as packed:
        packed.add(tmp_path / "source", "in")
    inside = [PredictedImage(f"{tar}/in/{one.relative}", one.relative, 0.5) for one in chosen]
    for made in (3, 0):
        copies = copied(inside, tmp_path / "out", link="sym")
        assert (copies.made, copies.unlinked) == (made, made)
    for one in chosen:
        assert (tmp_path / "out" / one.relative).read_bytes() == Path(one.path).read_bytes()


def test_nothing_is_written_among_the_sources(chosen: list[PredictedImage], tmp_path: Path) -> None:
    source = tmp_path / "source"
    before = files(source)
    with pytest.raises(BadInput, match="another folder"):
        check_not_a_source(source, [source])
    with pytest.raises(BadInput, match="another folder"):
        copied(chosen, source)
    # A folder around the sources: the copy of a/dark.png would come to lie beside it.
    renamed = [PredictedImage(one.path, f"source/{one.relative}", 0.5) for one in chosen]
    with pytest.raises(BadInput, match="among the images themselves"):
        copy_images(renamed, Destination(tmp_path), "v1.0", sources=[source])
    # A folder that leads back into them by a link.
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(source / "a")
    with pytest.raises(BadInput, match="among the images themselves"):
        copied(chosen, tmp_path / "out")
    # A single file onto itself.
    with pytest.raises(BadInput, match="among the images themselves"):
        copy_images(chosen[2:], Destination(source), "v1.0", sources=[Path(chosen[2].path)])
    assert files(source) == before


def test_a_folder_of_its_own_within_the_sources_is_meant(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    keep = tmp_path / "source" / "keep"
    copies = copy_images(chosen, Destination(keep), "v1.0", sources=[tmp_path / "source"])
    assert copies.made == 3
    assert files(keep) == set(BRIGHT)


def test_a_folder_with_pictures_of_the_sources_is_none_of_its_own(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    others = [each for each in chosen if not each.relative.startswith("a/")]
    for flat in (False, True):
        with pytest.raises(BadInput, match="holds pictures that are among the images"):
            check_holds_no_originals(others, Destination(source / "a", flat=flat), [source])
    keep = Destination(source / "keep")
    check_holds_no_originals(chosen, keep, [source])
    copy_images(chosen[:1], keep, "v1.0", sources=[source])
    check_holds_no_originals(chosen, keep, [source])
    check_holds_no_originals(others, Destination(source / "a"), [tmp_path / "elsewhere"])


@pytest.mark.parametrize("name", ["", "models", "models/x", "runs"])
def test_the_folders_of_a_project_take_no_copies(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="the project's own"):
        check_outside_project(tmp_path / name, tmp_path)
    check_outside_project(tmp_path / "keep", tmp_path)


def test_a_name_that_leads_out_is_refused(chosen: list[PredictedImage], tmp_path: Path) -> None:
    for relative in ("../out.png", "/etc/out.png", "a/../../out.png"):
        with pytest.raises(BadInput, match="copied out of"):
            copied([PredictedImage(chosen[0].path, relative, 0.5)], tmp_path / "out")
    assert not (tmp_path / "out.png").exists()


def test_what_is_gone_by_now_is_named_and_the_rest_copied(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    Path(chosen[0].path).unlink()
    copies = copied(chosen, tmp_path / "out")
    assert copies.made == 2
    assert [path for path, _ in copies.lost] == [chosen[0].path]


def test_a_full_disk_is_a_sentence_and_leaves_no_part(
    chosen: list[PredictedImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(copying.os, "utime", full)  # the last step before a copy gets its name
    with pytest.raises(OSError) as refused:
        copied(chosen, tmp_path / "out")
    assert "make room" in (message_for(refused.value) or "")
    assert files(tmp_path / "out") == set()
    monkeypatch.undo()
    assert copied(chosen, tmp_path / "out").made == 3


def test_json_sidecars_say_what_was_predicted(chosen: list[PredictedImage], tmp_path: Path) -> None:
    for _ in range(2):
        copies = copied(chosen, tmp_path / "out", sidecar="json")
    assert copies.without_sidecar == []
    assert files(tmp_path / "out") == {*BRIGHT, *(f"{name}.prediction.json" for name in BRIGHT)}
    told = json.loads((tmp_path / "out/a/b/bright.png.prediction.json").read_text(encoding="utf-8"))
    assert told["path"] == chosen[1].path
    assert told["prediction"] == chosen[1].prediction
    assert (told["version"], told["bracket"], told["file"]) == ("v1.0", "5–10", "bright.png")


def test_a_new_version_rewrites_our_sidecars_and_nobody_elses(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    copied(chosen, out, sidecar="json")
    (out / "grey.jpg.prediction.json").write_text('{"caption": "mine"}')
    changed = [PredictedImage(one.path, one.relative, 0.05) for one in chosen]
    copies = copy_images(changed, Destination(out, sidecar="json"), "v1.1")
    ours = out / "a/dark.png.prediction.json"
    assert json.loads(ours.read_text(encoding="utf-8"))["version"] == "v1.1"
    assert (out / "grey.jpg.prediction.json").read_text() == '{"caption": "mine"}'
    assert copies.without_sidecar == [str(out / "grey.jpg")]


CAPTIONS = {
    "a/dark.txt": "a dark square",
    "a/dark.json": '{"caption": "dark"}',
    "a/b/bright.caption": "bright, square",
    "a/b/bright.png.txt": "",
    "grey.txt": "grey",
}


@pytest.mark.parametrize("link", ["copy", "hard", "sym"])
@pytest.mark.parametrize("sidecar", [None, "txt", "json"])
def test_texts_beside_images_come_along(
    chosen: list[PredictedImage], tmp_path: Path, link: str, sidecar: str | None
) -> None:
    for name, text in CAPTIONS.items():
        (tmp_path / "source" / name).write_text(text)
    first, again = (copied(chosen, tmp_path / "out", link=link, sidecar=sidecar) for _ in range(2))
    assert (first.texts, again.texts, again.other_texts) == (5, 0, [])
    there = {name for name in files(tmp_path / "out") if ".prediction." not in name}
    assert there == {*BRIGHT, *CAPTIONS}
    for name, text in CAPTIONS.items():
        assert (tmp_path / "out" / name).read_text() == text


def test_texts_in_a_tar_come_along(chosen: list[PredictedImage], tmp_path: Path) -> None:
    for name, text in CAPTIONS.items():
        (tmp_path / "source" / name).write_text(text)
    tar = tmp_path / "all.tar"
    with tarfile.open(tar, "w") as packed:
        for name in (*BRIGHT, *CAPTIONS):
            packed.add(tmp_path / "source" / name, name)
    inside = [PredictedImage(f"{tar}/{one.relative}", one.relative, 0.5) for one in chosen]
    copies = copy_images(inside, Destination(tmp_path / "out"), "v1.0", sources=[tar])
    assert (copies.texts, copies.lost) == (5, [])
    assert (tmp_path / "out/a/dark.txt").read_text() == "a dark square"


def test_a_text_stays_with_its_image(tmp_path: Path) -> None:
    """Trainers pair them by stem, so no two images may come to share one in a flat folder."""
    found = []
    for folder, name in (("a", "one.png"), ("b", "one.jpg")):
        path = tmp_path / "source" / folder / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(path)
        path.with_suffix(".txt").write_text(folder)
        found.append(PredictedImage(str(path), f"{folder}/{name}", 0.5))
    for _ in range(2):
        copied(found, tmp_path / "out", flat=True)
        texts = {name: (tmp_path / "out" / name).read_text() for name in ("one.txt", "one-2.txt")}
        assert files(tmp_path / "out") == {"one.png", "one-2.jpg", *texts}
        assert texts == {"one.txt": "a", "one-2.txt": "b"}


def test_a_caption_that_was_edited_beside_the_copy_stays(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    (tmp_path / "source" / "grey.txt").write_text("grey")
    copied(chosen, tmp_path / "out")
    (tmp_path / "out" / "grey.txt").write_text("mine")
    again = copied(chosen, tmp_path / "out")
    assert (again.there, again.renamed) == (3, [])
    assert again.other_texts == [str(tmp_path / "out" / "grey.txt")]
    assert (tmp_path / "out" / "grey.txt").read_text() == "mine"


def test_a_text_that_is_a_link_out_of_the_folder_stays_behind(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "source" / "grey.txt").symlink_to(tmp_path / "secret")
    assert copied(chosen, tmp_path / "out").texts == 0
    assert files(tmp_path / "out") == set(BRIGHT)


def test_pictures_that_differ_by_their_ending_have_sidecars_of_their_own(tmp_path: Path) -> None:
    found = []
    for name, prediction in (("one.png", 0.1), ("one.jpg", 0.9)):
        path = tmp_path / "source" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (round(255 * prediction), 0, 0)).save(path)
        found.append(PredictedImage(str(path), name, prediction))
    for _ in range(2):
        copied(found, tmp_path / "out", sidecar="txt")
    for name, prediction in (("one.jpg", 0.9), ("one.png", 0.1)):
        told = (tmp_path / "out" / f"{name}.prediction.txt").read_text(encoding="utf-8")
        assert f"prediction: {prediction}\n" in told


def test_names_as_long_as_they_may_be_are_copied_beside_others_and_lack_a_sidecar(
    tmp_path: Path,
) -> None:
    name = "é" * 125 + "x.png"  # 255 bytes
    path = tmp_path / "source" / name
    path.parent.mkdir()
    Image.new("RGB", (9, 9)).save(path)
    found = [PredictedImage(str(path), name, 0.5)]
    alone = tmp_path / "alone"
    assert copied(found, alone, sidecar="json").without_sidecar == [str(alone / name)]
    assert files(alone) == {name}
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    copy = out / ("é" * 124 + "-2.png")
    for _ in range(2):
        assert copied(found, out).renamed == [(str(path), str(copy))]
    assert files(out) == {name, copy.name}
    assert copy.read_bytes() == path.read_bytes()


def test_our_sidecars_are_no_tags_when_the_copies_are_imported(
    chosen: list[PredictedImage], tmp_path: Path
) -> None:
    for kind in ("txt", "json"):
        copied(chosen, tmp_path / "out", sidecar=kind)
    assert find_images(tmp_path / "out").texts == {}


def test_sidecars_of_earlier_releases_are_no_tags_either(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("labeler predict\nfile: a.png\nprediction: 0.5\n")
    assert _read_tags(str(tmp_path / "a.txt")) == []


@pytest.mark.parametrize(
    ("prediction", "span"),
    [
        (0.0, "0"),
        (0.0999, "0"),
        (0.1, "1"),
        (0.2, "2–3"),
        (0.3, "2–3"),
        (0.399999, "2–3"),
        (0.4, "4"),
        (0.499999, "4"),
        (0.5, "5–10"),
        (1.0, "5–10"),
    ],
)
def test_a_prediction_is_in_the_bracket_of_its_whole_points(prediction: float, span: str) -> None:
    import numpy as np

    assert bracket_of(prediction).span == span
    assert spans_of(np.array([prediction])) == [span]
