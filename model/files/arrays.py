"""Arrays of numbers as numpy saves them, read only after their headers are validated.

`np.load` would not do: it allocates what a header asks for before it looks at the file's length,
inflates a packed member of an .npz without a bound, and waits for a pipe.
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

_MAX_ARRAYS = 1000
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_array_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether it is stored by columns, and dtype; `file` then stands at the numbers.

    Raises `ValueError`, also for Python objects and negative sizes.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"version {version} of the format")
        shape, by_columns, dtype = _READERS[version](file)
    except OSError:
        raise
    except Exception as error:  # numpy reads a header as Python's own text, with all its errors
        raise ValueError(str(error)) from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never opened")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"it has the shape {shape}")
    return shape, by_columns, dtype


def array_in(data: bytes) -> NDArray[Any]:
    """Return the array of the bytes of a .npy file; raises `ValueError`."""
    file = io.BytesIO(data)
    shape, by_columns, dtype = read_array_header(file)
    count = math.prod(shape)
    rest = memoryview(data)[file.tell() :]
    if dtype.itemsize == 0 or count * dtype.itemsize != len(rest):
        raise ValueError("it has another size than its header says")
    flat = np.frombuffer(rest, dtype)
    return flat.reshape(shape, order="F" if by_columns else "C").copy()


def read_arrays(path: Path, names: Iterable[str], limit: int) -> dict[str, NDArray[Any]]:
    """Read arrays of one of our own .npz files, which compresses nothing and is no link.

    Together they take at most `limit` bytes. Raises `OSError`, `KeyError` for an array that is not
    there, `ValueError`.
    """
    with open_plain(path, follow=False) as file:
        descriptor = file.fileno()
        members = {member.name: member for member in read_members(descriptor, _MAX_ARRAYS)}
        requested = {name: members[f"{name}.npy"] for name in names}
        if sum(member.size for member in requested.values()) > limit:
            raise BadZip(f"its arrays take more than {limit:,} bytes")
        if any(member.size != member.packed for member in requested.values()):
            raise BadZip("its arrays are packed")
        return {
            name: array_in(read_member(descriptor, member)) for name, member in requested.items()
        }
