"""Sidecars: a small file beside a copied image that says what was predicted of it.

NAME.png.prediction.json or .txt beside NAME.png: trainers read NAME.txt as its caption, downloaders
write NAME.json, so ours has neither name. Only a sidecar of ours about the same picture is ever
replaced.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from db.store.regular_files import read_up_to
from labeler.collection.tags import SIDECAR_MARK
from labeler.core.files.atomic import atomic_write
from labeler.core.files.tables import plain_text
from labeler.core.scale import Bracket
from model.files.bounded_json import parse_json

KINDS = ("json", "txt")
_LONGEST_NAME = 255  # bytes, on the usual file systems
_LARGEST = 64 * 1024  # bytes that are read of what lies there


def write_sidecar(
    copy: Path, kind: str, *, path: str, prediction: float, version: str, bracket: Bracket
) -> Path | None:
    """Write the sidecar of `copy`; None where its name is another's or too long.

    `path` is where the image was copied from, `prediction` 0–1. Raises `OSError`.
    """
    told = {
        "made_by": SIDECAR_MARK,
        "file": copy.name,
        "path": path,
        "prediction": prediction,
        "version": version,
        "bracket": bracket.span,
        "meaning": bracket.meaning,
    }
    told = {name: plain_text(value) for name, value in told.items()}
    text = _as_json(told) if kind == "json" else _as_text(told)
    place = copy.with_name(f"{copy.name}.prediction.{kind}")
    if not _may_have(place, kind, str(told["file"])):
        return None
    data = text.encode()
    if not place.exists() or read_up_to(place, len(data) + 1) != data:
        with atomic_write(place) as scratch:
            scratch.write_bytes(data)
    return place


def _as_json(told: dict[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


def _as_text(told: dict[str, Any]) -> str:
    """A line for each, the first one being what it was made by; a name's line ends are escaped."""
    rest = (f"{name}: {_on_a_line(value)}" for name, value in told.items() if name != "made_by")
    return "\n".join([str(told["made_by"]), *rest]) + "\n"


def _on_a_line(value: Any) -> str:
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in f"{value}"
    )


def _may_have(place: Path, kind: str, file: str) -> bool:
    """Whether nothing is there yet, or our sidecar of the same picture; False for a name that is
    too long to be one.
    """
    try:
        if not os.path.lexists(place) and len(os.fsencode(place.name)) <= _LONGEST_NAME:
            return True
        text = read_up_to(place, _LARGEST).decode("utf-8")
        if kind == "txt":
            return text.startswith(f"{SIDECAR_MARK}\nfile: {_on_a_line(file)}\n")
        said = parse_json(text)
        return isinstance(said, dict) and (said.get("made_by"), said.get("file")) == (
            SIDECAR_MARK,
            file,
        )
    except (OSError, ValueError):
        return False
