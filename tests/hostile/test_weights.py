"""Protects against weights and configs of a few bytes that would take hours or all the memory."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from model.checkpoints.read import read_checkpoint
from model.errors import ModelError
from model.estimators.kernel_ordinal import KernelOrdinal, fit
from model.files.arrays import array_in
from model.heads.head import Head
from model.heads.head_files import load_head
from model.heads.published_files import read_published
from tests.support.odd_files import npy
from tests.support.weight_bombs import packed_arrays, saved, weight_bombs, weights

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
    assert len(read_checkpoint(script(tmp_path / "a.pt", made, bytes(16))).tensors) == 1


def test_a_storage_named_often_is_held_once(tmp_path: Path) -> None:
    names = "abcdefgh"
    views = b"".join(text(name) + tensor(4, 4, 1) for name in names)
    path = script(tmp_path / "a.pt", _FIELDS + b"}(" + views + b"ub", bytes(16))
    found = read_checkpoint(path).tensors
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
    with pytest.raises(ModelError, match="no head that is known"):
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


MOST = 100 << 20  # bytes of Python's and numpy's own while one file is read


@pytest.mark.parametrize("name", sorted(weight_bombs()))
def test_weights_that_ask_for_gigabytes_get_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(weight_bombs()[name])
    tracemalloc.start()
    try:
        with pytest.raises(
            ModelError, match=r"not opened|not a whole|tells of more|no head|get it"
        ):
            read_published(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_what_a_pickle_is_made_of_stays_what_it_is(tmp_path: Path) -> None:
    """Were a name looked up, what is put into it would be there for all files after it."""
    changed = b"ccollections\nOrderedDict\n}" + text("update") + b"Nsb"
    for pickled in (changed, b"c__torch__\nM\n}" + text("w") + b"Nsb"):
        path = tmp_path / "bad.pth"
        path.write_bytes(saved(weights(pickled)))
        with pytest.raises(ModelError, match="holds more than weights"):
            read_checkpoint(path)
        with pytest.raises(ModelError, match="holds more than weights"):
            read_checkpoint(script(tmp_path / "bad.pt", pickled))
    good = script(
        tmp_path / "a.pt", _FIELDS + b"}(" + text("w") + tensor(4, 4, 1) + b"ub", bytes(16)
    )
    other = script(tmp_path / "b.pt", _FIELDS)
    assert list(read_checkpoint(good).tensors) == ["w"]
    assert read_checkpoint(other).tensors == {}


@pytest.mark.parametrize("old", [False, True])
def test_weights_are_read_as_torch_reads_them(tmp_path: Path, old: bool) -> None:
    """Views, shared numbers, parameters, and all that a training keeps beside them."""
    base = torch.arange(24, dtype=torch.float32)
    held = {
        "a": base.view(4, 6).t(),
        "b": base[6:12],
        "half": torch.arange(5).half(),
        "bf": torch.arange(5).bfloat16(),
        "yes": torch.tensor([True, False]),
        "scalar": torch.tensor(7),
        "none": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    }
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    optimiser.param_groups[0]["params"][0].sum().backward()
    optimiser.step()
    whole = {"epoch": 3, "state_dict": held, "optimizer": optimiser.state_dict(), "x": (1, [2.5])}
    path = tmp_path / "a.pth"
    torch.save(whole, path, _use_new_zipfile_serialization=not old)
    found = read_checkpoint(path).tensors
    assert found.keys() == held.keys()
    for name, tensor in held.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach()), name


def test_a_second_opinion_unpacks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "opinion.npz"
    path.write_bytes(packed_arrays())
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="is not a second opinion"):
            KernelOrdinal.load(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", ["1099511627776,", "-1,", "True,", "4, 4"])
def test_an_array_is_as_large_as_its_bytes(shape: str) -> None:
    told = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}"
    with pytest.raises(ValueError, match=r"another size|has the shape"):
        array_in(npy(told, bytes(4)))


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_what_lies_beside_a_head_is_neither_waited_for_nor_read_without_end(
    tmp_path: Path, kind: str
) -> None:
    head = _beside(tmp_path, {})
    config = tmp_path / "a.config.json"
    config.unlink()
    if kind == "pipe":
        os.mkfifo(config)
    elif kind == "device":
        config.symlink_to("/dev/zero")
    else:
        with config.open("wb") as file:
            file.truncate(1 << 40)  # no room is taken by it
    with pytest.raises(ModelError, match="can't be read as JSON"):
        load_head(head)


@pytest.mark.parametrize("what", ["weights", "opinion"])
def test_pipes_and_links_are_no_weights(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.safetensors"
    if what == "opinion":
        rng = np.random.default_rng(1)
        fit(rng.normal(size=(20, 4)), rng.integers(0, 11, 20)).save(tmp_path / "real.npz")
        path.symlink_to(tmp_path / "real.npz")  # one of ours is never a link
        with pytest.raises(ModelError, match="is not a second opinion"):
            KernelOrdinal.load(path)
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(ModelError, match=r"can't be opened|is not a second opinion"):
        KernelOrdinal.load(path) if what == "opinion" else read_checkpoint(path)


def test_a_config_is_made_of_what_its_values_must_be(tmp_path: Path) -> None:
    odd = {"name": ["__import__('os')"], "rev": "v1\n\x1b[2J" + "x" * 500, "labels": {"0": [1]}}
    loaded = load_head(_beside(tmp_path, odd))
    assert loaded.config["name"] == ""
    assert loaded.config["rev"].startswith("v1") and len(loaded.config["rev"]) == 200
    assert loaded.config["rev"].isprintable()
    assert loaded.config["model_params"] == _SIZES
    for value in (1e3, "8", [8], 8.0, 1 << 70, None, True):
        sizes = _SIZES | {"features": value}
        with pytest.raises(ModelError, match="needs whole numbers"):
            load_head(_beside(tmp_path, {"model_params": sizes}))


def test_numbers_without_end_are_no_head(tmp_path: Path) -> None:
    """A file with a hole in it takes no room, and what it says it has would take all memory."""
    path = tmp_path / "a.safetensors"
    size = 1 << 36
    told = {
        "weight": {"dtype": "F32", "shape": [1, 768], "data_offsets": [0, 3072]},
        "bias": {"dtype": "F32", "shape": [1], "data_offsets": [3072, 3076]},
        "tower": {"dtype": "U8", "shape": [size], "data_offsets": [3076, 3076 + size]},
    }
    header = json.dumps({f"predictor.{name}": each for name, each in told.items()}).encode()
    header = header.replace(b"predictor.tower", b"tower")
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 3076 + size)
    with pytest.raises(ModelError, match="holes"):
        read_published(path)
