"""Draw contact sheets: many images in rows as one picture, each with a line of text under it.

Drawn from the small copies that the pages show. An image that can't be read any more leaves its
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
MAX_PIXELS = 100_000_000  # of one sheet
_GAP = 8
_BACKGROUND, _PLACEHOLDER, _TEXT_COLOR = (255, 255, 255), (232, 234, 233), (38, 44, 42)


@dataclass(frozen=True, slots=True)
class SheetImage:
    """An image and the line under it, which is cut off where it is wider than the image."""

    image_id: int
    caption: str


def draw_sheet(
    project: Project, shown: Sequence[SheetImage], columns: int = COLUMNS, tile: int = TILE
) -> Image.Image:
    """Draw one RGB picture of all images in `shown`, in their order, `columns` to a row.

    Each image fits into a square of `tile` pixels. Raises `ValueError` for a sheet without images,
    or of more than `MAX_PIXELS`: use `draw_sheets` then.
    """
    if not shown:
        raise ValueError("a contact sheet needs at least one image")
    columns = min(columns, len(shown))
    font = ImageFont.load_default(max(10, tile // 11))
    line = round(1.6 * font.size) if isinstance(font, ImageFont.FreeTypeFont) else 16
    size = _sheet_size(len(shown), columns, tile, line)
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"a sheet of {size[0]} × {size[1]} pixels is too large")
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    images = {image.id: image for image in db.images.lookup.by_ids(project.store, _ids(shown))}
    for number, one in enumerate(shown):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (tile + _GAP), _GAP + row * (tile + line + _GAP)
        thumbnail = _load_thumbnail(project, images.get(one.image_id), tile)
        if thumbnail is None:
            draw.rectangle((left, top, left + tile - 1, top + tile - 1), fill=_PLACEHOLDER)
        else:
            corner = left + (tile - thumbnail.width) // 2, top + (tile - thumbnail.height) // 2
            sheet.paste(thumbnail, corner)
        _draw_caption(draw, (left, top + tile), one.caption, tile, font)
    return sheet


def draw_sheets(
    project: Project,
    shown: Sequence[SheetImage],
    columns: int = COLUMNS,
    tile: int = TILE,
    rows: int = ROWS,
) -> Iterator[Image.Image]:
    """Draw sheet after sheet, with `rows` rows on each but the last."""
    for start in range(0, len(shown), columns * rows):
        yield draw_sheet(project, shown[start : start + columns * rows], columns, tile)


def _ids(shown: Sequence[SheetImage]) -> list[int]:
    return sorted({one.image_id for one in shown})


def _sheet_size(count: int, columns: int, tile: int, line: int) -> tuple[int, int]:
    rows = -(-count // columns)
    return _GAP + columns * (tile + _GAP), _GAP + rows * (tile + line + _GAP)


def _load_thumbnail(project: Project, image: ImageRecord | None, tile: int) -> Image.Image | None:
    """Return the image in a square of `tile` pixels, never enlarged; None if it can't be read."""
    if image is None or image.content_hash is None:
        return None
    copy_of = thumbnail_of if tile <= OWN_THUMBNAIL_SIDE // 2 else preview_of
    source = image.content_hash, Path(image.path), image.pixel_hash
    try:
        try:
            thumbnail = open_picture(copy_of(project, *source))
        except PreviewNotKept:
            thumbnail = unkept_preview(*source)
    except (LabelerError, UnreadableImage):
        return None
    thumbnail.thumbnail((tile, tile), Image.Resampling.LANCZOS)
    return thumbnail


def _draw_caption(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Draw one line of text in the middle of `width` pixels."""
    line = "".join(c if c.isprintable() else " " for c in text[:200])
    whole = line
    while line and draw.textlength(line, font) > width:
        whole = whole[:-1]
        line = f"{whole}…" if whole else ""
    left = corner[0] + (width - draw.textlength(line, font)) / 2
    draw.text((left, corner[1] + 2), line, _TEXT_COLOR, font)
