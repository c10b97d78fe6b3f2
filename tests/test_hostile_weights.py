"""Protects against weights and configs of a few bytes that would take hours or all the memory."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from model.checkpoints import read_checkpoint
from model.errors import ModelError
from model.foreign_files import read_published
from model.head import Head
from model.torchscript import tensors_of

_FIELDS = b"c__torch__\nM\n)\x81"
_SIZES = {"features": 8, "hidden": 4, "outputs": 1}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def script(path: Path, pickled: bytes, stored: bytes = b"") -> Path:
    """A TorchScript archive of such a `data.pkl` and one storage, "0"."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02" + pickled + b".")
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/data/0", stored)
    return path


def tensor(values: int, size: int, stride: int) -> bytes:
    """Pickled: a view of the storage "0", which has so many values."""
    storage = text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    pid = b"(" + storage + b"J" + struct.pack("<i", values) + b"tQ"
    view = b"K\0J" + struct.pack("<i", size) + b"\x85K" + bytes([stride]) + b"\x85\x89tR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + view


def test_a_state_dict_that_holds_itself_is_no_circle(tmp_path: Path) -> None:
    deep: dict[str, object] = {"w": torch.zeros(1)}
    for _ in range(10):
        deep = {"state_dict": deep}
    torch.save(deep, tmp_path / "deep.pth")
    assert read_checkpoint(tmp_path / "deep.pth").tensors == {}  # so deep nobody looks
    held: dict[str, object] = {}
    held["state_dict"] = held
    torch.save(held, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").tensors == {}


def test_fields_held_by_many_are_gone_through_once(tmp_path: Path) -> None:
    """Objects, each with twice the next one: n of them have 2^n paths."""
    made = _FIELDS + b"q\0}(" + text("w") + tensor(4, 4, 1) + b"ub"
    for number in range(1, 16):
        before = b"h" + bytes([number - 1])
        both = text("a") + before + text("b") + before
        made += b"0" + _FIELDS + b"q" + bytes([number]) + b"}(" + both + b"ub"
    assert len(tensors_of(script(tmp_path / "a.pt", made, bytes(16)))) == 1


def test_a_storage_named_often_is_held_once(tmp_path: Path) -> None:
    names = "abcdefgh"
    views = b"".join(text(name) + tensor(4, 4, 1) for name in names)
    path = script(tmp_path / "a.pt", _FIELDS + b"}(" + views + b"ub", bytes(16))
    found = tensors_of(path)
    assert list(found) == list(names)
    assert len({each.untyped_storage().data_ptr() for each in found.values()}) == 1


@pytest.mark.parametrize("kind", ["stride.pt", "stride.pth", "meta.pth"])
def test_weights_that_are_not_there_are_refused(tmp_path: Path, kind: str) -> None:
    """Values told by a stride of 0, or by nothing but a shape."""
    path = tmp_path / kind
    if kind == "stride.pt":
        script(path, _FIELDS + b"}(" + text("w") + tensor(1, 1 << 28, 0) + b"ub", bytes(4))
    elif kind == "stride.pth":
        torch.save({"w": torch.zeros(1).expand(1 << 28)}, path)
    else:
        torch.save({"w": torch.empty(8, device="meta")}, path)
    with pytest.raises(ModelError, match=r"more weights than it holds"):
        read_checkpoint(path)


def test_one_storage_under_many_names_is_no_head(tmp_path: Path) -> None:
    size = 1 << 20
    views = b"".join(text(f"w{k}") + tensor(size, size, 1) for k in range(40))
    path = script(tmp_path / "a.pt", _FIELDS + b"}(" + views + b"ub", bytes(4 * size))
    with pytest.raises(ModelError, match="far too many weights"):
        read_published(path)


@pytest.mark.parametrize("labels", [5, {"9" * 5000: "x", "1": "y"}, "ab", [["a"], None]])
def test_labels_may_be_anything(tmp_path: Path, labels: object) -> None:
    outputs = 2 if isinstance(labels, dict) else 1
    head = _beside(tmp_path, {"labels": labels}, outputs)
    assert len(read_published(head).labels) == (2 if outputs == 2 else 0)


@pytest.mark.parametrize("ours", ["x", [1], 5])
def test_what_is_said_beside_a_head_may_be_anything(tmp_path: Path, ours: object) -> None:
    assert read_published(_beside(tmp_path, {"labeler": ours})).encoder is None


def test_a_config_without_bottom_is_told(tmp_path: Path) -> None:
    head = _beside(tmp_path, {})
    (tmp_path / "a.config.json").write_text('{"x":' + "[" * 100_000)
    with pytest.raises(ModelError, match="can't be read as JSON"):
        read_published(head)


def _beside(folder: Path, more: dict[str, object], outputs: int = 1) -> Path:
    """A sound head with a config that says `more`."""
    sizes = _SIZES | {"outputs": outputs}
    config = {"arch": "score" if outputs == 1 else "class", "model_params": sizes, **more}
    (folder / "a.config.json").write_text(json.dumps(config))
    (folder / "a.safetensors").write_bytes(save(dict(Head(**sizes).state_dict())))
    return folder / "a.safetensors"
