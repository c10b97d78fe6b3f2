"""All small files of which one asks for gigabytes: weights, arrays, archives, tables, PNGs."""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import cache
from pathlib import Path

from tests.support.bombs import chunk, png
from tests.support.parquet_bombs import BOMBS
from tests.support.pictures import jpeg_bytes
from tests.support.weight_bombs import many_members, packed_arrays, weight_bombs


def file_bombs(folder: Path) -> dict[str, bytes]:
    """`folder` is for what only a file can be made in."""
    found = dict(weight_bombs())
    for name, make in BOMBS.items():
        file = folder / "made.parquet"
        make(file)
        found[f"{name}.parquet"] = file.read_bytes()
        file.unlink()
    found["overlap.zip"] = many_members()
    found["packed.npz"] = packed_arrays()
    found["pictures.zip"] = _zip({f"{k}.jpg": jpeg_bytes(k) + bytes(15 << 20) for k in range(20)})
    found["too much.zip"] = _zip({f"{k}.jpg": jpeg_bytes(k) + bytes(60 << 20) for k in range(20)})
    inner = _zip({"a.jpg": jpeg_bytes(1) + bytes(60 << 20)})
    for level in range(5):
        inner = _zip({f"{level}-{k}.zip": inner for k in range(10)})
    found["nested.zip"] = inner
    return found


@cache
def asides() -> dict[str, bytes]:
    """PNGs with far more said beside the pixels than there are pixels."""
    zeros = zlib.compress(bytes(1 << 26), 9)
    return {
        "profile.png": _with(chunk(b"iCCP", b"x\0\0" + zeros)),
        "text.png": _with(chunk(b"zTXt", b"a\0\0" + zeros)),
        "words.png": _with(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros)),
        "plain.png": _with(chunk(b"tEXt", b"a\0" + bytes(3 << 20))),
        "many.png": _with(
            b"".join(
                chunk(b"zTXt", b"%d\0\0" % k + zlib.compress(bytes(900 << 10))) for k in range(90)
            )
        ),
        "method.png": _with(chunk(b"iCCP", b"x\0\7zz")),
        "nothing.png": _with(chunk(b"iCCP", b"")),
    }


def _with(more: bytes) -> bytes:
    rows = zlib.compress((b"\0" + b"\x40" * 24) * 8)
    return png(8, 8, rows, (8, 2), more)


def _zip(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return held.getvalue()
