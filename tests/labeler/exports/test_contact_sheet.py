"""Protects contact sheets: every image at its place with its own words, none twice, none lost, and
an image that is gone leaves its place empty.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import db.images.locations
import db.images.lookup
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.exports.contact_sheet import SheetImage, draw_sheet, draw_sheets

COLOURS = [(220, 30, 30), (30, 200, 40), (40, 60, 220), (230, 200, 20), (120, 20, 160)]
GAP = 8


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Five images, each of one colour: wide, tall, square, small, large."""
    project = Project.create(tmp_path / "project", encoder="lite")
    folder = tmp_path / "pictures"
    folder.mkdir()
    sizes = [(300, 100), (100, 300), (64, 64), (8, 8), (1500, 1500)]
    for number, (colour, size) in enumerate(zip(COLOURS, sizes, strict=True)):
        Image.new("RGB", size, colour).save(folder / f"{number}.png")
    import_paths(project, [folder], workers=1)
    return project


def shown_all(project: Project) -> list[SheetImage]:
    ids = db.images.locations.ids_by_path(project.store)
    return [SheetImage(ids[path], f"{number}0 %") for number, path in enumerate(sorted(ids))]


def middle(picture: Image.Image, row: int, column: int, tile: int, line: int) -> tuple[int, ...]:
    """The colour in the middle of a place."""
    x = GAP + column * (tile + GAP) + tile // 2
    y = GAP + row * (tile + line + GAP) + tile // 2
    pixel = picture.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def line_of(picture: Image.Image, rows: int, tile: int) -> int:
    """The height of the line of text under each row."""
    return (picture.height - GAP) // rows - tile - GAP


def test_images_stand_in_rows_in_their_order(project: Project) -> None:
    made = draw_sheet(project, shown_all(project), columns=2, tile=80)
    assert made.mode == "RGB"
    assert made.width == GAP + 2 * (80 + GAP)
    line = line_of(made, 3, 80)
    assert line > 8
    for number, colour in enumerate(COLOURS):
        row, column = divmod(number, 2)
        seen = middle(made, row, column, 80, line)
        assert np.abs(np.subtract(seen, colour)).max() < 12
    assert middle(made, 2, 1, 80, line) == (255, 255, 255)


def test_proportions_are_kept_and_small_images_stay_small(project: Project) -> None:
    made = np.asarray(draw_sheet(project, shown_all(project), columns=5, tile=90)).astype(int)
    wide, tall, _, small, _ = (
        (np.abs(made - colour).max(axis=2) < 40).nonzero() for colour in COLOURS
    )
    assert np.ptp(wide[1]) + 1 == pytest.approx(90, abs=2)
    assert np.ptp(wide[0]) + 1 == pytest.approx(30, abs=2)
    assert np.ptp(tall[0]) + 1 == pytest.approx(90, abs=2)
    assert np.ptp(small[0]) + 1 <= 8


def test_each_image_has_its_own_words_under_it(project: Project) -> None:
    both = shown_all(project)[:2]
    plain = [SheetImage(one.image_id, "") for one in both]
    first = [both[0], plain[1]]
    bare, said = (np.asarray(draw_sheet(project, each, tile=100)) for each in (plain, first))
    changed = np.argwhere((bare != said).any(axis=2))
    assert len(changed) > 20
    assert changed[:, 0].min() >= GAP + 100
    assert changed[:, 1].max() < GAP + 100 + GAP


def test_words_that_are_too_long_or_no_words_stay_in_their_place(project: Project) -> None:
    one = shown_all(project)[0].image_id
    for text in ("x" * 500, "two\nlines", "\x1b[31m", "猫", "\udce9"):
        made = np.asarray(
            draw_sheet(project, [SheetImage(one, text), SheetImage(one, "")], tile=60)
        )
        assert (made[GAP + 60 :, GAP + 60 :] == 255).all()


def test_an_image_that_is_gone_leaves_its_place_empty(project: Project, tmp_path: Path) -> None:
    shown = shown_all(project)
    [image] = db.images.lookup.by_ids(project.store, [shown[1].image_id])
    Path(image.path).unlink()
    for copies in (project.previews, project.thumbnails):
        for file in copies.rglob("*.jpg"):
            file.unlink()
    made = draw_sheet(project, [*shown, SheetImage(999, "nobody")], columns=6, tile=60)
    line = line_of(made, 1, 60)
    for place, colour in ((0, COLOURS[0]), (2, COLOURS[2])):
        assert np.abs(np.subtract(middle(made, 0, place, 60, line), colour)).max() < 12
    empty = [middle(made, 0, place, 60, line) for place in (1, 5)]
    assert empty[0] == empty[1] != (255, 255, 255)


def test_pages_hold_every_image_once(project: Project) -> None:
    made = list(draw_sheets(project, shown_all(project), columns=2, tile=50, rows=1))
    assert [page.width for page in made] == [2 * 50 + 3 * GAP, 2 * 50 + 3 * GAP, 50 + 2 * GAP]
    assert list(draw_sheets(project, [], columns=2, tile=50)) == []


def test_no_sheet_without_images_or_beyond_all_measure(project: Project) -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw_sheet(project, [])
    with pytest.raises(ValueError, match="too large"):
        draw_sheet(project, shown_all(project) * 1000, tile=400)
