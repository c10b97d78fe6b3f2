"""Weights, arrays and configs of a few bytes that ask for gigabytes, or for what is no weight."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import cache

import numpy as np

_OLD = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # how torch began its files
_PROTOCOL = b"\x80\x02M\xe9\x03."
_MACHINE = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def storage(count: int, kind: str = "FloatStorage", key: str = "0") -> bytes:
    named = b"ctorch\n" + kind.encode() + b"\n"
    return b"(" + text("storage") + named + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(count: int, shape: list[int], stride: list[int], key: str = "0") -> bytes:
    """Pickled: a view of a storage that says it has `count` numbers."""
    sizes = b"".join(b"(" + b"".join(map(number, each)) + b"t" for each in (shape, stride))
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return rebuilt + storage(count, key=key) + b"K\0" + sizes + b"\x89NtR"


def weights(pickled: bytes) -> bytes:
    return b"\x80\x02}" + text("weight") + pickled + b"s."


def saved(pickled: bytes, stored: bytes = bytes(16), how: int = zipfile.ZIP_STORED) -> bytes:
    """As torch saves: an archive of the pickle and of one storage."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", how) as archive:
        archive.writestr("m/data.pkl", pickled)
        archive.writestr("m/byteorder", "little")
        archive.writestr("m/data/0", stored)
        archive.writestr("m/version", "3")
    return held.getvalue()


def old(pickled: bytes, keys: bytes = b"\x80\x02]X\x01\0\0\x000a.", stored: bytes = b"") -> bytes:
    """As torch saved until 2020."""
    return _OLD + _PROTOCOL + _MACHINE + pickled + keys + stored


def laughs(levels: int = 60) -> bytes:
    """Pickled: a list of ten times a list of ten times a list …"""
    made = b"\x80\x02]q\0"
    for level in range(levels):
        made += b"](" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"eq"
        made += bytes([level + 1])
    return made + b"."


def many_members(count: int = 3000) -> bytes:
    """An archive whose files all are the same bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data/0", bytes(1 << 24))
    whole = held.getvalue()
    start = whole.index(b"PK\1\2")
    entry, end = whole[start : whole.index(b"PK\5\6")], whole[whole.index(b"PK\5\6") :]
    told = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, count * len(entry), start, 0)
    assert len(told) == len(end)
    return whole[:start] + entry * count + told


@cache
def weight_bombs() -> dict[str, bytes]:
    gigabytes = number(0x7FFFFFFF)
    call = b"cbuiltins\n%s\n"
    packed = saved(weights(tensor(1 << 28, [1 << 14, 1 << 14], [1 << 14, 1])), b"", 8)
    made = {
        "bytearray": weights(call % b"bytearray" + b"(" + gigabytes + b"tR"),
        "repeat": weights(b"citertools\nrepeat\n(N" + gigabytes + b"tR"),
        "size": weights(b"ctorch\nSize\n(" + gigabytes + b"tR"),
        "ordered": weights(b"ccollections\nOrderedDict\n(" + gigabytes + b"tR"),
        "storage": weights(b"ctorch\nFloatStorage\n(" + gigabytes + b"tR"),
        "text": weights(b"\x8d" + struct.pack("<Q", 1 << 40) + b"x"),
        "bytes": weights(b"\x8e" + struct.pack("<Q", 1 << 40) + b"x"),
        "digits": weights(b"\x8b" + struct.pack("<I", 1 << 30) + b"\x7f" * 100),
        "laughs": laughs(),
        "tuples": b"\x80\x02" + b")" + b"\x85" * 60_000 + b".",
        "lists": b"\x80\x02" + b"]" * 30_000 + b"a" * 29_999 + b".",
        "pushes": b"\x80\x02" + b"N" * 2_100_000,
        "keys": b"\x80\x02})q\0" + b"h\0h\0\x86q\0" * 64 + b"Ns.",
        "attribute": weights(b"ccollections\nOrderedDict.__init__\n)R"),
        "class": weights(b"c__torch__\nM\n}" + text("__reduce__") + b"Nsb"),
        "module": weights(b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("x") + b"Nsb"),
        "objects": weights(b"(c__torch__\nM\no"),
        "views": weights(tensor(4, [1 << 15, 1 << 15], [0, 0])),
        "overlaps": weights(tensor(4, [1 << 15, 1 << 15], [1, 0])),
        "beyond": weights(tensor(1 << 30, [1 << 30], [1])),
        "negative": weights(tensor(4, [-4], [1])),
        "dimensions": weights(tensor(4, [1] * 64, [1] * 64)),
    }
    found = {f"{name}.zip.pth": saved(pickled) for name, pickled in made.items()}
    found |= {f"{name}.old.pth": old(pickled) for name, pickled in made.items()}
    found["packed.zip.pth"] = packed
    found["members.zip.pth"] = many_members()
    found["keys.old.pth"] = old(weights(tensor(4, [4], [1])), b"\x80\x02]" + b"K\0a" * 9 + b".")
    head = b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    more = b"".join(b',"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % k for k in range(9))
    for name, header in {
        "header": b"{" + b" " * (17 << 20) + b"}",
        "shape": b'{"a":{"dtype":"F32","shape":[' + b"9" * 4000 + b'],"data_offsets":[0,4]}}',
        "nothing": head + more + b"}",
        "deep": b'{"a":' + b"[" * 200_000,
    }.items():
        found[f"{name}.safetensors"] = struct.pack("<Q", len(header)) + header + bytes(4)
    return found


def packed_arrays() -> bytes:
    """A .npz of a few megabytes at most whose array unpacks to half a gigabyte."""
    held = io.BytesIO()
    head = io.BytesIO()
    told = {"descr": "<f4", "fortran_order": False, "shape": (1 << 17, 1024)}
    np.lib.format.write_array_header_1_0(head, told)
    with (
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("landmarks.npy", "w", force_zip64=True) as file,
    ):
        file.write(head.getvalue())
        for _ in range(512):
            file.write(bytes(1 << 20))
    return held.getvalue()
