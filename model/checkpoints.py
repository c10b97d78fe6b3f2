"""Reading a checkpoint's tensors without running anything that is in the file."""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.errors import ModelError
from model.torchscript import tensors_of

# What only OpenAI's own archives keep beside the weights.
OPENAI_MARKS = {"input_resolution", "context_length", "vocab_size"}

_MOST_PACKED = 64 << 20  # bytes
_DEEPEST = 4  # state dicts within another


@dataclass(frozen=True)
class Checkpoint:
    """A state dict, and whether the file shows by itself that the weights are OpenAI's."""

    tensors: dict[str, torch.Tensor]
    from_openai: bool
    archive: bool


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors in a .safetensors file, a saved state dict or a TorchScript archive.

    Raises `ModelError` when the file is missing, cut short, not a checkpoint, or holds objects
    that only code could rebuild.
    """
    if not path.is_file():
        raise ModelError(
            f"{path} is a folder; name the checkpoint in it: open_clip:MODEL/{path}/FILE"
            if path.is_dir()
            else f"The checkpoint {path} is not there; put it back, or use --encoder lite."
        )
    try:
        _check_packing(path)
        archive = _is_torchscript(path)
        held = tensors_of(path) if archive else _load(path)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds more than weights and was not opened, since that could run code; "
            "save its state dict as .safetensors and name that file."
        ) from error
    except Exception as error:  # the readers raise whatever the bytes led them to
        raise ModelError(
            f"{path} is not a whole checkpoint (cut short, or another kind of file); "
            "get it again and compare its size."
        ) from error
    tensors = _state_dict(held)
    if not all(map(_is_there, tensors.values())):
        raise ModelError(f"{path} tells of more weights than it holds; get it again.")
    marked = tensors.keys() >= OPENAI_MARKS
    weights = {name: tensor for name, tensor in tensors.items() if name not in OPENAI_MARKS}
    return Checkpoint(weights, marked or archive, archive)


def content_digest(path: Path) -> str:
    """The first 16 hex digits of the file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _check_packing(path: Path) -> None:
    """Raise `ValueError` for an archive that unpacks to far more than it takes: torch packs no
    weights, only what little text it keeps beside them.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(each.file_size for each in archive.infolist())
        if unpacked > path.stat().st_size + _MOST_PACKED:
            raise ValueError("its parts are packed")


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _load(path: Path) -> Any:
    if _is_safetensors(path):
        from safetensors.torch import load_file

        return load_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickles that it then refuses
        return torch.load(path, map_location="cpu", weights_only=True)


def _is_safetensors(path: Path) -> bool:
    """By content, since files in a download cache have no suffix: a length, then a JSON header."""
    with path.open("rb") as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and length <= path.stat().st_size


def _state_dict(held: Any) -> dict[str, torch.Tensor]:
    """The tensors by name, out of a training checkpoint and off a data-parallel wrapper."""
    for _ in range(_DEEPEST):  # one may hold itself
        if isinstance(held, dict) and isinstance(held.get("state_dict"), dict):
            held = held["state_dict"]
    if not isinstance(held, dict):
        return {}
    tensors = {str(name): value for name, value in held.items() if torch.is_tensor(value)}
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _is_there(tensor: torch.Tensor) -> bool:
    """Whether it has all its values in memory, none of them told again and again by a stride."""
    if tensor.layout != torch.strided:
        return True  # as no weights are that anybody takes
    stored = tensor.untyped_storage().nbytes()
    return tensor.device.type == "cpu" and tensor.numel() * tensor.itemsize <= stored
