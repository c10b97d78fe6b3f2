"""Small pictures that promise the earth: huge sizes, endless metadata, gigabytes to unpack."""

from __future__ import annotations

import struct
import tarfile
import zlib
from functools import cache
from pathlib import Path

from tests.support.mutations import (
    cursor,
    film_of_colours,
    icons,
    mcidas,
    pixar,
    psd,
    runs_bmp,
    saved,
    sun,
)
from tests.support.pictures import jpeg_bytes, noise_image

HUGE = 100_000


def chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(
    width: int, height: int, data: bytes = b"", kind: tuple[int, int] = (8, 0), *more: bytes
) -> bytes:
    """`kind` is bits and colour type, `more` chunks before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *kind, 0, 0, 0))
    rest = chunk(b"IDAT", data or zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + rest


def zeros(count: int) -> bytes:
    """Packed."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join([*parts, packer.compress(bytes(count % (1 << 20))), packer.flush()])


def tiff(entries: list[tuple[int, int, int, int]], *, loop: bool = False) -> bytes:
    """Of entries (tag, type, count, value); with `loop` the directory is followed by itself."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + struct.pack("<I", 8 * loop)


def flat_tiff(width: int, height: int, *more: tuple[int, int, int, int]) -> bytes:
    usual = {
        256: (256, 4, 1, width),
        257: (257, 4, 1, height),
        258: (258, 3, 1, 8),
        259: (259, 3, 1, 1),
        262: (262, 3, 1, 1),
        273: (273, 4, 1, 8),
        277: (277, 3, 1, 1),
        278: (278, 4, 1, height),
        279: (279, 4, 1, min(width * height, 0xFFFFFFFF)),
    }
    return tiff(list((usual | {one[0]: one for one in more}).values())) + bytes(256)


def patched(data: bytes, *changes: tuple[bytes, int, str, tuple[int, ...]]) -> bytes:
    """With numbers (format, values) written so many bytes behind where a mark begins."""
    changed = bytearray(data)
    for mark, offset, form, values in changes:
        struct.pack_into(form, changed, data.index(mark) + offset, *values)
    return bytes(changed)


@cache
def huge_sizes() -> dict[str, bytes]:
    """100,000 × 100,000, or as much as the format can say."""
    size, most = (HUGE, HUGE), 65500
    jp2 = patched(saved("JPEG2000"), (b"ihdr", 4, ">II", size), (b"\xff\x51", 6, ">II", size))
    return {
        "huge.png": png(*size),
        "huge.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + saved("GIF")[10:],
        "frame.gif": b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
        "huge.jpg": patched(saved("JPEG"), (b"\xff\xc0", 5, ">HH", (most, most))),
        "scans.jpg": scans(8_000, 20_000),
        "hidden scans.jpg": scans(8_000, 20_000, b"\xff\xfe\0\x06\xff\xd9\xff\xd9"),
        "apart.jpg": scans(12_200, 3),
        "scans blp.png": blp(scans(2000, 20_000)),
        "huge.bmp": patched(saved("BMP"), (b"BM", 18, "<ii", size)),
        "negative.bmp": patched(saved("BMP"), (b"BM", 18, "<ii", (-5, -2147483648))),
        "huge.tif": flat_tiff(*size),
        "huge.webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\xff" * 6 + b"VP8 ",
        "huge.psd": patched(psd(), (b"8BPS", 14, ">II", (30_000, 30_000))),
        "inside.ico": _ico(png(*size)),
        "bitmap.ico": _ico(struct.pack("<IiiHHIIiiII", 40, *size, 1, 32, 0, 0, 0, 0, 0, 0)),
        "huge.cur": cursor(_ico(struct.pack("<IiiHHIIiiII", 40, *size, 1, 32, 0, 0, 0, 0, 0, 0))),
        "inside.icns": icons(png(*size)),
        "limit.icns": icons(png(12_000, 12_000, zeros(12_000 * 12_001))),
        "limit.ico": _ico(png(12_000, 12_000, zeros(12_000 * 12_001))),
        "huge.jp2": jp2,
        "huge.qoi": struct.pack(">4sIIBB", b"qoif", *size, 4, 0) + b"\xc0" * 64,
        "slow.qoi": struct.pack(">4sIIBB", b"qoif", 12_000, 12_000, 4, 0) + b"\xfd" * 2_400_000,
        "huge.ppm": b"P6\n%d %d\n255\n" % size + bytes(64),
        "slow.ppm": b"P3\n12000 12000\n255\n" + b"1 " * 64,
        "odd.pgm": b"P5\n12000 12000\n100\n" + bytes(64),
        "huge.pfm": b"Pf\n%d %d\n-1.0\n" % size + bytes(64),
        "huge.dds": patched(saved("DDS"), (b"DDS ", 12, "<II", size)),
        "huge.sgi": patched(saved("SGI"), (b"\x01\xda", 6, ">HH", (65535, 65535))),
        "ras.png": sun(*size),
        "huge.pcx": patched(saved("PCX"), (b"\x0a\x05", 4, "<HHHH", (0, 0, 65535, 65535))),
        "huge.tga": patched(saved("TGA"), (b"\0\0\2", 12, "<HH", (65535, 65535))),
        "huge.xbm": b"#define a_width 100000\n#define a_height 100000\nstatic char a_bits[]={0};",
        "huge.xpm": b'/* XPM */\nstatic char *a[] = {\n"100000 100000 1 1",\n"a c #000000",\n',
        "colours.xpm": b'/* XPM */\nstatic char *a[] = {\n"4 4 999999999 1",\n'
        + b'"a c #000000",\n' * 9000,
        "huge.msp": _msp(65535, 65535),
        "huge.gbr": struct.pack(">IIIII4sI", 0xFFFFFFFF, 2, *size, 1, b"GIMP", 10),
        "huge.ftc": struct.pack("<4siiiiiiii", b"FTEX", 1, *size, 1, 1, 1, 32, 192) + bytes(192),
        "negative.ftc": struct.pack("<4siiiiiiii", b"FTEX", 1, -9, -9, 1, 1, 1, 32, 192),
        "huge.pxr": patched(pixar(), (b"\x80\xe8", 416, "<HH", (65535, 65535))),
        "area.png": mcidas()[:32] + struct.pack("!ii", *size) + mcidas()[40:],
        "huge.fli": film_of_colours()[:8] + b"\xff\xff\xff\xff" + film_of_colours()[12:],
        "huge.dib": saved("DIB")[:4] + struct.pack("<ii", *size) + saved("DIB")[12:],
        "p7.png": b"P7 332\n#END_OF_COMMENTS\n100000 100000 255\n" + bytes(64),
        "runs.bmp": patched(runs_bmp(), (b"BM", 18, "<ii", (12_000, 12_000))),
        "blp.png": blp(patched(saved("JPEG"), (b"\xff\xc0", 5, ">HH", (12_000, 12_000)))),
    }


def blp(jpeg: bytes) -> bytes:
    """A texture that says it has 8 × 8 pixels, with this JPEG in it."""
    sizes = struct.pack("<16I16I", 160, *[0] * 15, len(jpeg), *[0] * 15)
    told = struct.pack("<IIIIII", 0, 0, 8, 8, 5, 0)
    return b"BLP1" + told + sizes + struct.pack("<I", 0) + jpeg


def scans(side: int, count: int, between: bytes = b"") -> bytes:
    """A baseline JPEG in colour with so many scans, each of one component and without data."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    codes = bytes([1, *[0] * 15, 0])
    parts = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    each = [segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + between for number in (1, 2, 3)]
    return (
        b"\xff\xd8" + segment(0xDB, bytes([0, *[1] * 64]))
        + segment(0xC0, struct.pack(">BHHB", 8, side, side, 3) + parts)
        + segment(0xC4, b"\0" + codes) + segment(0xC4, b"\x10" + codes)
        + b"".join(each[k % 3] for k in range(count)) + b"\xff\xd9"
    )  # fmt: skip


def sparse_files(folder: Path, size: int = 8 << 40) -> list[Path]:
    """Files that begin as a picture, take next to nothing on the disk and are said to have `size`
    bytes, which would be read for hours; the last one is a tar with such a picture in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / "sparse.jpg", folder / "sparse.tar"]
    for path in made:
        header = tarfile.TarInfo("a.jpg")
        header.size = 500 << 20
        with path.open("wb") as file:
            file.write(header.tobuf() if path.suffix == ".tar" else b"")
            file.write(jpeg_bytes())
            file.truncate(size)
    return made


def _ico(inner: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def _msp(width: int, height: int) -> bytes:
    words = [0x6144, 0x4D6E, width, height, 1, 1, 1, 1, width, height, 0, 0, 0, 0, 0, 0]
    for word in words[:12]:
        words[12] ^= word
    return struct.pack("<16H", *words) + bytes(64)


@cache
def odd_metadata() -> dict[str, bytes]:
    """What is said beside the pixels, without end or measure."""
    text = zeros(100 << 20)
    jpeg = saved("JPEG")
    deep = b"<a>" * 200_000

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    # A directory that is followed by itself, and whose Exif, GPS and Interop parts are itself.
    own = [(tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005, 330)]
    looped = b"Exif\0\0" + tiff([(0x0112, 3, 1, 1), *own], loop=True)
    giant = b"Exif\0\0" + tiff([(0x0112, 3, 0xFFFFFFFF, 8), (0x010E, 2, 0xFFFFFFF0, 8)])
    entries = [(0x8769, 4, 1, 8), (330, 4, 0x3FFFFFFF, 8), (700, 1, 0xFFFFFFFF, 8)]
    return {
        "ztxt.png": png(1, 1, b"", (8, 0), chunk(b"zTXt", b"a\0\0" + text)),
        "itxt.png": png(1, 1, b"", (8, 0), chunk(b"iTXt", b"a\0\1\0\0\0" + text)),
        "iccp.png": png(1, 1, b"", (8, 0), chunk(b"iCCP", b"a\0\0" + text)),
        "texts.png": png(1, 1, b"", (8, 0), *[chunk(b"tEXt", b"a\0" + bytes(900))] * 9000),
        "frames.png": png(
            1,
            1,
            b"",
            (8, 0),
            chunk(b"acTL", struct.pack(">II", 0xFFFFFFFF, 0)),
            *[
                chunk(b"fcTL", struct.pack(">IIIIIHHBB", k, 1, 1, 0, 0, 1, 1, 0, 0))
                for k in range(5000)
            ],
        ),
        "frames.gif": _frames(5000),
        "loop.jpg": jpeg[:2] + segment(0xE1, looped) + jpeg[2:],
        "giant.jpg": jpeg[:2] + segment(0xE1, giant) + jpeg[2:],
        "segments.jpg": jpeg[:2] + segment(0xE1, b"x" * 60) * 20_000 + jpeg[2:],
        "photoshop.jpg": jpeg[:2] + segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 9000) + jpeg[2:],
        "deep.jpg": jpeg[:2]
        + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + deep[:65_000])
        + jpeg[2:],
        "deep.png": png(1, 1, b"", (8, 0), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + deep)),
        "deep.tif": flat_tiff(8, 8, (700, 1, len(deep), 200)) + deep,
        "loop.tif": tiff(
            [(256, 4, 1, 8), (257, 4, 1, 8), (259, 3, 1, 1), (273, 4, 1, 8), *own], loop=True
        ),
        "giant.tif": flat_tiff(8, 8, *entries),
        "strips.tif": flat_tiff(8, 8, (273, 4, 0xFFFFFFFF, 8), (279, 4, 0xFFFFFFFF, 8)),
        "tiles.tif": flat_tiff(
            8, 8, (259, 3, 1, 5), (322, 4, 1, 1 << 30), (323, 4, 1, 1 << 30), (324, 4, 1, 8)
        ),
        "many.mpo": _many_pictures(),
        "passes.jpg": passes(4000, 20_000),
        "bits.tif": flat_tiff(8, 8, (258, 3, 0xFFFF, 8), (277, 3, 1, 0xFFFF)),
    }


def _frames(count: int) -> bytes:
    head, body = saved("GIF", noise_image(1, (8, 8)).quantize(4)), b""
    start = head.index(b",\0\0\0\0")
    body = head[start:-1]
    return head[:start] + body * count + b";"


def _many_pictures() -> bytes:
    """An MPO that says it has 60,000 pictures."""
    data = bytearray(saved("MPO", save_all=True, append_images=[noise_image(3)]))
    at = data.index(b"MPF\0") + 4
    count = data.index(struct.pack("<HHII", 0xB001, 4, 1, 2), at)
    struct.pack_into("<I", data, count + 8, 60_000)
    return bytes(data)


def passes(side: int, count: int) -> bytes:
    """A grey progressive JPEG whose pixels are gone over `count` times, each with nothing new."""

    def codes(kind: int, symbol: int) -> bytes:
        return b"\xff\xc4" + struct.pack(">HB", 20, kind << 4) + bytes([1, *[0] * 15, symbol])

    def scan(first: int, last: int) -> bytes:
        return b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes([1, 0, first, last, 0])

    blocks = (side // 8) ** 2
    bits = ("0" + "1" * 14) * (blocks // 32767 + 1)
    bits += "1" * (-len(bits) % 8)
    run = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    nothing = scan(1, 63) + run.replace(b"\xff", b"\xff\0")
    return (
        b"\xff\xd8\xff\xdb\0\x43\0" + bytes([1] * 64)
        + b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, side, side, 1) + bytes([1, 0x11, 0])
        + codes(0, 0) + codes(1, 0xE0)
        + scan(0, 0) + bytes(blocks // 8 + 1) + nothing * count + b"\xff\xd9"
    )  # fmt: skip


def at_the_limit() -> dict[str, bytes]:
    """Small files of about as many pixels as there may be: these are read, and take their time."""
    side = 12_200
    return {
        "grey.png": png(side, side, zeros(side * (side + 1))),
        "deep.png": png(side, side, zeros(side * (2 * side + 1)), (16, 0)),
        "clear.png": png(side, side, zeros(side * (4 * side + 1)), (8, 6)),
        "halves.png": png(side, side, zeros(side * (2 * side + 1)), (8, 4)),
        "long.png": png(10**6, 140, zeros(140 * (4 * 10**6 + 1)), (8, 6)),
        "tall.png": png(140, 10**6, zeros(10**6 * (4 * 140 + 1)), (8, 6)),
        "passes.jpg": passes(12_000, 30),
        "apart.jpg": scans(9_600, 3),
    }
