"""Arrays of numbers as numpy saves them, read only after what they say of themselves is checked.

numpy allocates what a header asks for and unpacks what an archive holds, however much that is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model.files.bounded import open_plain
from model.files.zip_members import BadZip, read_member, read_members

_MOST_ARRAYS = 1000
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_array_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is stored by columns, and number format; `file` then stands at the numbers.

    Raises `ValueError`, also for Python objects and negative sizes.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"version {version} of the format")
        shape, by_columns, number_format = _READERS[version](file)
    except OSError:
        raise
    except Exception as error:  # numpy reads a header as Python's own text, with all its errors
        raise ValueError(str(error)) from error
    if number_format.hasobject:
        raise ValueError("it holds Python objects, which are never opened")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"it has the shape {shape}")
    return shape, by_columns, number_format


def array_in(data: bytes) -> NDArray[Any]:
    """The array that a .npy file of these bytes holds; raises `ValueError`."""
    file = io.BytesIO(data)
    shape, by_columns, number_format = read_array_header(file)
    count = math.prod(shape)
    rest = memoryview(data)[file.tell() :]
    if number_format.itemsize == 0 or count * number_format.itemsize != len(rest):
        raise ValueError("it has another size than its header says")
    flat = np.frombuffer(rest, number_format)
    return flat.reshape(shape, order="F" if by_columns else "C").copy()


def read_arrays(path: Path, names: Iterable[str], limit: int) -> dict[str, NDArray[Any]]:
    """Arrays of one of our own .npz files, which packs nothing and is no link.

    Together they take at most `limit` bytes. Raises `OSError`, `KeyError` for an array that is not
    there, `ValueError`.
    """
    with open_plain(path, follow=False) as file:
        descriptor = file.fileno()
        members = {each.name: each for each in read_members(descriptor, _MOST_ARRAYS)}
        wanted = {name: members[f"{name}.npy"] for name in names}
        if sum(each.size for each in wanted.values()) > limit:
            raise BadZip(f"its arrays take more than {limit:,} bytes")
        if any(each.size != each.packed for each in wanted.values()):
            raise BadZip("its arrays are packed")
        return {name: array_in(read_member(descriptor, each)) for name, each in wanted.items()}
