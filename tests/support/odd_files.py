"""Tables, arrays, heads and archives that lie, are broken, or would run code if they were let."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow
import torch
from pyarrow import parquet
from safetensors.torch import save

from tests.support.mutations import saved


class Runs:
    """What a pickle of it would do when opened: leave a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (self.canary, "w")


def code_in_weights(canary: Path) -> dict[str, bytes]:
    """Weights that would run code when opened as their formats were opened once."""
    runs = Runs(canary)
    plain, packed, torchscript, array, arrays = (io.BytesIO() for _ in range(5))
    torch.save(
        {"up.0.weight": torch.zeros(2), "x": runs}, plain, _use_new_zipfile_serialization=False
    )
    torch.save({"up.0.weight": torch.zeros(2), "x": runs}, packed)
    with zipfile.ZipFile(torchscript, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(runs))
        archive.writestr("m/constants.pkl", pickle.dumps(runs))
        archive.writestr("m/version", "3")
        archive.writestr("m/code/__torch__.py", f"open({str(canary)!r}, 'w')")
    np.save(array, np.array([runs, runs], dtype=object), allow_pickle=True)
    np.savez(arrays, a=np.array([runs], dtype=object))
    return {
        "legacy.pth": plain.getvalue(),
        "packed.pth": packed.getvalue(),
        "bare.pth": pickle.dumps(runs),
        "old.pth": _old_torch(runs),
        "script.pt": torchscript.getvalue(),
        "objects.npy": array.getvalue(),
        "objects.npz": arrays.getvalue(),
        "named.safetensors": pickle.dumps(runs),
    }


def _old_torch(runs: Runs) -> bytes:
    """The tar that torch saved in before 2017."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name in ("pickle", "storages", "tensors", "sys_info"):
            member, data = tarfile.TarInfo(name), pickle.dumps(runs)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return held.getvalue()


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    told = header.encode("latin1") + b"\n"
    length = struct.pack("<H" if version[:1] == b"\x01" else "<I", len(told))
    return b"\x93NUMPY" + version + length + told + data


@cache
def odd_arrays() -> dict[str, bytes]:
    plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
    return {
        "petabytes.npy": npy(plain % "1000000000000, 768", bytes(64)),
        "wide.npy": npy(plain % "1, 1000000000000", bytes(64)),
        "negative.npy": npy(plain % "-5, 768", bytes(64)),
        "minus.npy": npy(plain % "5, -768", bytes(64)),
        "overflow.npy": npy(plain % f"{2**63}, {2**63}", bytes(64)),
        "zero.npy": npy(plain % "1000000000000, 0", bytes(64)),
        "deep.npy": npy(plain % ("(" * 3000 + ")" * 3000), bytes(64)),
        "long.npy": npy(plain % ("1," * 20_000), bytes(64)),
        "code.npy": npy("__import__('os').system('true')", bytes(64)),
        "record.npy": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }"),
        "subarray.npy": npy(
            "{'descr': ('<f4', (1000000, 1000000)), 'fortran_order': False, 'shape': (4,), }"
        ),
        "bools.npy": npy("{'descr': '<f4', 'fortran_order': 7, 'shape': (True, 768), }", bytes(64)),
        "length.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{" + bytes(64),
        "third.npy": npy(plain % "4, 4", bytes(64), b"\x03\x00"),
        "empty.npy": b"",
        "magic.npy": b"\x93NUMPY",
    }


@cache
def odd_weights() -> dict[str, bytes]:
    def tensors(header: object, length: int | None = None) -> bytes:
        told = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(told) if length is None else length) + told + bytes(64)

    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    deep = b'{"a":' + b"[" * 100_000
    return {
        "petabytes.safetensors": tensors(
            {"a": one | {"shape": [1 << 50], "data_offsets": [0, 1 << 52]}}
        ),
        "length.safetensors": tensors(b"{", 1 << 60),
        "deep.safetensors": tensors(deep),
        "overlap.safetensors": tensors({"a": one, "b": one}),
        "negative.safetensors": tensors({"a": one | {"data_offsets": [-8, 0]}}),
        "overflow.safetensors": tensors({"a": one | {"shape": [1 << 40, 1 << 40]}}),
        "nothing.safetensors": tensors({}),
        "metadata.safetensors": tensors({"__metadata__": {"labeler": "x"}, "up.0.weight": one}),
        "cut.pth": _whole_weights()[:-200],
        "flipped.pth": _whole_weights()[:90] + b"\xff" * 40 + _whole_weights()[130:],
        "zip.pth": _zip_bomb(),
    }  # fmt: skip


def _whole_weights() -> bytes:
    held = io.BytesIO()
    torch.save({"up.0.weight": torch.zeros(64, 8)}, held)
    return held.getvalue()


def _zip_bomb() -> bytes:
    """A TorchScript archive whose one tensor unpacks to 200 megabytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/data.pkl", _TENSOR)
        with archive.open("m/data/0", "w", force_zip64=True) as file:
            for _ in range(200):
                file.write(bytes(1 << 20))
    return held.getvalue()


# torch._utils._rebuild_tensor_v2(('storage', torch.FloatStorage, '0', 'cpu', 50000000), 0, ...)
_TENSOR = (
    b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(("
    b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    b"J\x80\xf0\xfa\x02tQK\x00(J\x80\xf0\xfa\x02t(K\x01t\x89}tRs."
)


def odd_tables(folder: Path) -> dict[str, bytes]:
    """Tables of scores and tags; `folder` is for what only a file can be made in."""
    line = b"path,score\n"
    return {
        "nul.csv": line + b"a\0b.jpg,5\n\0\0\0,\0\n",
        "quote.csv": line + b'"' + b"x" * 200_000,
        "binary.csv": bytes(range(256)) * 40,
        "utf16.csv": "path,score\na,5\n".encode("utf-16"),
        "columns.csv": b"c," * 50_000 + b"path,score\n" + b"," * 50_000,
        "numbers.csv": line + b"a.jpg,1e999\nb.jpg,-1\nc.jpg,0x10\nd.jpg," + b"9" * 5000 + b"\n",
        "formula.csv": line + b"=cmd|' /C calc'!A0,5\n",
        "empty.csv": b"",
        "deep.json": b"[" * 100_000,
        "nested.json": b'[{"data":' + b'{"a":' * 100_000,
        "numbers.json": b'[{"data":{"image":"a.jpg"},"annotations":[{"result":[{"type":"number",'
        b'"value":{"number":1' + b"0" * 5000 + b"}}]}]}]",
        "kinds.json": b'[1,null,"a",[],{"data":[]},{"data":{"image":5}},{"data":{"image":"a"},'
        b'"annotations":{"a":1}},{"data":{"image":"//[x"},"annotations":[{"result":[{"type":'
        b'"number","value":{"number":[]}}],"created_at":[5],"completed_by":[]}]}]',
        "address.json": b'[{"data":{"image":"http://[::1"},"annotations":[]}]',
        "string.json": b'["' + b"x" * 3_000_000,
        "deep.jsonl": b'{"path":"a.jpg","score":' + b"[" * 100_000 + b"\n",
        "surrogate.jsonl": b'{"path":"\\ud800.jpg","score":5}\n{"path":"\\u0000","score":5}\n',
        "kinds.jsonl": b'{"path":["a"],"score":{"a":1}}\n{"path":{},"score":[]}\n5\n"a"\nnull\n'
        b'{"path":"a.jpg","score":1' + b"0" * 6000 + b"}\n",
        "nan.jsonl": b'{"path":"a.jpg","score":NaN}\n{"path":"b.jpg","score":Infinity}\n',
        "history.csv": b"event,scorer,score,at,undone_at,path\n,,5,9999999-01-01,,a.jpg\n"
        b"e,x,5,2026-01-01T00:00:00+99:99,,a.jpg\ne,x,5,0001-01-01T00:00:00+23:59,zz,a.jpg\n",
        "history.jsonl": b'{"path":"a.jpg","history":[{"event":[],"scorer":{},"score":[],"at":[],'
        b'"undone_at":{},"shown_prediction":"x"}]}\n{"path":"a.jpg","history":7}\n',
        "flipped.parquet": _table(folder)[:-30] + b"\xff" * 22 + _table(folder)[-8:],
        "cut.parquet": _table(folder)[:-20],
        "footer.parquet": b"PAR1" + bytes(40) + struct.pack("<I", 0x7FFFFFFF) + b"PAR1",
    }  # fmt: skip


def _table(folder: Path, **columns: object) -> bytes:
    file = folder / "made.parquet"
    held = columns or {"path": ["a.jpg"] * 50, "score": [5.0] * 50}
    parquet.write_table(pyarrow.table(held), file)
    data = file.read_bytes()
    file.unlink()
    return data


def whole_tables(folder: Path) -> dict[str, bytes]:
    """A small sound file of each kind that isn't a picture."""
    history = b"event,scorer,score,at,undone_at,path\ne1,ada,5,2026-01-01T00:00:00,,a.jpg\n"
    task = {
        "data": {"image": "/data/local-files/?d=a.jpg"},
        "annotations": [
            {"completed_by": 1, "result": [{"type": "number", "value": {"number": 7}}]}
        ],
    }
    nested = [{"event": "e", "scorer": "a", "score": 5.0, "at": "2026-01-01", "undone_at": None}]
    vectors = pyarrow.array(np.ones((20, 8), np.float32).tolist(), pyarrow.list_(pyarrow.float32()))
    array = io.BytesIO()
    np.save(array, np.ones((20, 8), np.float16))
    return {
        "scores.csv": b"path,score\na.jpg,5\nb.jpg,7.5\n" * 5,
        "tags.csv": b"path;tags\na.jpg;one, two\n" * 5,
        "history.csv": history,
        "scores.jsonl": b'{"path": "a.jpg", "score": 5}\n' * 5,
        "history.jsonl": json.dumps({"path": "a.jpg", "history": nested}).encode(),
        "tasks.json": json.dumps([task] * 3).encode(),
        "scores.parquet": _table(folder),
        "pictures.parquet": _table(
            folder, key=["1", "2"], jpg=[saved("JPEG")] * 2, caption=["a", "b"]
        ),
        "vectors.parquet": _table(folder, embedding=vectors, path=[f"{k}.jpg" for k in range(20)]),
        "vectors.npy": array.getvalue(),
        "weights.pth": _whole_weights(),
        "weights.safetensors": save({"weight": torch.ones(1, 768), "bias": torch.ones(1)}),
        "names.tar": odd_archives()["names.tar"],
    }


def wide_tables(folder: Path) -> dict[str, bytes]:
    """Parquet that unpacks to gigabytes: one text, or one vector, over and over."""
    text = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(np.zeros(400_000, np.int32)), pyarrow.array(["x" * 100_000])
    )
    numbers = pyarrow.array(np.zeros(1 << 24, np.float32))
    long = pyarrow.ListArray.from_arrays(pyarrow.array([0, 1 << 24], pyarrow.int32()), numbers)
    rows = pyarrow.FixedSizeListArray.from_arrays(numbers, 64)
    return {
        "texts.parquet": _table(folder, path=text, score=pyarrow.array(np.zeros(400_000))),
        "pictures.parquet": _table(
            folder, key=text, jpg=pyarrow.array([saved("JPEG")] * 400_000, pyarrow.binary())
        ),
        "long.parquet": _table(folder, embedding=long, path=pyarrow.array(["a"])),
        "vectors.parquet": _table(folder, embedding=rows, path=text.slice(0, len(rows))),
    }


@cache
def odd_archives() -> dict[str, bytes]:
    """Archives whose members lead out of them, are none, or say too much."""
    held = io.BytesIO()
    names = [
        "../out.png", "/etc/out.png", "a/../../out.png", "c:\\out.png", "..\\out.png", "a\nb.png",
        "a//b.png", "./../out.png", "x" * 3000 + ".png", "fine.png", "._fine.png", "-rf.png",
    ]  # fmt: skip
    picture = saved("PNG")
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(picture)
            archive.addfile(member, io.BytesIO(picture))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE):
            for target in ("/etc/passwd", "../../out.png"):
                link = tarfile.TarInfo(f"link{kind.decode()}{len(target)}.png")
                link.type, link.linkname = kind, target
                archive.addfile(link)
        pipe = tarfile.TarInfo("pipe.png")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
    whole = held.getvalue()
    return {
        "names.tar": whole,
        "negative.tar": _resized(whole, b"\x80" + b"\xff" * 11),
        "minus.tar": _resized(whole, b"-0000000001\0"),
        "petabytes.tar": _resized(whole, b"\x80\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff"),
        "pax.tar": _pax(b"GNU.sparse.size=99999999999999\n"),
        "size.tar": _pax(b"size=-5\n"),
        "huge.tar": _pax(b"size=99999999999999999999\n"),
        "long.tar": _pax(b"path=" + b"a/" * 500_000 + b"\n"),
        "cut.tar": whole[:3000],
        "sparse.tar": _kind(whole, b"S"),
        "links.tar": _kind(whole, b"2"),
    }


def _resized(data: bytes, size: bytes) -> bytes:
    head = bytearray(data[:512])
    head[124:136] = size
    return _summed(head) + data[512:]


def _kind(data: bytes, kind: bytes) -> bytes:
    head = bytearray(data[:512])
    head[156:157] = kind
    return _summed(head) + data[512:]


def _summed(head: bytearray) -> bytes:
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def _pax(record: bytes) -> bytes:
    told = b"%d " % (len(record) + len(str(len(record) + 8)) + 1) + record
    head = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    head[124:136] = b"%011o\0" % len(told)
    head[156:157] = b"x"
    body = tarfile.TarInfo("fine.png")
    body.size = 4
    plain = body.tobuf(tarfile.USTAR_FORMAT) + b"abcd" + bytes(508)
    return _summed(head) + told + bytes(-len(told) % 512) + plain + bytes(1024)
