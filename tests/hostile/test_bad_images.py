"""Protects against hostile pictures: no crash, no hang, no flood of memory, and a reason recorded
for each that can't be read. By the thousand: tests/torture.

Among the files are those that once broke something.
"""

from __future__ import annotations

import io
import signal
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import db.images.lookup
from labeler.app.routes.images import _full_response
from labeler.collection.crash_guard import CRASHED
from labeler.collection.importing import import_paths
from labeler.core.archives.opening import CHANGED
from labeler.core.project import Project
from model.errors import UnreadableImage
from model.images import formats, limits, pixels
from model.images.decode import read_header, read_picture
from model.images.limits import MOST_OUT, ROOM, Room
from tests.support.bad_input import MOST_MB, command, states, write_all
from tests.support.bombs import (
    chunk,
    flat_tiff,
    huge_sizes,
    odd_metadata,
    passes,
    png,
    scans,
    zeros,
)
from tests.support.mutations import mutated, saved, whole_files
from tests.support.pictures import jpeg_bytes, noise_image

SEED = 20261123
MUTATED = 252


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def header_of(name: str, data: bytes) -> tuple[str, tuple[int, int]]:
    image = read_header(io.BytesIO(data), Path(name))
    return image.format or "", image.size


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_picture(io.BytesIO(data), Path(name))
    return str(caught.value)


def test_every_format_has_a_sound_file_to_start_from() -> None:
    for name, data in whole_files().items():
        if name not in ("a.pcd",):  # only its beginning: the whole is large
            assert read_picture(io.BytesIO(data), Path(name)).image.mode == "RGB", name


def test_mutated_pictures_and_bombs_are_recorded_with_a_reason(tmp_path: Path) -> None:
    Project.create(tmp_path / "project", encoder="lite").close()
    files = {one.name: one.data for one in mutated(MUTATED, SEED)} | huge_sizes() | odd_metadata()
    write_all(tmp_path / "bad", files.items())
    ended = command(tmp_path / "project", "import", tmp_path / "bad")
    assert ended.code == 0, ended.output[-2000:]
    assert "Traceback" not in ended.output
    assert ended.peak < MOST_MB
    known = states(tmp_path / "project")
    for name in files:
        if not name.endswith(".im"):  # taken only where it is named
            state, reason = known[name]
            assert state == "fine" or reason.endswith("."), (name, state, reason)
    assert {known[name][0] for name in huge_sizes()} == {"unreadable"}


@pytest.mark.parametrize("name", sorted(odd_metadata()))
def test_odd_metadata_does_no_harm(name: str) -> None:
    try:
        picture = read_picture(io.BytesIO(odd_metadata()[name]), Path(name))
    except UnreadableImage:
        return
    assert not picture.image.info


def test_a_decoder_that_closes_its_file_does_not_stop_an_import(
    project: Project, tmp_path: Path
) -> None:
    write_all(tmp_path / "in", [("a.ftc", whole_files()["a.ftc"]), ("b.jpg", jpeg_bytes())])
    summary = import_paths(project, [tmp_path / "in"])
    assert (summary.new, summary.unreadable) == (2, [])


def test_what_takes_too_long_or_too_much_is_refused_by_its_header() -> None:
    assert "passes" in refusal("a.jpg", passes(4000, 20_000))
    assert header_of("a.jpg", passes(400, 20)) == ("JPEG", (400, 400))
    for name in ("scans.jpg", "hidden scans.jpg", "scans blp.png"):
        assert "passes" in refusal(name, huge_sizes()[name]), name
    assert "takes much memory" in refusal("a.jpg", huge_sizes()["apart.jpg"])
    assert header_of("a.jpg", scans(2000, 3)) == ("JPEG", (2000, 2000))
    assert "is read slowly" in refusal("a.qoi", huge_sizes()["slow.qoi"])
    assert "takes much memory" in refusal("a.webp", _webp(9000, 9000))
    assert header_of("a.webp", _webp(6000, 6000))[1] == (6000, 6000)
    assert "150,000,000" in refusal("a.png", png(12_500, 12_500))
    assert "at most 1,000,000" in refusal("a.png", png(149_000_000, 1))
    for kind in ((8, 2), (8, 6), (16, 0)):
        assert header_of("a.png", png(12_200, 12_200, b"", kind))[1] == (12_200, 12_200)


def _webp(width: int, height: int) -> bytes:
    sound = bytearray(saved("WEBP", Image.new("RGB", (16, 16)), save_all=True,
                            append_images=[noise_image(1, (16, 16))]))  # fmt: skip
    for at, side in ((24, width), (27, height)):
        sound[at : at + 3] = (side - 1).to_bytes(3, "little")
    return bytes(sound)


def test_strips_of_a_tiff_that_are_larger_than_the_picture_are_damage() -> None:
    tiles = ((259, 3, 1, 5), (322, 4, 1, 1 << 30), (323, 4, 1, 1 << 30), (324, 4, 1, 8))
    assert "damaged" in refusal("a.tif", flat_tiff(8, 8, *tiles))


def _endless(count: int) -> dict[str, bytes]:
    """Sound small pictures but for so many parts of their headers."""
    jpeg, sound = saved("JPEG"), png(8, 8, zeros(72))
    profile = chunk(b"iCCP", b"a\0\0" + zeros(1000))
    offsets = struct.pack("<I", 8) * count
    exif = b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
    return {
        "comments.jpg": jpeg[:2] + b"\xff\xfe\0\2" * count + jpeg[2:],
        "exif.jpg": jpeg[:2] + b"\xff\xe1\0\x09Exif\0\0x" * (count // 100) + jpeg[2:],
        "comment.ppm": b"P6\n#" + b"a" * count * 3 + b"\n1 1 255\nabc",
        "chunks.png": png(8, 8, zeros(72), (8, 0), *[chunk(b"aaAa", b"")] * count),
        "profiles.png": png(8, 8, zeros(72), (8, 0), *[profile] * (count // 100)),
        "after.png": sound[:-12] + chunk(b"iCCP", profile[8:-4]) * (count // 100) + sound[-12:],
        "strips.tif": flat_tiff(8, 8, (273, 4, count * 3, 300), (278, 4, 1, 1)) + offsets * 4,
        "exif.png": png(8, 8, zeros(72), (8, 0), chunk(b"eXIf", exif + bytes(80 * count))),
    }


@pytest.mark.parametrize("name", sorted(_endless(1)))
def test_a_header_without_end_is_not_read_to_its_end(name: str) -> None:
    read_picture(io.BytesIO(_endless(1)[name]), Path(name))
    data = _endless(60_000)[name]
    if name == "exif.png":  # only its orientation is left unread
        assert formats.orientation(read_header(io.BytesIO(data), Path(name))) == 1
    else:
        assert refusal(name, data) == formats.DAMAGED


def test_a_header_takes_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LONGEST", -1.0)
    assert refusal("a.jpg", saved("JPEG")) == formats.DAMAGED


def test_parts_behind_the_pixels_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MOST_READS_AFTERWARDS", 100)
    sound = png(8, 8, zeros(72))
    assert read_picture(io.BytesIO(sound), Path("a.png")).width == 8
    assert refusal("a.png", sound[:-12] + chunk(b"aaAa", b"") * 99 + sound[-12:]) == formats.DAMAGED


def test_a_large_picture_comes_out_smaller_and_upright() -> None:
    side = 5200
    data = png(side, side // 2, zeros((side + 1) * side // 2))
    assert read_picture(io.BytesIO(data), Path("a.png")).image.size == (side, side // 2)
    large = png(side, side, zeros((side + 1) * side))
    picture = read_picture(io.BytesIO(large), Path("a.png"))
    assert (picture.width, picture.height) == (side, side)
    assert picture.image.size == (side // 2, side // 2)
    assert picture.image.width * picture.image.height <= MOST_OUT


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "F", "I", "CMYK", "LAB", "1", "RGB"])
def test_pixels_are_the_same_piece_by_piece(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise_image(5, (70, 50))
    if mode in ("I;16", "F", "I"):
        kind = {"I;16": np.uint16, "F": np.float32, "I": np.int32}[mode]
        image = Image.fromarray((np.asarray(image.convert("L")).astype(kind) * 7) - 3)
    elif mode == "LA":
        image = Image.merge("LA", image.split()[:2])
    else:
        if mode == "RGBA":
            image.putalpha(image.getchannel("G"))
        image = image.convert(mode)
    whole = np.asarray(pixels.flatten(image))
    smaller = np.asarray(pixels.flatten(image, 3)).astype(int)
    monkeypatch.setattr(pixels, "PIECE", 300)
    assert np.array_equal(np.asarray(pixels.flatten(image)), whole)
    assert np.array_equal(np.asarray(pixels.flatten(image, 3)), smaller)
    assert np.abs(smaller - np.asarray(Image.fromarray(whole).reduce(3))).max() <= 1
    assert smaller.shape == (17, 24, 3)


def test_memory_is_shared_in_turn() -> None:
    room, log = Room(100), []
    first, waiting = threading.Event(), threading.Event()

    def hold() -> None:
        with room.taken(80):
            waiting.set()
            assert first.wait(60)
            log.append("first")

    def come(name: str, size: int) -> None:
        with room.taken(size):
            log.append(name)

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert waiting.wait(60)
    with room.taken(20):  # there is as much left
        log.append("beside")
    threads.append(threading.Thread(target=come, args=("all of it", 1000)))
    threads[1].start()
    first.set()
    for thread in threads:
        thread.join(60)
    assert log == ["beside", "first", "all of it"]
    assert (
        limits.decoding_memory(read_header(io.BytesIO(png(12_200, 12_200)), Path("a.png"))) < ROOM
    )


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_a_picture_replaced_by_a_link_is_not_shown(
    project: Project, tmp_path: Path, name: str
) -> None:
    source, secret = tmp_path / "in", tmp_path / "secret"
    write_all(source, [(name, saved("TIFF" if name == "a.tif" else "JPEG"))])
    import_paths(project, [source])
    image = db.images.lookup.find_by_path(project.store, str(source / name))
    assert image is not None
    assert _full_response(image).status_code == 200
    for content in (b"root:x:0:0", jpeg_bytes(7)):
        secret.write_bytes(content)
        (source / name).unlink()
        (source / name).symlink_to(secret)
        with pytest.raises(UnreadableImage, match=CHANGED):
            _full_response(image)


def test_files_that_change_while_they_are_read_are_told(project: Project, tmp_path: Path) -> None:
    """Grown or cut after the walk saw them: taken as they are now, or said why not."""
    from labeler.collection.discovery import find_images
    from labeler.collection.reader import FileReader

    write_all(tmp_path / "in", [(f"{k}.jpg", jpeg_bytes(k)) for k in range(4)])
    found = find_images(tmp_path / "in").files
    (tmp_path / "in" / "0.jpg").write_bytes(jpeg_bytes(0) * 3000)
    (tmp_path / "in" / "1.jpg").write_bytes(jpeg_bytes(1)[:300])
    (tmp_path / "in" / "2.jpg").write_bytes(b"")
    (tmp_path / "in" / "3.jpg").unlink()
    read = list(FileReader(project, set()).files((file, 1) for file in found))
    assert [bool(each.reason) for each in read] == [False, True, True, True]


def test_a_decoder_that_crashes_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the import, and the next one leaves out what ended it, now and ever after."""
    Project.create(tmp_path / "project", encoder="lite").close()
    files = {f"{k}.jpg": jpeg_bytes(k) for k in range(40)} | {"20.qoi": whole_files()["a.qoi"]}
    write_all(tmp_path / "in", files.items())
    crash = "import ctypes\nfrom PIL import QoiImagePlugin as q\n"
    crash += "q.QoiDecoder.decode = lambda *_: ctypes.string_at(0)\n"
    write_all(tmp_path / "site", [("sitecustomize.py", crash.encode())])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for times, code in enumerate((128 + signal.SIGSEGV, 0)):
        ended = command(tmp_path / "project", "import", tmp_path / "in")
        assert ended.code == code, ended.output
        if times:
            known = states(tmp_path / "project")
            assert len(known) == len(files)
            assert {name for name, (state, _) in known.items() if state != "fine"} == {"20.qoi"}
            assert known["20.qoi"][1] == CRASHED
    assert b"20.qoi" in (tmp_path / "project" / "runs" / "suspects").read_bytes()
    (tmp_path / "site" / "sitecustomize.py").write_text("")
    assert command(tmp_path / "project", "import", tmp_path / "in").code == 0
    assert states(tmp_path / "project")["20.qoi"][0] == "fine"
    left = {path.name for path in (tmp_path / "project" / "runs").iterdir()}
    assert not any(name.startswith(("reading-", "suspects")) for name in left)
