"""Hostile files by the thousand: a small one of every format that is read, and what is done to it.

Everything follows from seeds, so a file that broke something can be made again by its number.
"""

from __future__ import annotations

import io
import random
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, features

from tests.support.pictures import noise_image

SIZE = (48, 40)
Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True, slots=True)
class BadFile:
    """`kind` is what was done to it; `name` has its number, so no two are the same."""

    name: str
    kind: str
    data: bytes


def saved(form: str, image: Image.Image | None = None, **how: object) -> bytes:
    buffer = io.BytesIO()
    # A copy: saving leaves what the encoder was told on the picture.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some formats are on their way out of Pillow
        (image or noise_image(1, SIZE)).copy().save(buffer, form, **how)
    return buffer.getvalue()


def film() -> dict[str, object]:
    return {"save_all": True, "append_images": [noise_image(seed, SIZE) for seed in (3, 4)]}


@cache
def whole_files() -> dict[str, bytes]:
    """A small sound picture of each format and way of writing it, by a name with its extension."""
    plain, grey = noise_image(1, SIZE), noise_image(2, SIZE).convert("L")
    clear = plain.convert("RGBA")
    clear.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    paletted = plain.quantize(32)
    made = {
        "a.jpg": saved("JPEG", plain, exif=exif, quality=85, comment=b"a comment"),
        "progressive.jpg": saved("JPEG", plain, progressive=True, subsampling=0),
        "cmyk.jpg": saved("JPEG", plain.convert("CMYK")),
        "a.mpo": saved("MPO", plain, **film()),
        "a.png": saved("PNG", plain, exif=exif),
        "clear.png": saved("PNG", clear),
        "deep.png": saved("PNG", Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)),
        "paletted.png": saved("PNG", paletted, transparency=3),
        "film.png": saved("PNG", plain, **film()),
        "a.webp": saved("WEBP", plain, exif=exif),
        "lossless.webp": saved("WEBP", clear, lossless=True),
        "film.webp": saved("WEBP", plain, **film()),
        "a.gif": saved("GIF", paletted),
        "film.gif": saved("GIF", plain, **film()),
        "a.bmp": saved("BMP", plain),
        "paletted.bmp": saved("BMP", paletted),
        "runs.bmp": runs_bmp(),
        "a.dib": saved("DIB", plain),
        "a.jp2": saved("JPEG2000", plain),
        "a.j2k": saved("JPEG2000", grey, irreversible=True, tile_size=(16, 16)),
        "a.psd": psd(),
        "a.qoi": saved("QOI", clear),
        "a.ico": saved("ICO", clear, sizes=[(16, 16), (32, 32)]),
        "bitmap.ico": saved("ICO", clear, sizes=[(16, 16)], bitmap_format="bmp"),
        "a.cur": cursor(saved("ICO", clear, sizes=[(16, 16)], bitmap_format="bmp")),
        "a.icns": icons(saved("PNG", clear.resize((16, 16)))),
        "a.ppm": saved("PPM", plain),
        "a.pgm": saved("PPM", grey),
        "plain.ppm": b"P3\n4 4\n255\n" + b"1 2 3 4 5 6 7 8 \n" * 6,
        "odd.pgm": b"P5 8 8 100\n" + bytes(range(64)),
        "a.pfm": saved("PPM", grey.convert("F")),
        "a.dds": saved("DDS", clear),
        "packed.dds": saved("DDS", clear, pixel_format="DXT5"),
        "a.sgi": saved("SGI", plain),
        "ras.png": sun(),
        "a.pcx": saved("PCX", plain),
        "a.dcx": struct.pack("<III", 987654321, 12, 0) + saved("PCX", plain),
        "a.xbm": saved("XBM", grey.convert("1")),
        "a.xpm": b"/* XPM */\nstatic char *a[] = {\n" + XPM,
        "a.msp": saved("MSP", grey.convert("1")),
        "blp.png": saved("BLP", paletted),
        "a.fli": film_of_colours(),
        "a.ftc": struct.pack("<4siiiiiiii", b"FTEX", 1, 8, 8, 1, 1, 1, 32, 192) + bytes(192),
        "a.gbr": struct.pack(">IIIII4sI", 32, 2, 8, 8, 1, b"GIMP", 10) + b"dot\0" + bytes(64),
        "a.pxr": pixar(),
        "p7.png": b"P7 332\n#END_OF_COMMENTS\n8 8 255\n" + bytes(64),
        "area.png": mcidas(),
        "a.tga": saved("TGA", clear),
        "runs.tga": saved("TGA", plain, compression="tga_rle"),
        "a.im": saved("IM", plain),
        "a.pcd": bytes(2048) + b"PCD_" + bytes(96 * 2048),
        "half.j2c": saved("JPEG2000", clear, num_resolutions=2),
    }
    for packing in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"):
        told = grey.convert("1") if packing == "group4" else plain
        made[f"{packing}.tif"] = saved("TIFF", told, compression=packing, exif=exif)
    made["float.tif"] = saved("TIFF", grey.convert("F"))
    made["lab.tif"] = saved("TIFF", plain.convert("LAB"))
    made["films.tif"] = saved("TIFF", plain, **film())
    if features.check("avif"):
        made["a.avif"] = saved("AVIF", plain, speed=10, exif=exif)
        made["film.avif"] = saved("AVIF", plain, speed=10, **film())
    made |= _heic(plain)
    return made


def _heic(image: Image.Image) -> dict[str, bytes]:
    """Only where the package for it is installed."""
    from model.images.formats import _load_plugins

    _load_plugins()
    return {"a.heic": saved("HEIF", image)} if "HEIF" in Image.SAVE else {}


XPM = b"""\"4 4 2 1",
"a c #FF0000",
"b c None",
"abab",
"baba",
"abab",
"baba"
};
"""


def psd(width: int = 8, height: int = 6) -> bytes:
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3)
    resource = b"8BIM" + struct.pack(">HHI", 1005, 0, 4) + b"abcd"
    parts = b"".join(struct.pack(">I", len(part)) + part for part in (b"", resource, b""))
    return head + parts + struct.pack(">H", 0) + bytes(width * height * 3)


def runs_bmp(width: int = 16, height: int = 4) -> bytes:
    """Eight bits a pixel, packed in runs."""
    rows = (b"\x10\x05\0\0" * height) + b"\0\1"
    palette = b"".join(bytes((k, k, k, 0)) for k in range(256))
    told = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    offset = 14 + len(told) + len(palette)
    return struct.pack("<2sIII", b"BM", offset + len(rows), 0, offset) + told + palette + rows


def icons(inner: bytes, kind: bytes = b"icp4") -> bytes:
    """An Apple icon of one picture, by default of 16 × 16."""
    return struct.pack(">4sI4sI", b"icns", 16 + len(inner), kind, 8 + len(inner)) + inner


def cursor(icon: bytes) -> bytes:
    return icon[:2] + b"\2\0" + icon[4:]


def sun(width: int = 16, height: int = 8, length: int = 384) -> bytes:
    numbers = (0x59A66A95, width, height, 24, length, 1, 0, 0)
    return struct.pack(">8I", *numbers) + bytes(range(256)) * (length // 256 + 1)


def pixar(width: int = 8, height: int = 8) -> bytes:
    head = bytearray(1024)
    head[:4] = b"\x80\xe8\x00\x00"
    struct.pack_into("<HH", head, 416, height, width)
    struct.pack_into("<HH", head, 424, 14, 2)
    return bytes(head) + bytes(width * height * 3)


def mcidas(width: int = 8, height: int = 8) -> bytes:
    words = [0] * 64
    words[1], words[8], words[9], words[10], words[13], words[33] = 4, height, width, 1, 1, 256
    return struct.pack("!64i", *words) + bytes(width * height)


def film_of_colours(width: int = 8, height: int = 8) -> bytes:
    head = bytearray(128)
    struct.pack_into("<IHHHH", head, 0, 1000, 0xAF12, 2, width, height)
    head[12] = 8
    copied = struct.pack("<IH", 6 + width * height, 16) + bytes(width * height)
    frame = struct.pack("<IHH8x", 16 + len(copied), 0xF1FA, 1) + copied
    return bytes(head) + frame * 2


def flip(data: bytes, rng: random.Random) -> bytes:
    """Some bits, half of them near the beginning, where the headers are."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 4, 16, 64))):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 256)
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """A few numbers by the ones that programs stumble over."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        size = rng.choice((1, 2, 4))
        value = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000))
        at = rng.randrange(min(len(changed), rng.choice((64, 256, 4096))))
        told = (value & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(("little", "big")))
        changed[at : at + size] = told
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    """Its end, a part of its middle, or its beginning."""
    at, length = rng.randrange(len(data)), rng.randrange(1, 2 + len(data) // 2)
    return rng.choice((data[: at + 1], data[:at] + data[at + length :] or data, data[at:]))


def grow(data: bytes, rng: random.Random) -> bytes:
    """A part of it again and again."""
    at = rng.randrange(len(data))
    part = data[at : at + rng.randrange(1, 64)]
    return data[:at] + part * rng.choice((2, 50, 2000)) + data[at:]


def splice(data: bytes, rng: random.Random) -> bytes:
    """Another format's end behind its beginning."""
    other = rng.choice(list(whole_files().values()))
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def disguise(data: bytes, rng: random.Random) -> bytes:
    """Another format's first bytes on its own."""
    other, length = rng.choice(list(whole_files().values())), rng.choice((4, 8, 16, 32))
    return other[:length] + data[length:]


CHANGES: dict[str, Change] = {
    change.__name__: change for change in (flip, overwrite, cut, grow, splice, disguise)
}


def mutated(count: int, seed: int, files: Mapping[str, bytes] | None = None) -> Iterator[BadFile]:
    """`count` of them: formats and changes take turns, and every eighth has a wrong extension.

    `files` are other ones than the pictures.
    """
    whole = list((files or whole_files()).items())
    changes = list(CHANGES.items())
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        name, data = whole[number % len(whole)]
        kind, change = changes[(number // len(whole)) % len(changes)]
        changed = change(data, rng)
        while rng.random() < 0.3:
            changed = change(changed, rng)
        if rng.random() < 1 / 8:
            name, kind = rng.choice(whole)[0], f"{kind}, wrong extension"
        yield BadFile(f"{number:05} {name}", kind, changed)
