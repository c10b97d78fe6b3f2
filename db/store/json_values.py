"""What the JSON of a column holds, as far as its readers rely on it.

More may be there, from a newer program or by hand; but where a number is read, there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

Shape = Callable[[Any], bool]
_LARGEST_SIDE = 10_000  # pixels that an encoder takes
_FIGURES_DEEP = 3


def anything(_document: Any) -> bool:
    return True


def are_figures(document: Any, depth: int = _FIGURES_DEEP) -> bool:
    """Return whether they are a version's metrics: numbers or None by name, possibly nested."""
    if isinstance(document, dict):
        return depth > 0 and all(are_figures(each, depth - 1) for each in document.values())
    return document is None or is_number(document)


def is_curve(document: list[Any]) -> bool:
    """Return whether it is a loss curve: a list of points, each of numbers."""
    return all(
        are_figures(point, 1)
        if isinstance(point, dict)
        else isinstance(point, list) and are_numbers(point)
        for point in document
    )


def is_setting_up(document: dict[str, Any]) -> bool:
    """Return whether they are a version's settings; a scale, if any, runs from low to high."""
    scale = document.get("scale")
    if scale is None:
        return True
    return (
        isinstance(scale, list) and len(scale) == 2 and are_numbers(scale) and scale[0] < scale[1]
    )


def is_preprocessing(document: dict[str, Any]) -> bool:
    """Return whether it is an encoder's preprocessing: image side, mean and spread of colours."""
    size = document.get("size", 1)
    sides = size if isinstance(size, list) else [size]
    colours = [document[name] for name in ("mean", "std") if name in document]
    words = [document[name] for name in ("resize", "interpolation") if name in document]
    return (
        all(type(side) is int and 0 < side <= _LARGEST_SIDE for side in sides)
        and all(isinstance(each, list) and are_numbers(each) for each in colours)
        and all(isinstance(each, str) for each in words)
    )


def are_numbers(values: Iterable[Any]) -> bool:
    return all(map(is_number, values))


def is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float, bool) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False
