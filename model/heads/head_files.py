"""Heads as files: NAME.safetensors with the weights and nothing else, NAME.config.json beside it.

The pair is that of CityAesthetics, both ways; published heads of another shape are kept as pairs
of an "arch" of their own, "foreign". Further metadata (encoder, recipe, metrics …) is under the key
"labeler" of the config and, as text, in the header of the safetensors file; neither disturbs other
readers. Only safetensors is read: a file of weights never runs code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from model.checkpoints.read import SAFETENSORS, open_weights
from model.errors import ModelError
from model.files.bounded import read_bounded_text
from model.files.bounded_json import parse_json
from model.heads.head import Head
from model.heads.published_heads import MAX_WIDTH, AnyHead, PublishedHead, empty_published_head

SUFFIX = ".safetensors"
CONFIG_SUFFIX = ".config.json"
PUBLISHED = "foreign"
ARCHITECTURES = ("score", "class", PUBLISHED)
_SIZES = ("features", "hidden", "outputs")
_MAX_DIGITS = 10  # digits
_MAX_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class LoadedHead:
    """A head ready to predict, with its config document.

    Of `config`, "name", "rev" (texts), "arch", "labels" (a list of texts) and "model_params"
    (numbers that fit the weights) are validated and the rest is as it stands; `metadata` is the
    part under "labeler", empty in other tools' files.
    """

    head: AnyHead
    config: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def arch(self) -> str:
        return str(self.config["arch"])

    @property
    def labels(self) -> list[str]:
        """Return the names of the classes, in the order of the outputs; empty for a score."""
        return list(self.config["labels"])


def _labels(value: Any) -> list[str]:
    """Return label names from a list or, as CityClassifiers writes it, a dictionary by number."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value, key=_number)]
    names = value if isinstance(value, list) and len(value) <= MAX_WIDTH else []
    return [_text(name) for name in names]


def _number(key: str) -> tuple[int, str]:
    """Orders "0", "1" … "10" as numbers."""
    return int(key) if key.isdecimal() and len(key) < _MAX_DIGITS else 0, key


def _text(value: Any) -> str:
    """Return a printable name of bounded length; empty for what is no text or number."""
    is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
    shown = str(value)[:_MAX_NAME] if is_text else ""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


def config_path(path: Path) -> Path:
    """Return the path of the config beside a head's file (or stem)."""
    return weights_path(path).with_name(f"{_stem(path)}{CONFIG_SUFFIX}")


def weights_path(path: Path) -> Path:
    """Return the path of the weights beside a head's config (or stem)."""
    return path.with_name(f"{_stem(path)}{SUFFIX}")


def save_head(
    path: Path,
    head: AnyHead,
    *,
    name: str,
    rev: str,
    metadata: dict[str, Any] | None = None,
    write: Callable[[Path, bytes], object] = Path.write_bytes,
) -> list[Path]:
    """Write the pair at `path` (a stem, or the .safetensors file) and return both paths.

    The config comes first, so that weights that are there can be read. `metadata` must be JSON;
    `write` puts bytes into a file.
    """
    contents = head_bytes(head, name=name, rev=rev, metadata=metadata, strict=False)
    paths = [config_path(path), weights_path(path)]
    for file, data in zip(paths, contents, strict=True):
        write(file, data)
    return paths


def head_bytes(
    head: AnyHead,
    *,
    name: str,
    rev: str,
    metadata: dict[str, Any] | None = None,
    strict: bool = True,
) -> tuple[bytes, bytes]:
    """Return the contents of the pair's files: the config, and the weights as safetensors.

    Raises `ValueError` where `metadata` holds what JSON can't (NaN), if `strict`.
    """
    metadata = metadata or {}
    config: dict[str, Any] = {"name": name, "rev": rev, **_described_shape(head)}
    if metadata:
        config["labeler"] = metadata
    weights = {key: value.detach().cpu().contiguous() for key, value in head.state_dict().items()}
    header = {key: _json(value, strict=strict) for key, value in metadata.items()}
    # Not save_file, which raises other errors than OSError for a full disk.
    return _json(config, indent=2, strict=strict).encode(), save(weights, header or None)


def _json(value: Any, *, indent: int | None = None, strict: bool) -> str:
    """Return JSON that every reader takes; bytes of a name that are not UTF-8 become escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=not strict)
    return text.encode("utf-8", "backslashreplace").decode()


def _described_shape(head: AnyHead) -> dict[str, Any]:
    if isinstance(head, PublishedHead):
        return {"arch": PUBLISHED, "labels": [], "model_params": head.params}
    return {
        "arch": "score" if head.outputs == 1 else "class",
        "labels": [] if head.outputs == 1 else [str(k) for k in range(head.outputs)],
        "model_params": {key: getattr(head, key) for key in _SIZES},
    }


def load_head(path: Path, features: int | None = None) -> LoadedHead:
    """Read the pair at `path` (either file, or their stem), ready to predict.

    `features` is the width of the embeddings it shall read. Raises `ModelError` where a file is
    missing or broken, or its keys, shapes or width are not those of a head.
    """
    file = weights_path(path)
    config = _read_config(config_path(path))
    head = _empty_head(config, config_path(path))
    if features is not None and head.features != features:
        raise ModelError(
            f"{file.name} reads embeddings of {head.features} values, but these have "
            f"{features}; use the encoder that it was trained with."
        )
    weights = _read_weights(file, {k: tuple(v.shape) for k, v in head.state_dict().items()})
    head.load_state_dict(weights, assign=True)
    metadata_document = config.get("labeler")
    metadata = metadata_document if isinstance(metadata_document, dict) else {}
    validated = _described_shape(head) | {
        "name": _text(config.get("name")),
        "rev": _text(config.get("rev")),
        "labels": _labels(config.get("labels")),
    }
    return LoadedHead(head.eval().requires_grad_(False), config | validated, metadata)


def _stem(path: Path) -> str:
    for suffix in (SUFFIX, CONFIG_SUFFIX):
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = parse_json(read_bounded_text(path))
    except FileNotFoundError:
        raise ModelError(
            f"{path.name} is missing in {path.parent}; put the config file beside the weights."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read as JSON ({error}); get the file again.") from error
    if not isinstance(config, dict) or config.get("arch") not in ARCHITECTURES:
        raise ModelError(
            f'{path} is not the config of a head; its "arch" must be "score", "class" or "foreign".'
        )
    return config


def _empty_head(config: dict[str, Any], path: Path) -> AnyHead:
    """Return a head of the shape that `config` describes, its weights not set."""
    with torch.device("meta"):
        if config["arch"] != PUBLISHED:
            return Head(**_sizes(config, path))
        try:
            return empty_published_head(config.get("model_params"))
        except ValueError as error:
            raise ModelError(
                f'{path} is not the config of a head: under "model_params" {error}; get the '
                "file again."
            ) from error


def _sizes(config: dict[str, Any], path: Path) -> dict[str, int]:
    params = config.get("model_params")
    sizes: dict[str, Any] = {}
    if isinstance(params, dict):
        sizes = {key: params.get(key) for key in _SIZES}
    valid = [type(size) is int and 0 < size <= MAX_WIDTH for size in sizes.values()]
    if not valid or not all(valid):
        raise ModelError(
            f'{path} needs whole numbers for "features", "hidden" and "outputs" under '
            '"model_params"; get the file again.'
        )
    if (sizes["outputs"] == 1) != (config["arch"] == "score"):
        raise ModelError(
            f"{path} says {config['arch']} with {sizes['outputs']} outputs; "
            "a score has one, classes more."
        )
    return sizes


def _read_weights(path: Path, expected: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    if not path.exists():
        raise ModelError(f"{path} is missing; train a version or name another file.")
    try:
        with open_weights(path, SAFETENSORS) as file:
            _check_shapes(path, file.shapes(), expected)
            weights = {key: file.tensor(key).float() for key in expected}
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}); get the file again.") from error
    broken = [key for key, value in weights.items() if not np.isfinite(value.numpy()).all()]
    if broken:
        raise ModelError(f"{path} has weights that are not finite in {broken[0]}; train again.")
    return weights


def _check_shapes(
    path: Path, shapes: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]
) -> None:
    if shapes.keys() != expected.keys():
        unexpected = sorted(shapes.keys() ^ expected.keys())
        problem = "lacks" if unexpected[0] in expected else "has an unknown"
        raise ModelError(
            f"{path} is not a head: it {problem} {unexpected[0]}; choose another file."
        )
    for key, shape in expected.items():
        if shapes[key] != shape:
            raise ModelError(
                f"{path} does not fit its config: {key} is {shapes[key]}, not {shape}; "
                "get both files again."
            )
