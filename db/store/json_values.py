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
    """Of a version: numbers or nothing, by their names, some within others."""
    if isinstance(document, dict):
        return depth > 0 and all(are_figures(each, depth - 1) for each in document.values())
    return document is None or is_number(document)


def is_curve(document: list[Any]) -> bool:
    """Points, each of numbers."""
    return all(
        are_figures(point, 1)
        if isinstance(point, dict)
        else isinstance(point, list) and are_numbers(point)
        for point in document
    )


def is_setting_up(document: dict[str, Any]) -> bool:
    """Of a version: its own scale, where it has one, runs from a number to a higher one."""
    scale = document.get("scale")
    if scale is None:
        return True
    return (
        isinstance(scale, list) and len(scale) == 2 and are_numbers(scale) and scale[0] < scale[1]
    )


def is_preprocessing(document: dict[str, Any]) -> bool:
    """Of an encoder: the side of its pictures, and the mean and spread of their colours."""
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
