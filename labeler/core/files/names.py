"""Names for files made from names that others chose: nothing in them can be taken for more."""

from __future__ import annotations

import os
import unicodedata
from datetime import datetime
from itertools import chain, count
from pathlib import Path

_LONGEST = 120  # bytes that are kept
_KEPT = frozenset(" ._-()")
_USUAL = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "HEIF": ".heic", "JPEG2000": ".jp2"}


def plain_stem(name: str, otherwise: str) -> str:
    """Return the name as a safe file stem; `otherwise` where nothing is left of it.

    Letters of any language stay; what a shell, another system or a loader could interpret becomes
    `_`.
    """
    shown = unicodedata.normalize("NFC", name)
    clean = "".join(c if c in _KEPT or unicodedata.category(c)[0] in "LMN" else "_" for c in shown)
    kept = clean.strip(" ._-").encode()[:_LONGEST].decode(errors="ignore")
    return kept.rstrip(" ._-") or otherwise


def usual_ending(form: str) -> str:
    """Return the usual extension of a format as Pillow names it, such as `.jpg` for JPEG."""
    return _USUAL.get(form, f".{form.lower()}" if form.isalnum() else ".bin")


def dated(path: Path, what: str) -> Path:
    """Return a name beside `path` that does not exist yet."""
    now = datetime.now().astimezone()
    stem = f"{path.name}.{what}-{now:%Y%m%d-%H%M%S}"
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    places = (path.with_name(f"{name}{path.suffix}") for name in names)
    return next(place for place in places if not os.path.lexists(place))


LEADS_OUT = "A link to a file outside the imported folder; import the folder that holds the file."


def readable_name(path: str | Path) -> str:
    """Return the path as text that can be printed and stored, whatever its bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def leads_inside(link: Path, folder: Path) -> bool:
    """Return whether what `link` resolves to lies in `folder`."""
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(folder))
