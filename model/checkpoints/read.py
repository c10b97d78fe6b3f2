"""Read a checkpoint's tensors without running anything that is in the file.

Three kinds of file are read: safetensors, what torch saves (a zip archive or, from before 2020, a
row of pickles) and TorchScript archives. Of each, the description of its tensors is read first and
checked against the file's length; only then, and only on request, are numbers read.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.checkpoints.weights_pickle import (
    Damaged,
    Fields,
    NotWeights,
    Storage,
    StoredTensor,
    read_pickle,
)
from model.errors import ModelError
from model.files.bounded import open_plain
from model.files.bounded_json import parse_json
from model.files.zip_members import BadZip, Member, data_offset, is_zip, read_member, read_members

# What only OpenAI's own archives keep beside the weights.
OPENAI_MARKS = {"input_resolution", "context_length", "vocab_size"}

SAFETENSORS = "safetensors"
_MAX_COMPRESSED = 64 << 20  # bytes: torch packs no weights, only what little text is beside them
_MAX_MEMBERS = 100_000
_MAX_HEADER = 16 << 20  # bytes, of safetensors
_MAX_PICKLE = 64 << 20
_MAX_NESTING = 4  # state dicts within another
_MAX_MODULE_DEPTH = 100  # modules within another
_MARK, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # how torch began its files until 2020
_SAFE_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Checkpoint:
    """A state dict, whether the file itself shows OpenAI's weights, and if it is TorchScript."""

    tensors: dict[str, torch.Tensor]
    from_openai: bool
    archive: bool


class StoredWeights:
    """The tensors of an open checkpoint, `described` by name; each is read on request."""

    def __init__(
        self,
        path: Path,
        descriptor: int,
        described: Mapping[str, StoredTensor],
        locations: _StorageLocations,
    ) -> None:
        self._path, self._descriptor = path, descriptor
        self.described = {name: each for name, each in described.items() if each.storage}
        self._locations = locations
        self._loaded: dict[str, bytearray] = {}
        for each in described.values():
            if not self._is_complete(each):
                raise ModelError(f"{path} tells of more weights than it holds; get it again.")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor by name."""
        return {name: each.shape for name, each in self.described.items()}

    def tensor(self, name: str) -> torch.Tensor:
        """Read one tensor; tensors that share a storage in the file share it here.

        Raises `ModelError`, `OSError`.
        """
        described = self.described[name]
        storage = described.storage
        assert storage is not None
        if not described.numel:
            return torch.empty(described.shape, dtype=described.dtype)
        if storage.key not in self._loaded:
            try:
                self._loaded[storage.key] = self._locations.read(self._descriptor, storage.key)
            except BadZip as error:
                raise _incomplete(self._path) from error
            except MemoryError as error:
                raise ModelError(
                    f"{self._path} needs more memory than there is; close other programs, or name "
                    "a smaller checkpoint."
                ) from error
        data = self._loaded[storage.key]
        count = len(data) // described.dtype.itemsize
        flat = torch.frombuffer(data, dtype=described.dtype, count=count)
        return flat.as_strided(described.shape, described.stride, described.offset)

    def _is_complete(self, described: StoredTensor) -> bool:
        """Return whether the file has all its values, with no stride repeating them."""
        if described.storage is None:
            return False
        size = self._locations.size(described.storage.key)
        stored = described.storage.count * described.storage.dtype.itemsize
        if described.numel == 0:
            return True
        last = described.offset + sum(
            (n - 1) * step for n, step in zip(described.shape, described.stride, strict=True)
        )
        return (
            size is not None
            and stored <= size
            and (last + 1) * described.dtype.itemsize <= stored
            and described.numel * described.dtype.itemsize <= stored
        )


class _StorageLocations:
    """Where each storage lies in the file: (offset, bytes), or compressed in an archive."""

    def __init__(self, plain: Mapping[str, tuple[int, int]], packed: Mapping[str, Member]) -> None:
        self._plain, self._packed = plain, packed

    def size(self, key: str) -> int | None:
        if key in self._plain:
            return self._plain[key][1]
        return self._packed[key].size if key in self._packed else None

    def read(self, descriptor: int, key: str) -> bytearray:
        if key in self._packed:
            return bytearray(read_member(descriptor, self._packed[key]))
        offset, size = self._plain[key]
        data, done = bytearray(size), 0
        with memoryview(data) as view:
            while done < size:
                read = os.preadv(descriptor, [view[done : done + (1 << 30)]], offset + done)
                if not read:
                    raise BadZip("It has become shorter while it was read.")
                done += read
        return data


@contextmanager
def open_weights(path: Path, only: str | None = None) -> Iterator[StoredWeights]:
    """Open a checkpoint of any of the three kinds (or SAFETENSORS `only`) and validate it.

    Raises `ModelError` when the file is missing, cut short, not a checkpoint, or holds objects
    that only code could rebuild.
    """
    with _opened(path, only) as (weights, _):
        yield weights


@contextmanager
def _opened(path: Path, only: str | None = None) -> Iterator[tuple[StoredWeights, bool]]:
    """Yield the weights, and whether the file is a TorchScript archive."""
    if path.is_dir():
        raise ModelError(
            f"{path} is a folder; name the checkpoint in it: open_clip:MODEL/{path}/FILE"
        )
    try:
        file = open_plain(path)
    except FileNotFoundError:
        raise ModelError(
            f"The checkpoint {path} is not there; put it back, or use --encoder lite."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} can't be opened ({error.strerror}); check the file.") from error
    with file:
        descriptor = file.fileno()
        try:
            described, locations, is_script = _described(descriptor, only)
        except NotWeights as error:
            raise ModelError(
                f"{path} holds more than weights and was not opened, since that could run code; "
                "save its state dict as .safetensors and name that file."
            ) from error
        except (Damaged, BadZip, OSError) as error:
            if only:
                raise ModelError(
                    f"{path} can't be read as {only} ({error}); get the file again."
                ) from error
            raise _incomplete(path) from error
        yield StoredWeights(path, descriptor, described, locations), is_script


def _incomplete(path: Path) -> ModelError:
    return ModelError(
        f"{path} is not a whole checkpoint (cut short, or another kind of file); "
        "get it again and compare its size."
    )


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the tensors of a .safetensors file, a saved state dict or a TorchScript archive.

    Raises `ModelError` as `open_weights` does.
    """
    with _opened(path) as (weights, is_script):
        try:
            tensors = {name: weights.tensor(name) for name in weights.described}
        except OSError as error:
            raise _incomplete(path) from error
    has_marks = tensors.keys() >= OPENAI_MARKS
    weights_only = {name: tensor for name, tensor in tensors.items() if name not in OPENAI_MARKS}
    return Checkpoint(weights_only, has_marks or is_script, is_script)


def content_digest(path: Path) -> str:
    """Return the first 16 hex digits of the file's SHA-256."""
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


_Described = tuple[dict[str, StoredTensor], _StorageLocations, bool]


def _described(descriptor: int, only: str | None) -> _Described:
    """Return descriptions of the tensors, where their storages lie, and if it is TorchScript."""
    size = os.fstat(descriptor).st_size
    start = os.pread(descriptor, 9, 0)
    # By content, since files in a download cache have no suffix: a length, then a JSON header.
    length = int.from_bytes(start[:8], "little")
    if start[8:] == b"{" and length <= size:
        return _safetensors(descriptor, length, size)
    if only == SAFETENSORS:
        raise Damaged("it begins with no header of that format, or breaks off")
    if is_zip(descriptor):
        return _archive(descriptor)
    return _legacy_file(descriptor, size)


def _safetensors(descriptor: int, length: int, size: int) -> _Described:
    if length > min(_MAX_HEADER, size - 8):
        raise Damaged("its header is too long")
    try:
        header = parse_json(os.pread(descriptor, length, 8))
        header.pop("__metadata__", None)
        ends = sorted(tuple(each["data_offsets"]) for each in header.values())
        bounds = [end for pair in ends for end in pair]
        # Each tensor has bytes of its own, and all bytes are some tensor's.
        if bounds != sorted(bounds) or bounds[1:-1:2] != bounds[2::2]:
            raise Damaged("its tensors share their bytes")
        if bounds and (bounds[0] != 0 or bounds[-1] != size - 8 - length):
            raise Damaged("it has another length than its header says")
        described = {name: _tensor_of_header(name, entry) for name, entry in header.items()}
        plain = {
            name: (8 + length + int(entry["data_offsets"][0]), _length(entry["data_offsets"]))
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged("its header is not one of safetensors") from error
    return described, _StorageLocations(plain, {}), False


def _length(offsets: Any) -> int:
    begin, end = offsets
    if type(begin) is not int or type(end) is not int or begin < 0:
        raise ValueError(f"{offsets} are no offsets")
    return end - begin


def _tensor_of_header(name: str, entry: Mapping[str, Any]) -> StoredTensor:
    dtype, shape = _SAFE_DTYPES[entry["dtype"]], tuple(entry["shape"])
    if len(shape) > 16 or not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise ValueError(f"{name} has an odd shape")
    count = math.prod(shape)
    if count * dtype.itemsize != _length(entry["data_offsets"]):
        raise ValueError(f"{name} has another size than its shape")
    strides = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
    return StoredTensor(Storage(name, dtype, count), dtype, 0, shape, tuple(strides))


def _archive(descriptor: int) -> _Described:
    members = read_members(descriptor, _MAX_MEMBERS)
    compressed = sum(member.size for member in members if member.size != member.packed)
    pickled = next((member for member in members if member.name.endswith("/data.pkl")), None)
    if compressed > _MAX_COMPRESSED or pickled is None or pickled.size > _MAX_PICKLE:
        raise BadZip("its parts are packed, or not those of weights")
    folder = pickled.name.removesuffix("data.pkl")
    is_script = any(member.name == f"{folder}constants.pkl" for member in members)
    order = next((member for member in members if member.name == f"{folder}byteorder"), None)
    if order is not None and read_member(descriptor, order, 16) != b"little":
        raise Damaged("its numbers are stored in an order that no processor has any more")
    root, _ = read_pickle(read_member(descriptor, pickled))
    inside = f"{folder}data/"
    storages = {
        member.name.removeprefix(inside): member
        for member in members
        if member.name.startswith(inside)
    }
    plain = {
        key: (data_offset(descriptor, member), member.size)
        for key, member in storages.items()
        if member.size == member.packed and member.method == 0
    }
    locations = _StorageLocations(
        plain, {key: member for key, member in storages.items() if key not in plain}
    )
    return (_script_tensors(root) if is_script else _state_dict(root)), locations, is_script


def _legacy_file(descriptor: int, size: int) -> _Described:
    """Read what torch saved until 2020.

    That is its mark, its protocol, the kind of machine, the tensors, the keys of their storages,
    and then these, each after the count of its numbers.
    """
    data = os.pread(descriptor, min(size, _MAX_PICKLE), 0)
    mark, at = read_pickle(data)
    if mark != _MARK:
        raise Damaged("it is no file of torch")
    protocol, at = read_pickle(data, at)
    machine, at = read_pickle(data, at)
    if protocol != _PROTOCOL or not isinstance(machine, dict) or not machine.get("little_endian"):
        raise Damaged("it is of a machine whose numbers can't be read here")
    root, at = read_pickle(data, at)
    keys, at = read_pickle(data, at)
    described = _state_dict(root)
    dtypes = {each.storage.key: each.storage.dtype for each in _tensors_in(root) if each.storage}
    if type(keys) is not list or not all(key in dtypes for key in keys):
        raise Damaged("it names storages that no tensor has")
    plain: dict[str, tuple[int, int]] = {}
    for key in keys:
        head = os.pread(descriptor, 8, at)
        if len(head) < 8:
            raise Damaged("it breaks off")
        (count,) = struct.unpack("<q", head)
        length = count * dtypes[key].itemsize
        if count < 0 or at + 8 + length > size:
            raise Damaged("it breaks off")
        plain[key] = (at + 8, length)
        at += 8 + length
    return described, _StorageLocations(plain, {}), False


def _state_dict(root: Any) -> dict[str, StoredTensor]:
    """Return the tensors by name, without the names of a training or data-parallel wrapper."""
    for _ in range(_MAX_NESTING):  # one may hold itself
        if isinstance(root, dict) and isinstance(root.get("state_dict"), dict):
            root = root["state_dict"]
    if not isinstance(root, dict):
        return {}
    tensors = {str(name): value for name, value in root.items() if isinstance(value, StoredTensor)}
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _script_tensors(root: Any) -> dict[str, StoredTensor]:
    """Return every tensor of a tree of modules by dotted path, as `state_dict()` names it.

    A module is gone through once, however many hold it.
    """
    tensors: dict[str, StoredTensor] = {}
    seen: set[int] = set()
    pending: list[tuple[tuple[str, ...], Any]] = [((), root)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, StoredTensor):
            tensors[".".join(path)] = value
        elif isinstance(value, Fields) and id(value) not in seen and len(path) < _MAX_MODULE_DEPTH:
            seen.add(id(value))
            pending += reversed([((*path, name), each) for name, each in value.fields.items()])
    return tensors


def _tensors_in(root: Any) -> Iterator[StoredTensor]:
    """Yield every tensor in plain containers, each container visited once."""
    seen: set[int] = set()
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, StoredTensor):
            yield value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            pending += value.values() if isinstance(value, dict) else value
