"""Validate an encoder's preprocessing as a store or a config holds it.

A project may come from anybody: these values go into files that others read and run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from model.errors import ModelError

RESIZE_CROP_KEYS = ("size", "resize", "interpolation", "mean", "std")
RESIZE, INTERPOLATION = ("shortest", "squash"), ("bicubic", "bilinear")
MAX_SIZE = 4096  # pixels of an encoder's square
_MAX_CHANNEL = 1000.0  # of a mean or deviation; RGB runs to 1 or to 255
_DIGEST = re.compile(r"sha256:[0-9a-f]{1,64}")


def validated_preprocessing(values: Any, encoder: str) -> dict[str, Any]:
    """Return the known keys of `values`, each of its own type; unknown keys are left out.

    `encoder` names the encoder in messages. Raises `ModelError` for a value of another type or out
    of bounds.
    """
    if not isinstance(values, Mapping):
        raise ModelError(_message(encoder, "preprocessing", "a table of names and values"))
    validated = {}
    for name, (is_valid, expected) in _CHECKS.items():
        if name not in values:
            continue
        if not is_valid(values[name]):
            raise ModelError(_message(encoder, name, expected))
        validated[name] = values[name]
    return validated


def _message(encoder: str, name: str, expected: str) -> str:
    return (
        f'The project\'s "{name}" of the encoder {encoder} is not {expected}, so nothing is '
        "written that rests on it; get the project again, or look at it with: labeler doctor"
    )


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_SIZE


def _is_colour(value: Any) -> bool:
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and all(
        type(number) in (int, float) and abs(number) <= _MAX_CHANNEL for number in value
    )


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "size": (_is_size, f"a whole number from 1 to {MAX_SIZE}"),
    "resize": (lambda value: value in RESIZE, f"one of {', '.join(RESIZE)}"),
    "interpolation": (lambda value: value in INTERPOLATION, f"one of {', '.join(INTERPOLATION)}"),
    "mean": (_is_colour, "three numbers"),
    "std": (
        lambda value: _is_colour(value) and all(one > 0 for one in value),
        "three numbers above 0",
    ),
    "quick_gelu": (lambda value: type(value) is bool, "true or false"),
    "weights": (
        lambda value: isinstance(value, str) and _DIGEST.fullmatch(value) is not None,
        "a SHA-256",
    ),
}
