"""Protects the one way pictures are read: the same upright pixels on white for everybody, a short
reason for whatever can't be read, and nothing run, waited for or blown up by a hostile file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from labeler.core.archives.opening import open_in_memory, open_picture, open_regular
from model.errors import UnreadableImage
from model.images import limits
from model.images.decode import read_header, read_picture
from model.images.formats import image_extensions, looks_like_image
from model.images.hashing import difference_hash
from model.images.resize import preview_and_thumbnail
from tests.support.all_bombs import asides
from tests.support.pictures import (
    BLUE,
    RED,
    jpeg_bytes,
    make_halves,
    make_jpeg,
    noise_image,
    png_bomb,
    with_orientation,
)


def close(pixel: object, colour: tuple[int, int, int], within: int = 8) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= within for a, b in zip(pixel, colour, strict=True))


def reason_for(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        open_picture(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("orientation", "size", "where_red"),
    [
        (1, (60, 40), (5, 20)),
        (2, (60, 40), (55, 20)),
        (3, (60, 40), (55, 20)),
        (4, (60, 40), (5, 20)),
        (5, (40, 60), (20, 5)),
        (6, (40, 60), (20, 5)),
        (7, (40, 60), (20, 55)),
        (8, (40, 60), (20, 55)),
        (9, (60, 40), (5, 20)),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientation_is_applied_once(
    tmp_path: Path, suffix: str, orientation: int, size: tuple[int, int], where_red: tuple[int, int]
) -> None:
    path = make_halves(tmp_path / f"a{suffix}", exif=with_orientation(orientation))
    with open_regular(path) as file:
        picture = read_picture(file, path)
    assert picture.image.size == (picture.width, picture.height) == size
    assert close(picture.image.getpixel(where_red), RED, 40)
    assert not picture.image.info
    assert picture.image.getexif().get(0x0112, 1) in (1, 9)


def _transparent(mode: str) -> Image.Image:
    """Left half a solid grey or red, right half transparent black."""
    rgba = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    rgba.paste((200, 200, 200, 255), (0, 0, 10, 10))
    return rgba if mode == "RGBA" else rgba.convert(mode)


def _palette() -> Image.Image:
    image = Image.new("P", (20, 10), 1)
    image.putpalette([200, 200, 200, 0, 0, 0])
    image.paste(0, (0, 0, 10, 10))
    return image


@pytest.mark.parametrize(
    ("image", "save"),
    [
        (_transparent("RGBA"), {}),
        (_transparent("LA"), {}),
        (_palette(), {"transparency": 1}),
        (_palette(), {"transparency": bytes([255, 0])}),
        (_transparent("RGBA").convert("RGB"), {"transparency": (0, 0, 0)}),
        (_transparent("LA").convert("L"), {"transparency": 0}),
        (_transparent("LA").convert("1", dither=Image.Dither.NONE), {"transparency": 0}),
    ],
    ids=["RGBA", "LA", "P-index", "P-table", "RGB-key", "L-key", "1-key"],
)
def test_transparency_is_flattened_on_white(
    tmp_path: Path, image: Image.Image, save: dict[str, object]
) -> None:
    image.save(tmp_path / "a.png", **save)
    flat = open_picture(tmp_path / "a.png")
    assert flat.mode == "RGB"
    assert flat.getpixel((15, 5)) == (255, 255, 255)
    assert flat.getpixel((5, 5)) in ((200, 200, 200), (255, 255, 255))


def test_half_transparent_black_becomes_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert close(open_picture(tmp_path / "a.png").getpixel((1, 1)), (127, 127, 127), 1)


def _grey(values: list[list[float]], dtype: str) -> Image.Image:
    return Image.fromarray(np.array(values, dtype=dtype))


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        (_grey([[0, 32768, 65535]], "uint16"), ".png", [0, 128, 255]),
        (_grey([[0, 32768, 65535]], "uint16"), ".tif", [0, 128, 255]),
        (_grey([[0, 32768, 65535]], "int32"), ".tif", [0, 128, 255]),
        (_grey([[-100, 0, 155]], "int32"), ".tif", [0, 100, 255]),
        (_grey([[0, 0.5, 1]], "float32"), ".tif", [0, 128, 255]),
        (_grey([[0, 128, 255]], "float32"), ".tif", [0, 128, 255]),
        (_grey([[0, float("nan"), 1000]], "float32"), ".tif", [0, 0, 255]),
        (_grey([[7, 7, 7]], "float32"), ".tif", [7, 7, 7]),
    ],
    ids=["16-png", "16-tif", "32-as-16", "signed", "unit", "float-255", "nan", "constant"],
)
def test_deep_grey_is_scaled_not_clipped(
    tmp_path: Path, image: Image.Image, suffix: str, expected: list[int]
) -> None:
    image.save(tmp_path / f"a{suffix}")
    assert np.asarray(open_picture(tmp_path / f"a{suffix}"))[0, :, 0].tolist() == expected


def test_sixteen_bit_grey_with_a_transparent_value(tmp_path: Path) -> None:
    image = _grey([[0, 32768, 65535]], "uint16")
    image.save(tmp_path / "a.png", transparency=0)
    assert np.asarray(open_picture(tmp_path / "a.png"))[0, :, 0].tolist() == [255, 128, 255]


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_has_its_colours(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (16, 16), (230, 60, 30)).convert("CMYK").save(tmp_path / f"a{suffix}")
    assert close(open_picture(tmp_path / f"a{suffix}").getpixel((8, 8)), (230, 60, 30), 12)


def test_lab_has_its_colours(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = Image.new("RGB", (8, 8), (200, 60, 40))
    converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    assert converted is not None
    converted.save(tmp_path / "a.tif")
    assert close(open_picture(tmp_path / "a.tif").getpixel((4, 4)), (200, 60, 40), 12)


def test_one_bit(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    pixels = np.asarray(open_picture(tmp_path / "a.png"))
    assert pixels[0].tolist() == [[255, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=50)
    assert close(open_picture(tmp_path / f"a{suffix}").getpixel((8, 8)), RED, 6)


@pytest.mark.parametrize(
    "suffix", [".bmp", ".ico", ".jp2", ".ppm", ".tga", ".pcx", ".sgi", ".icns", ".dds", ".qoi"]
)
def test_less_usual_formats(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGB", (64, 64), RED)
    path = tmp_path / f"a{suffix}"
    image.save(path)
    assert suffix in image_extensions()
    assert close(open_picture(path).getpixel((32, 32)), RED)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), RED).save(tmp_path / "a.avif")
    assert close(open_picture(tmp_path / "a.avif").getpixel((32, 32)), RED)


@pytest.mark.parametrize(
    ("size", "at_least", "expected"),
    [((800, 400), 100, (200, 100)), ((800, 400), 101, (400, 200)), ((800, 400), 500, (800, 400))],
)
def test_at_least_never_goes_below(
    tmp_path: Path, size: tuple[int, int], at_least: int, expected: tuple[int, int]
) -> None:
    path = make_jpeg(tmp_path / "a.jpg", size=size)
    small = open_picture(path, at_least=at_least)
    assert small.size == expected
    whole = np.asarray(open_picture(path).resize(small.size, Image.Resampling.BOX), float)
    assert np.abs(np.asarray(small, float) - whole).mean() < 3


def test_the_size_reported_is_that_of_the_file(tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "a.jpg", size=(800, 400), exif=with_orientation(6))
    with open_regular(path) as file:
        picture = read_picture(file, path, longer=100)
    assert (picture.format, picture.width, picture.height) == ("JPEG", 400, 800)
    assert picture.image.size == (50, 100)


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    noise_image(1).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    with open_regular(tmp_path / "a.jpg") as file:
        assert read_picture(file, tmp_path / "a.jpg").format == "PNG"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jpg", b"", "empty"),
        ("a.jpg", b"plain text", "not a picture"),
        ("a.png", b"<!DOCTYPE html><html></html>", "web page"),
        ("a.webp", bytes(range(256)) * 8, "not a picture"),
        ("a.jpg", jpeg_bytes(size=(400, 300))[:-4000], "damaged"),
        ("a.jpg", jpeg_bytes()[:24], "damaged"),
        ("a.png", png_bomb(30_000, 30_000), "900,000,000 pixels"),
        ("a.png", png_bomb(300, 300), "damaged"),
        ("a.heic", b"\0\0\0\x18ftypheic" + b"\0" * 60, "taste-labeler[heif]"),
        ("a.jpg", b"\0\0\0\x18ftypmif1" + b"\0" * 60, "taste-labeler[heif]"),
        ("a.jpg", b"\0\0\0\x18ftypisom" + b"\0" * 60, "film"),
        ("a.jxl", b"\xff\x0a" + b"\0" * 60, "JPEG XL"),
        ("a.nef", b"MM\0*" + b"\0" * 60, "raw"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "vector"),
        ("a.jpg", b"%PDF-1.7", "PDF"),
    ],
)
def test_reasons(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    reason = reason_for(path)
    assert says in reason
    assert reason.endswith((".", "rename it.", "again.")) and len(reason) < 160
    assert str(tmp_path) not in reason


def test_a_damaged_checksum_is_noticed(tmp_path: Path) -> None:
    noise_image(2, (200, 200)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)
    assert "damaged" in reason_for(tmp_path / "a.png")


def test_a_reason_repeats_nothing_from_the_file(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    path = tmp_path / f"{evil.replace('/', '')}.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + evil.encode() * 20)
    assert "onerror" not in reason_for(path)


def test_metadata_does_not_travel(tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "a.jpg", comment=b"<script>alert(1)</script>")
    open_picture(path).save(tmp_path / "b.jpg")
    assert b"<script>" not in (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("name", ["a.eps", "a.jpg"])
def test_postscript_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ran = tmp_path / "ran"
    fake = tmp_path / "bin" / "gs"
    fake.parent.mkdir()
    fake.write_text(f"#!{sys.executable}\nopen({str(ran)!r}, 'w')\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["gs"], check=True)
    assert ran.exists()
    ran.unlink()
    path = tmp_path / name
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert "vector" in reason_for(path)
    assert not ran.exists()


def test_pipes_folders_and_links(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert "pipe" in reason_for(tmp_path / "pipe.jpg")
    assert "folder" in reason_for(tmp_path / "folder.jpg")
    assert "link" in reason_for(tmp_path / "lost.jpg")
    assert "leads back to itself" in reason_for(tmp_path / "loop.jpg")
    assert "not there" in reason_for(tmp_path / "gone.jpg")
    assert "rename" in reason_for(tmp_path / "nul\0.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    make_jpeg(tmp_path / "a.jpg").chmod(0)
    assert "permission" in reason_for(tmp_path / "a.jpg").lower()


def test_large_pictures_neither_warn_nor_change_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between Pillow's own warning and our limit, with several readers at once."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(limits, "ROOM_FOR_ALL", limits.Room(30_000))
    paths = [make_halves(tmp_path / f"{k}.gif") for k in range(6)]
    filters = list(warnings.filters)
    threads = [threading.Thread(target=open_picture, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_picture(paths[0]).size == (60, 40)
    assert warnings.filters == filters
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_looks_like_image_by_extension_or_content(tmp_path: Path) -> None:
    make_jpeg(tmp_path / "photo")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "broken.jpeg").write_text("x")
    (tmp_path / "raw.dat").write_bytes(b"II*\0" + b"\0" * 40)
    (tmp_path / "UPPER.JPG").write_text("x")
    taken = [path.name for path in sorted(tmp_path.iterdir()) if looks_like_image(path)]
    assert taken == ["UPPER.JPG", "broken.jpeg", "photo"]


def test_look_tells_pictures_apart_and_survives_saving(tmp_path: Path) -> None:
    first, second = noise_image(1, (300, 200)), noise_image(2, (300, 200))
    first.resize((150, 100)).save(tmp_path / "a.jpg", quality=60)
    saved = difference_hash(open_picture(tmp_path / "a.jpg"))
    assert 0 <= difference_hash(first) < 2**64
    assert (
        (saved ^ difference_hash(first)).bit_count()
        <= 6
        < (difference_hash(second) ^ difference_hash(first)).bit_count()
    )


@pytest.mark.parametrize("name", sorted(asides()))
@pytest.mark.parametrize("place", ["before the pixels", "behind them"])
def test_what_a_png_says_beside_its_pixels_never_costs_them(
    tmp_path: Path, name: str, place: str
) -> None:
    """Profiles and texts above a megabyte, and broken ones: neither is needed, nor unpacked."""
    data, path = asides()[name], tmp_path / "a.png"
    if place == "behind them":
        pixels, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
        data = data[:33] + data[pixels:end] + data[33:pixels] + data[end:]
    path.write_bytes(data)
    tracemalloc.start()
    try:
        picture = open_picture(path)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()
    assert picture.size == (8, 8)
    assert picture.getpixel((3, 3)) == (64, 64, 64)


def test_a_large_jpeg_2000_is_made_small_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unpacked to a half or a quarter, and its own class has another `reduce` then."""
    noise_image(3, (1600, 1600)).save(tmp_path / "large.jp2")
    with Image.open(tmp_path / "large.jp2") as header:
        monkeypatch.setattr(limits, "ROOM", limits.decoding_memory(header) // 2)
    with open_in_memory(tmp_path / "large.jp2") as file:
        small = preview_and_thumbnail(read_header(file, tmp_path / "large.jp2"), file)
    assert type(small.picture.image) is Image.Image
    assert max(small.picture.image.size) <= 512
    assert (small.picture.width, small.picture.height) == (1600, 1600)
