"""A picture keeps its scores whatever becomes of its file, as long as it shows the same.

Protects hand scores, embeddings and previews from programs that write into picture files: metadata
of every kind, packing anew, lossless turns. What shows another picture is never taken for the same;
what nearly shows the same is offered, and a store from before pixels were kept loses nothing.

The JPEGs in assets/lossless were turned and packed by jpegtran, from one with an orientation.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.records
import db.repair.consistency
import db.scores.hand_scores
from labeler.app.routes.images import _full_response
from labeler.cli.main import labeler
from labeler.collection.carry_over import carry_over, carry_overs
from labeler.collection.import_summary import ImportSummary
from labeler.collection.importing import import_paths
from labeler.collection.previews import preview_of
from labeler.core.images.pixel_identity import likeness, pixels_of
from labeler.core.project import Project, preview_path
from labeler.exports.datasets.image_files import place_image
from labeler.scoring.label import label_one
from model.images.decode import read_header
from model.images.hashing import difference_hash
from model.images.resize import small_image
from tests.support.pictures import jpeg_bytes, make_jpeg, noise_image, with_orientation
from tests.support.store_rows import add_encoder, score

LOSSLESS = Path(__file__).parents[3] / "assets" / "lossless"
# Adobe's markers tell of colours and the like: programs put theirs before or behind.
SEGMENTS = {
    "a comment": b"\xff\xfe\x00\x07hello",
    "EXIF": b"\xff\xe1\x00\x1aExif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00pad",
    "XMP": b"\xff\xe1\x00\x28http://ns.adobe.com/xap/1.0/\x00<x/>xxxxx",
    "IPTC": b"\xff\xed\x00\x1cPhotoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x00",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    found = {
        each.name: db.repair.consistency.find(made.store, each)
        for each in db.repair.consistency.CONSISTENCY_CHECKS
    }
    made.close()
    assert not any(found.values()), found


def brief(summary: ImportSummary) -> dict[str, int]:
    values = {name: getattr(summary, name) for name in ImportSummary.__slots__}
    counts = {name: v if isinstance(v, int) else len(v) for name, v in values.items()}
    return {name: count for name, count in counts.items() if count}


def image_at(project: Project, path: Path) -> db.records.Image:
    found = db.images.lookup.find_by_path(project.store, str(path))
    assert found is not None
    return found


def scored(project: Project, path: Path, value: float = 7) -> db.records.Image:
    """The image at `path`, imported and scored."""
    import_paths(project, [path.parent])
    image = image_at(project, path)
    assert score(project.store, image.id, value).accepted
    return image_at(project, path)


def rewrite(path: Path, data: bytes) -> None:
    """As another program does, a moment later."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


def with_segment(data: bytes, segment: bytes) -> bytes:
    return data[:2] + segment + data[2:]


def forget_pixels(project: Project) -> None:
    """As a store is that was written before pixels were kept."""
    with project.store.transaction() as session:
        session.connection().exec_driver_sql("DELETE FROM image_pixels")


def test_stores_keep_what_was_computed_of_old() -> None:
    """These values lie in stores; what is only quicker must not change them."""
    down, across = np.mgrid[0:300, 0:260]
    bands = [down * 7 % 256, across * 5 % 256, down * across // 3 % 256]
    image = Image.fromarray(np.stack(bands, axis=2).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG")
    header = read_header(file, Path("drawn.png"))
    seen = small_image(header, file)
    pixels = pixels_of(header, seen)
    assert pixels.pixel_hash == "e947d7a04a904c53f8d7f24bcf4079bd"
    assert pixels.glimpse[:9].hex() == "01012dfbbd510f1dc2"
    assert hashlib.sha256(pixels.glimpse[11:]).hexdigest()[:16] == "e9036192b749c87a"
    assert difference_hash(seen.image) == 13093571214972401077


def test_stores_keep_how_a_jpeg_was_said_to_be_coded() -> None:
    file = io.BytesIO()
    Image.new("RGB", (260, 300), "teal").save(file, "JPEG")
    header = read_header(file, Path("drawn.jpg"))
    assert pixels_of(header, small_image(header, file)).glimpse[2:9].hex() == "4aab2900722815"


@pytest.mark.parametrize("segment", SEGMENTS.values(), ids=list(SEGMENTS))
@pytest.mark.parametrize("size", [(64, 48), (1300, 900)], ids=["small", "large"])
def test_what_is_written_about_a_picture_changes_nothing(
    project: Project, tmp_path: Path, segment: bytes, size: tuple[int, int]
) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg", size=size)
    before = scored(project, path)
    encoder = add_encoder(project.store, "lite")
    db.images.embeddings.put(project.store, encoder, [before.id], np.ones((1, 4), np.float32))
    rewrite(path, with_segment(path.read_bytes(), segment))
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "rewritten": 1}
    after = image_at(project, path)
    assert (after.id, after.hand_score, after.state) == (before.id, 7, "fine")
    assert after.content_hash != before.content_hash and after.content_hash is not None
    assert after.size_bytes == path.stat().st_size
    assert db.images.embeddings.missing(project.store, encoder) == []
    assert preview_of(project, after.content_hash, path).is_file()
    assert not preview_path(project, before.content_hash or "").exists()
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "known": 1}


@pytest.mark.parametrize("now", ["whole-packed", "whole-progressive", "whole-upright"])
def test_a_jpeg_packed_or_turned_upright_without_loss_is_the_same(
    project: Project, tmp_path: Path, now: str
) -> None:
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    shutil.copy(LOSSLESS / "whole.jpg", path)
    before = scored(project, path)
    rewrite(path, (LOSSLESS / f"{now}.jpg").read_bytes())
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "rewritten": 1}
    assert image_at(project, path).id == before.id


def test_a_lossless_turn_may_leave_the_edges_where_they_were(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    shutil.copy(LOSSLESS / "odd.jpg", path)
    before = scored(project, path)
    rewrite(path, (LOSSLESS / "odd-upright.jpg").read_bytes())
    import_paths(project, [path.parent])
    assert image_at(project, path).id == before.id


def test_a_picture_turned_another_way_keeps_its_score_and_is_embedded_anew(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    shutil.copy(LOSSLESS / "whole.jpg", path)
    before = scored(project, path)
    rewrite(path, (LOSSLESS / "whole-turned.jpg").read_bytes())
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "turned": 1}
    after = image_at(project, path)
    assert (after.id != before.id, after.hand_score) == (True, 7)
    assert len(db.scores.hand_scores.history(project.store, after.id)) == 1


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (("a.png", {"compress_level": 9}), {"compress_level": 1}),
        (("a.png", {}), {"pnginfo": "text"}),
        (("a.webp", {"lossless": True}), {"lossless": True, "exif": with_orientation(1)}),
        (("a.tif", {}), {"compression": "tiff_lzw"}),
        (("a.bmp", {}), {"format": "PNG"}),
    ],
    ids=["packed", "text", "webp", "tiff", "another format"],
)
def test_other_formats_too(
    project: Project, tmp_path: Path, first: tuple[str, dict], again: dict
) -> None:
    path = tmp_path / "photos" / first[0]
    path.parent.mkdir()
    picture = noise_image(3, (600, 400))
    picture.save(path, **first[1])
    before = scored(project, path)
    if again.get("pnginfo"):
        again = {"pnginfo": PngInfo()}
        again["pnginfo"].add_text("Comment", "seen")
    buffer = io.BytesIO()
    picture.save(buffer, **({"format": Image.registered_extensions()[path.suffix]} | again))
    assert buffer.getvalue() != path.read_bytes()
    rewrite(path, buffer.getvalue())
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "rewritten": 1}
    assert image_at(project, path).id == before.id


def test_the_same_pixels_elsewhere_are_the_same_image(project: Project, tmp_path: Path) -> None:
    first = make_jpeg(tmp_path / "photos" / "a.jpg")
    before = scored(project, first)
    copy = tmp_path / "photos" / "b.jpg"
    copy.write_bytes(with_segment(first.read_bytes(), SEGMENTS["XMP"]))
    assert brief(import_paths(project, [copy.parent])) == {"found": 2, "known": 1, "duplicates": 1}
    assert image_at(project, copy).id == before.id
    assert image_at(project, first).content_hash == before.content_hash
    first.unlink()
    import_paths(project, [copy.parent])
    left = image_at(project, copy)
    assert (left.id, left.state, left.path) == (before.id, "fine", str(copy))
    assert place_image(left, tmp_path / "out" / "copy.jpg", "copy") == (True, False)
    assert _full_response(left).body == copy.read_bytes()


def test_two_new_files_that_show_the_same_are_one_image(project: Project, tmp_path: Path) -> None:
    data = jpeg_bytes(1)
    (tmp_path / "photos").mkdir()
    for number, segment in enumerate((b"", *SEGMENTS.values())):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(with_segment(data, segment))
    summary = import_paths(project, [tmp_path / "photos"])
    assert brief(summary) == {"found": 5, "new": 1, "duplicates": 4}


@pytest.mark.parametrize("both", [False, True], ids=["other folder", "both folders"])
def test_moved_and_rewritten_at_once(project: Project, tmp_path: Path, both: bool) -> None:
    first = make_jpeg(tmp_path / "old" / "a.jpg")
    before = scored(project, first)
    target = tmp_path / "new" / "b.jpg"
    target.parent.mkdir()
    target.write_bytes(with_segment(first.read_bytes(), SEGMENTS["XMP"]))
    first.unlink()
    paths = [first.parent, target.parent] if both else [target.parent]
    assert brief(import_paths(project, paths)) == {"found": 1, "moved": 1}
    after = image_at(project, target)
    assert (after.id, after.state, after.path) == (before.id, "fine", str(target))


def _one_pixel(path: Path) -> Image.Image:
    image = Image.open(path)
    image.load()
    image.putpixel((3, 3), tuple(255 - value for value in image.getpixel((3, 3))))
    return image


def test_other_pixels_are_another_picture(project: Project, tmp_path: Path) -> None:
    """However few: elsewhere nothing but all pixels counts."""
    first = tmp_path / "photos" / "a.png"
    first.parent.mkdir()
    noise_image(1, (1400, 900)).save(first)
    before = scored(project, first)
    _one_pixel(first).save(tmp_path / "photos" / "b.png")
    assert brief(import_paths(project, [first.parent])) == {"found": 2, "known": 1, "new": 1}
    assert image_at(project, first.with_name("b.png")).id != before.id


def _smaller(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2))


@pytest.mark.parametrize(
    ("change", "near"),
    [
        (lambda image: image, True),
        (_smaller, True),
        (lambda _: noise_image(9, (320, 240)), False),
        (lambda image: Image.eval(image, lambda value: 255 - value), False),
    ],
    ids=["recompressed", "resized", "another picture", "inverted"],
)
def test_what_took_its_place_is_offered_the_score(
    project: Project,
    tmp_path: Path,
    change: Callable[[Image.Image], Image.Image],
    near: bool,
) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg", size=(320, 240))
    before = scored(project, path)
    buffer = io.BytesIO()
    change(Image.open(path).convert("RGB")).save(buffer, "JPEG", quality=60)
    rewrite(path, buffer.getvalue())
    summary = import_paths(project, [path.parent])
    expected = {"found": 1, "changed": 1, "replaced": 1}
    assert brief(summary) == expected | ({"near": 1} if near else {})
    assert any("labeler carry-over" in sentence for sentence in summary.sentences())
    kept = db.images.lookup.get(project.store, before.id)
    assert kept is not None and (kept.hand_score, kept.state) == (7, "missing")
    (offer,) = carry_overs(project)
    assert (offer.old.id, offer.new.id, offer.near) == (before.id, image_at(project, path).id, near)
    assert carry_over(project, [offer]) == 1
    assert image_at(project, path).hand_score == 7
    assert carry_overs(project) == []


def test_a_new_score_ends_the_offer(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg", size=(320, 240))
    scored(project, path)
    rewrite(path, jpeg_bytes(9))
    import_paths(project, [path.parent])
    assert len(carry_overs(project)) == 1
    score(project.store, image_at(project, path).id, 2)
    assert carry_overs(project) == []


def test_scores_are_carried_over_on_the_command_line(project: Project, tmp_path: Path) -> None:
    near = make_jpeg(tmp_path / "photos" / "near.jpg", 1, (320, 240))
    far = make_jpeg(tmp_path / "photos" / "far.jpg", 2, (320, 240))
    import_paths(project, [near.parent])
    for path in (near, far):
        label_one(project, str(path), 6)
    make_jpeg(near, 1, (320, 240), quality=55)
    make_jpeg(far, 5, (320, 240), quality=55)
    run = CliRunner()
    command = ["--project", str(project.folder), "import", str(near.parent), "--carry-over"]
    told = run.invoke(labeler, command)
    assert "2 scored pictures replaced in place, 1 by what looks the same" in told.output
    assert "Carried over the scores of 1 picture." in told.output
    assert image_at(project, near).hand_score == 6
    listed = run.invoke(labeler, ["--project", str(project.folder), "carry-over"])
    assert "far.jpg holds quite another picture" in listed.output
    named = run.invoke(labeler, ["--project", str(project.folder), "carry-over", str(far)])
    assert named.exit_code == 0 and image_at(project, far).hand_score == 6
    nothing = run.invoke(labeler, ["--project", str(project.folder), "carry-over", str(far)])
    assert nothing.exit_code != 0 and "has not taken the place" in nothing.output


def test_between_two_imports_a_rewritten_file_serves_as_before(
    project: Project, tmp_path: Path
) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg")
    image = scored(project, path)
    rewrite(path, with_segment(path.read_bytes(), SEGMENTS["EXIF"]))
    assert _full_response(image).body == path.read_bytes()
    known = image.content_hash or "", path, image.pixel_hash
    assert preview_of(project, *known).is_file()
    for link in ("copy", "hard"):
        place_image(image, tmp_path / link / "a.jpg", link)
        assert (tmp_path / link / "a.jpg").read_bytes() == path.read_bytes()


def test_a_page_that_was_open_meanwhile_scores_the_same_image(
    project: Project, tmp_path: Path
) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg")
    before = scored(project, path)
    rewrite(path, with_segment(path.read_bytes(), SEGMENTS["EXIF"]))
    import_paths(project, [path.parent])
    sent = score(project.store, before.id, 3, event_id="late", shown_hash=before.content_hash)
    assert sent.accepted
    refused = score(project.store, before.id, 3, event_id="other", shown_hash="ab" * 32)
    assert not refused.accepted
    assert db.images.lookup.find_by_content(project.store, before.content_hash or "") is not None


def test_a_store_from_before_keeps_what_is_rewritten_before_it_is_imported_again(
    project: Project, tmp_path: Path
) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg", size=(300, 200))
    before = scored(project, path)
    forget_pixels(project)
    rewrite(path, with_segment(path.read_bytes(), SEGMENTS["EXIF"]))
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "rewritten": 1}
    assert image_at(project, path).id == before.id


@pytest.mark.parametrize("change", ["brighter", "blurred", "painted", "recompressed"])
def test_a_store_from_before_takes_no_other_pixels_for_known_ones(
    project: Project, tmp_path: Path, change: str
) -> None:
    """What can't be told from them keeps its score, and is embedded anew; the rest is offered."""
    path = make_jpeg(tmp_path / "photos" / "a.jpg", size=(320, 240))
    before = scored(project, path)
    encoder = add_encoder(project.store, "lite")
    db.images.embeddings.put(project.store, encoder, [before.id], np.ones((1, 4), np.float32))
    forget_pixels(project)
    image = Image.open(path).convert("RGB")
    if change == "brighter":
        image = Image.eval(image, lambda value: min(255, round(value * 1.1)))
    elif change == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(2))
    elif change == "painted":
        image.paste((255, 0, 0), (100, 80, 160, 130))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    rewrite(path, buffer.getvalue())
    import_paths(project, [path.parent])
    after = image_at(project, path)
    assert [image_id for image_id, _ in db.images.embeddings.missing(project.store, encoder)] == [
        after.id
    ]
    if (after.fingerprint, after.id) == (before.fingerprint, before.id):
        assert after.hand_score == 7
    else:
        assert after.hand_score is None
        assert [(offer.old.id, offer.near) for offer in carry_overs(project)] == [(before.id, True)]


def test_a_fingerprint_that_is_a_bit_off_is_offered_and_not_kept() -> None:
    """A scene of a store from before: no pixels are known of what the file held."""
    looks: dict[str, Any] = {"width": 320, "height": 240, "format": "JPEG"}
    pixels = db.records.Pixels("ab" * 16, b"\1" + bytes(202))
    now = db.records.ImportedFile("/a.jpg", 1, 0, 1, pixels=pixels, fingerprint=0b1010, **looks)
    for bits, expected in ((0b1010, "same"), (0b1011, "near"), (~0, "")):
        then = mock.Mock(spec=db.records.Image, fingerprint=bits & (2**64 - 1), **looks)
        told = likeness(then, None, now)
        assert [name for name in ("same", "turned", "near") if getattr(told, name)] == (
            [expected] if expected else []
        )


def test_a_store_from_before_learns_what_its_pictures_show(
    project: Project, tmp_path: Path
) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg")
    scored(project, path)
    forget_pixels(project)
    assert image_at(project, path).pixel_hash is None
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "known": 1}
    assert image_at(project, path).pixel_hash is not None


def test_two_images_of_a_store_from_before_that_show_the_same_become_one(
    project: Project, tmp_path: Path
) -> None:
    """With what was done to either; the versions that knew both still do."""
    first = make_jpeg(tmp_path / "photos" / "b.jpg", 1)
    other = make_jpeg(tmp_path / "photos" / "a.jpg", 2)
    import_paths(project, [first.parent])
    ids = [image_at(project, path).id for path in (first, other)]
    for image_id, value in zip(ids, (4, 8), strict=True):
        score(project.store, image_id, value)
    other.write_bytes(with_segment(first.read_bytes(), SEGMENTS["XMP"]))
    with project.store.transaction() as session:  # as it was imported then
        connection, status = session.connection(), other.stat()
        connection.exec_driver_sql(
            "UPDATE locations SET mtime_ns = ?, size_bytes = ? WHERE path = ?",
            (status.st_mtime_ns, status.st_size, str(other)),
        )
        digest = hashlib.sha256(other.read_bytes())
        connection.exec_driver_sql(
            "UPDATE images SET content_hash = ? WHERE id = ?", (digest.hexdigest(), ids[1])
        )
    forget_pixels(project)
    import_paths(project, [first.parent])
    kept = min(ids)
    for path in (first, other):
        assert image_at(project, path).id == kept
    assert {row.value for row in db.scores.hand_scores.history(project.store, kept)} == {4, 8}
    assert db.images.counts.by_state(project.store) == {
        "fine": 1,
        "unreadable": 0,
        "missing": 0,
    }
