"""How an encoder takes its pictures, as a store or a config tells it, parsed to its types.

A project may come from anybody: what it says here goes into files that others read and run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from model.errors import ModelError

FRAMING = ("size", "resize", "interpolation", "mean", "std")
RESIZE, INTERPOLATION = ("shortest", "squash"), ("bicubic", "bilinear")
LARGEST = 4096  # pixels of an encoder's square
_BRIGHTEST = 1000.0  # of a mean or deviation; RGB runs to 1 or to 255
_DIGEST = re.compile(r"sha256:[0-9a-f]{1,64}")


def checked_preprocessing(told: Any, whose: str) -> dict[str, Any]:
    """The known values of `told`, each of its own type; what is not known is left out.

    `whose` names the encoder. Raises `ModelError` for a value of another type, or out of bounds.
    """
    if not isinstance(told, Mapping):
        raise ModelError(_sentence(whose, "preprocessing", "a table of names and values"))
    checked = {}
    for name, (is_fine, meant) in _CHECKS.items():
        if name not in told:
            continue
        if not is_fine(told[name]):
            raise ModelError(_sentence(whose, name, meant))
        checked[name] = told[name]
    return checked


def _sentence(whose: str, name: str, meant: str) -> str:
    return (
        f'The project\'s "{name}" of the encoder {whose} is not {meant}, so nothing is written '
        "that rests on it; get the project again, or look at it with: labeler doctor"
    )


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LARGEST


def _is_colour(value: Any) -> bool:
    fine = isinstance(value, list) and len(value) == 3
    return fine and all(type(one) in (int, float) and abs(one) <= _BRIGHTEST for one in value)


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "size": (_is_size, f"a whole number from 1 to {LARGEST}"),
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
