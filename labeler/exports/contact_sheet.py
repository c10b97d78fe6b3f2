"""Contact sheets: many images in rows as one picture, each with a line of text under it.

Made from the small copies that the pages show. An image that can't be read any more leaves its
place empty, with its text: a sheet always has as many places as images were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import db.images.lookup
from db.records import Image as ImageRecord
from labeler.collection.previews import PreviewNotKept, preview_of, thumbnail_of, unkept_preview
from labeler.core.archives.opening import open_picture
from labeler.core.errors import LabelerError
from labeler.core.project import Project
from model.errors import UnreadableImage
from model.images.resize import OWN_THUMBNAIL_SIDE

COLUMNS, TILE, ROWS = 10, 160, 50
MOST_PIXELS = 100_000_000  # of one sheet
_GAP = 8
_PAPER, _EMPTY, _INK = (255, 255, 255), (232, 234, 233), (38, 44, 42)


@dataclass(frozen=True, slots=True)
class SheetImage:
    """An image and what stands under it: one line, cut off where it is wider than its image."""

    image_id: int
    caption: str


def draw_sheet(
    project: Project, shown: Sequence[SheetImage], columns: int = COLUMNS, tile: int = TILE
) -> Image.Image:
    """One RGB picture of all that is `shown`, in its order, `columns` to a row.

    Each image fits into a square of `tile` pixels. Raises `ValueError` for a sheet without images,
    or of more than `MOST_PIXELS`: ask for `pages` then.
    """
    if not shown:
        raise ValueError("a contact sheet needs at least one image")
    columns = min(columns, len(shown))
    font = ImageFont.load_default(max(10, tile // 11))
    line = round(1.6 * font.size) if isinstance(font, ImageFont.FreeTypeFont) else 16
    size = _size(len(shown), columns, tile, line)
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"a sheet of {size[0]} × {size[1]} pixels is too large")
    whole = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(whole)
    known = {image.id: image for image in db.images.lookup.by_ids(project.store, _ids(shown))}
    for number, one in enumerate(shown):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (tile + _GAP), _GAP + row * (tile + line + _GAP)
        small = _small(project, known.get(one.image_id), tile)
        if small is None:
            pen.rectangle((left, top, left + tile - 1, top + tile - 1), fill=_EMPTY)
        else:
            place = left + (tile - small.width) // 2, top + (tile - small.height) // 2
            whole.paste(small, place)
        _write(pen, (left, top + tile), one.caption, tile, font)
    return whole


def pages(
    project: Project,
    shown: Sequence[SheetImage],
    columns: int = COLUMNS,
    tile: int = TILE,
    rows: int = ROWS,
) -> Iterator[Image.Image]:
    """`draw_sheet` after sheet, with `rows` rows on each but the last."""
    for start in range(0, len(shown), columns * rows):
        yield draw_sheet(project, shown[start : start + columns * rows], columns, tile)


def _ids(shown: Sequence[SheetImage]) -> list[int]:
    return sorted({one.image_id for one in shown})


def _size(count: int, columns: int, tile: int, line: int) -> tuple[int, int]:
    rows = -(-count // columns)
    return _GAP + columns * (tile + _GAP), _GAP + rows * (tile + line + _GAP)


def _small(project: Project, image: ImageRecord | None, tile: int) -> Image.Image | None:
    """The image in a square of `tile` pixels, never enlarged; None where it can't be read."""
    if image is None or image.content_hash is None:
        return None
    copy_of = thumbnail_of if tile <= OWN_THUMBNAIL_SIDE // 2 else preview_of
    known = image.content_hash, Path(image.path), image.pixel_hash
    try:
        try:
            small = open_picture(copy_of(project, *known))
        except PreviewNotKept:
            small = unkept_preview(*known)
    except (LabelerError, UnreadableImage):
        return None
    small.thumbnail((tile, tile), Image.Resampling.LANCZOS)
    return small


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """One line in the middle of `width` pixels."""
    line = "".join(c if c.isprintable() else " " for c in text[:200])
    whole = line
    while line and pen.textlength(line, font) > width:
        whole = whole[:-1]
        line = f"{whole}…" if whole else ""
    left = place[0] + (width - pen.textlength(line, font)) / 2
    pen.text((left, place[1] + 2), line, _INK, font)
