"""The tensors of a TorchScript archive, read without torch.jit, so that none of its code runs.

OpenAI's published CLIP files are such archives. One is a zip: `data.pkl` pickles the module tree,
`data/N` hold the tensors' bytes, `code/` the program, which is never opened here. The unpickler
below knows tensors and plain containers only and takes every scripted class for a bag of fields.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
TYPED_LISTS = {"build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"}


class Fields:
    """Stands for an instance of any scripted class; pickle fills its `__dict__`."""


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor in the archive under its dotted path, as `state_dict()` names it.

    Raises `pickle.UnpicklingError` when the archive asks for anything but tensors and containers.
    """
    with zipfile.ZipFile(path) as archive:
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(pickled) as file:
            root = _Reader(file, archive, pickled.removesuffix(".pkl")).load()
    found: dict[str, torch.Tensor] = {}
    _collect(root, "", found, set())
    return found


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive, self._folder = archive, folder
        self._stored: dict[str, bytearray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".", maxsplit=1)[0] == "__torch__":
            return Fields
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if module == "torch.jit._pickle" and name in TYPED_LISTS:
            return list
        raise pickle.UnpicklingError(f"{module}.{name} is not a tensor")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """('storage', dtype, key, device, count) → the stored numbers, flat; read only once."""
        _, dtype, key, _, count = pid
        name = f"{self._folder}/{key}"
        if name not in self._stored:
            self._stored[name] = bytearray(self._archive.read(name))
        stored = self._stored[name]
        return torch.frombuffer(stored, dtype=dtype, count=count) if count else torch.empty(0)


def _tensor(storage: torch.Tensor, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)


def _collect(value: Any, path: str, found: dict[str, torch.Tensor], seen: set[int]) -> None:
    """`seen` are the ids of the fields gone through: none again, however many hold it."""
    if torch.is_tensor(value):
        found[path] = value
    elif isinstance(value, Fields) and id(value) not in seen:
        seen.add(id(value))
        for name, field in vars(value).items():
            _collect(field, f"{path}.{name}" if path else name, found, seen)
