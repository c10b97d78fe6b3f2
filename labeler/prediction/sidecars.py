"""Sidecars: a small file with the prediction of an image, beside its copy.

It is called NAME.png.prediction.json or .txt: training programs read NAME.txt as the caption and
download programs write NAME.json. Only a sidecar of this program for the same image is replaced.
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
_LARGEST = 64 * 1024  # bytes that are read of an existing file


def write_sidecar(
    copy: Path, kind: str, *, path: str, prediction: float, version: str, bracket: Bracket
) -> Path | None:
    """Write the sidecar of `copy` and return its path.

    Returns None if its name is too long or belongs to another file. `path` is the original image,
    `prediction` is 0–1. Raises `OSError`.
    """
    values = {
        "made_by": SIDECAR_MARK,
        "file": copy.name,
        "path": path,
        "prediction": prediction,
        "version": version,
        "bracket": bracket.span,
        "meaning": bracket.meaning,
    }
    values = {name: plain_text(value) for name, value in values.items()}
    text = _as_json(values) if kind == "json" else _as_text(values)
    sidecar = copy.with_name(f"{copy.name}.prediction.{kind}")
    if not _may_write(sidecar, kind, str(values["file"])):
        return None
    data = text.encode()
    if not sidecar.exists() or read_up_to(sidecar, len(data) + 1) != data:
        with atomic_write(sidecar) as scratch:
            scratch.write_bytes(data)
    return sidecar


def _as_json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


def _as_text(values: dict[str, Any]) -> str:
    """Return one line per value, `made_by` first; line ends within a value are escaped."""
    lines = (f"{name}: {_escaped(value)}" for name, value in values.items() if name != "made_by")
    return "\n".join([str(values["made_by"]), *lines]) + "\n"


def _escaped(value: Any) -> str:
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in f"{value}"
    )


def _may_write(sidecar: Path, kind: str, file: str) -> bool:
    """Return whether `sidecar` doesn't exist or is this program's sidecar of the same image.

    False for a name that is too long for the file system.
    """
    try:
        if not os.path.lexists(sidecar) and len(os.fsencode(sidecar.name)) <= _LONGEST_NAME:
            return True
        text = read_up_to(sidecar, _LARGEST).decode("utf-8")
        if kind == "txt":
            return text.startswith(f"{SIDECAR_MARK}\nfile: {_escaped(file)}\n")
        values = parse_json(text)
        return isinstance(values, dict) and (values.get("made_by"), values.get("file")) == (
            SIDECAR_MARK,
            file,
        )
    except (OSError, ValueError):
        return False
