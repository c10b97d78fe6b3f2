"""Protects the import: every file accounted for, pictures recognised by content wherever they are,
nothing read twice, and a store that goes on after an interruption."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import db.images.counts
import db.images.locations
import db.images.lookup
import db.images.sources
import db.records
from db.records import ImportedFile
from labeler.collection.discovery import FoundFile, find_images
from labeler.collection.import_summary import ImportSummary
from labeler.collection.importing import BATCH, BATCH_SECONDS, FIRST_BATCH, Batches, import_paths
from labeler.collection.previews import make_previews, preview_of, thumbnail_of
from labeler.collection.reader import _groups
from labeler.core.errors import BadInput, LabelerError, Stopped
from labeler.core.project import Project, preview_path, thumbnail_path
from model.errors import UnreadableImage
from model.images.decode import read_header
from model.images.hashing import difference_hash
from tests.support.pictures import (
    jpeg_bytes,
    make_collection,
    make_jpeg,
    noise_image,
    with_orientation,
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "project", encoder="lite")
    yield made
    made.close()


def brief(summary: ImportSummary) -> dict[str, int]:
    """The counts that are not zero, lists as their lengths."""
    values = {name: getattr(summary, name) for name in ImportSummary.__slots__}
    counts = {name: v if isinstance(v, int) else len(v) for name, v in values.items()}
    return {name: n for name, n in counts.items() if n and name != "in_archives"}


def image_at(project: Project, path: Path) -> db.records.Image:
    found = db.images.lookup.find_by_path(project.store, str(path))
    assert found is not None
    return found


def test_a_folder_is_taken_once(project: Project, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    paths = make_collection(photos / "2024" / "may", 4)
    assert brief(import_paths(project, [photos])) == {"found": 4, "new": 4}
    assert brief(import_paths(project, [photos])) == {"found": 4, "known": 4}
    image = image_at(project, paths[0])
    assert (image.state, image.format, image.width, image.height) == ("fine", "JPEG", 64, 48)
    assert (image.source, image.size_bytes) == ("photos", paths[0].stat().st_size)
    assert image.content_hash is not None and len(image.content_hash) == 64
    assert image.fingerprint is not None and 0 <= image.fingerprint < 2**64


def test_unchanged_files_are_not_opened_again(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg")
    import_paths(project, [tmp_path / "photos"])
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert brief(import_paths(project, [tmp_path / "photos"])) == {"found": 1, "known": 1}


def test_the_same_picture_twice_is_one_image(project: Project, tmp_path: Path) -> None:
    first = make_jpeg(tmp_path / "photos" / "a.jpg")
    shutil.copy(first, tmp_path / "photos" / "b.jpg")
    summary = import_paths(project, [tmp_path / "photos"])
    assert brief(summary) == {"found": 2, "new": 1, "duplicates": 1}
    places = db.images.locations.locations(project.store, image_at(project, first).id)
    assert [Path(place.path).name for place in places] == ["a.jpg", "b.jpg"]


def test_a_moved_file_is_found_again(project: Project, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    path = make_jpeg(photos / "a.jpg")
    import_paths(project, [photos])
    before = image_at(project, path)
    (photos / "sub").mkdir()
    path.rename(photos / "sub" / "b.jpg")
    summary = import_paths(project, [photos])
    assert brief(summary) == {"found": 1, "moved": 1}
    after = image_at(project, photos / "sub" / "b.jpg")
    assert (after.id, after.state) == (before.id, "fine")


def test_a_file_moved_to_another_folder_is_found_there(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "old" / "a.jpg")
    import_paths(project, [tmp_path / "old"])
    (tmp_path / "new").mkdir()
    path.rename(tmp_path / "new" / "a.jpg")
    assert brief(import_paths(project, [tmp_path / "new"])) == {"found": 1, "moved": 1}
    places = db.images.locations.locations(
        project.store, image_at(project, tmp_path / "new" / "a.jpg").id
    )
    assert [(place.source, place.present) for place in places] == [("new", True), ("new", False)]
    assert [source.name for source in db.images.sources.sources(project.store)] == ["new"]


def test_a_changed_file_is_a_new_image(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg", seed=1)
    import_paths(project, [tmp_path / "photos"])
    before = image_at(project, path)
    make_jpeg(path, seed=2, size=(80, 60))
    assert brief(import_paths(project, [tmp_path / "photos"])) == {"found": 1, "changed": 1}
    assert image_at(project, path).id != before.id
    assert db.images.lookup.get(project.store, before.id) is None


def test_vanished_files_are_missing_until_they_return(project: Project, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    first, second = make_collection(photos, 2)
    kept = second.read_bytes()
    import_paths(project, [photos])
    second.unlink()
    assert brief(import_paths(project, [photos])) == {"found": 1, "known": 1, "missing": 1}
    assert image_at(project, second).state == "missing"
    second.write_bytes(kept)
    import_paths(project, [photos])
    assert db.images.counts.by_state(project.store) == {
        "fine": 2,
        "unreadable": 0,
        "missing": 0,
    }
    import_paths(project, [first])
    assert image_at(project, second).state == "fine"


def test_a_folder_with_the_same_beginning_is_left_alone(project: Project, tmp_path: Path) -> None:
    kept = make_jpeg(tmp_path / "photos-old" / "a.jpg", seed=1)
    make_jpeg(tmp_path / "photos" / "a.jpg", seed=2)
    import_paths(project, [tmp_path / "photos", tmp_path / "photos-old"])
    kept.unlink()
    assert import_paths(project, [tmp_path / "photos"]).missing == 0


def test_awkward_files_are_all_accounted_for(project: Project, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    names = (
        "<b>&.jpg",
        "日本語 🎨.jpg",
        "e\u0301.jpg",
        "new\nline.jpg",
        "-dash.jpg",
        ".hidden.jpg",
    )
    for seed, name in enumerate(names):
        make_jpeg(photos / name, seed)
    make_jpeg(photos / "no extension", 50)
    (photos / "empty.png").touch()
    (photos / "cut.jpg").write_bytes(jpeg_bytes(size=(300, 300))[:-3000])
    (photos / "lost.jpg").symlink_to(photos / "nowhere.jpg")
    os.mkfifo(photos / "pipe.jpg")
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", "a.jpg.json", "._a.jpg"):
        (photos / name).write_text("x")
    make_jpeg(photos / ".cache" / "x.jpg", 51)
    make_jpeg(photos / "@eaDir" / "x.jpg", 52)
    summary = import_paths(project, [photos])
    left = {"unreadable": 4, "other_files": 5, "passed_over": 3}
    assert brief(summary) == {"found": 11, "new": 7} | left
    reasons = {Path(path).name: reason for path, reason in summary.unreadable}
    assert sorted(reasons) == ["cut.jpg", "empty.png", "lost.jpg", "pipe.jpg"]
    assert image_at(project, photos / "cut.jpg").reason == reasons["cut.jpg"]
    again = import_paths(project, [photos])
    assert brief(again) == {"found": 11, "known": 7} | left


def test_a_name_that_is_not_utf8_is_reported_not_stored(project: Project, tmp_path: Path) -> None:
    make_jpeg(tmp_path / "photos" / "a.jpg")
    try:
        (tmp_path / "photos" / os.fsdecode(b"bad\xff.jpg")).write_bytes(jpeg_bytes(9))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    summary = import_paths(project, [tmp_path / "photos"])
    assert brief(summary) == {"found": 2, "new": 1, "unreadable": 1}
    path, reason = summary.unreadable[0]
    assert path.endswith("bad\\xff.jpg") and "rename" in reason


def test_links_are_followed_only_inside(project: Project, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    make_jpeg(photos / "sub" / "a.jpg", 1)
    outside = make_jpeg(tmp_path / "private" / "b.jpg", 2)
    (photos / "inside.jpg").symlink_to(photos / "sub" / "a.jpg")
    (photos / "outside.jpg").symlink_to(outside)
    (photos / "circle").symlink_to(photos)
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    summary = import_paths(project, [photos])
    found = {"found": 4, "new": 1, "duplicates": 1, "unreadable": 2, "closed": 1}
    assert brief(summary) == found
    assert "outside" in image_at(project, photos / "outside.jpg").reason or ""
    assert db.images.counts.by_state(project.store)["fine"] == 1


def test_an_unreadable_file_is_tried_again(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(jpeg_bytes()[:200])
    assert len(import_paths(project, [path.parent]).unreadable) == 1
    path.write_bytes(jpeg_bytes())
    assert brief(import_paths(project, [path.parent])) == {"found": 1, "new": 1}
    assert db.images.counts.by_state(project.store)["unreadable"] == 0


def test_previews_are_upright_and_small(project: Project, tmp_path: Path) -> None:
    big = make_jpeg(tmp_path / "p" / "big.jpg", 1, (3000, 1500), exif=with_orientation(6))
    small = tmp_path / "p" / "small.png"
    noise_image(2, (40, 30)).save(small)
    tall = make_jpeg(tmp_path / "p" / "tall.jpg", 3, (4, 3000))
    import_paths(project, [tmp_path / "p"])
    sizes = {}
    for path in (big, small, tall):
        digest = image_at(project, path).content_hash or ""
        with Image.open(preview_of(project, digest, path)) as preview:
            assert preview.format == "JPEG"
            with Image.open(thumbnail_of(project, digest, path)) as thumbnail:
                sizes[path.stem] = (preview.size, thumbnail.size)
    assert sizes == {
        "big": ((512, 1024), (128, 256)),
        "small": ((40, 30), (40, 30)),
        "tall": ((1, 1024), (1, 256)),
    }
    assert image_at(project, big).width == 1500


def test_a_small_jpeg_is_its_own_preview_without_metadata(project: Project, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    paths = [
        make_jpeg(tmp_path / "p" / "large.jpg", 1, (900, 500), exif=exif, comment=b"secret"),
        make_jpeg(tmp_path / "p" / "small.jpg", 2, (300, 200), exif=exif, progressive=True),
    ]
    import_paths(project, [tmp_path / "p"])
    sizes = []
    for path in paths:
        digest = image_at(project, path).content_hash or ""
        preview = preview_of(project, digest, path)
        assert b"home" not in preview.read_bytes() and b"secret" not in preview.read_bytes()
        with Image.open(path) as file, Image.open(preview) as kept:
            assert kept.tobytes() == file.tobytes()  # decoded alike: nothing was coded anew
        with Image.open(thumbnail_of(project, digest, path)) as thumbnail:
            sizes.append(thumbnail.size)
    assert sizes == [(225, 125), (300, 200)]


def test_what_is_small_gets_one_file_when_it_is_looked_at(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for name, side in (("a.jpg", 512), ("b.png", 512), ("c.jpg", 513), ("d.png", 513)):
        noise_image(side, (side, 100)).save(folder / name)
    import_paths(project, [folder])
    digests = {path: image_at(project, path).content_hash for path in sorted(folder.iterdir())}

    def kept() -> list[tuple[bool, bool]]:
        return [
            (preview_path(project, digest).is_file(), thumbnail_path(project, digest).is_file())
            for digest in digests.values()
        ]

    assert kept() == [(False, False), (False, False), (True, True), (True, True)]
    for path, digest in digests.items():
        assert thumbnail_of(project, digest, path).is_file()
        assert preview_of(project, digest, path).is_file()
    assert kept() == [(True, False), (True, False), (True, True), (True, True)]


def test_a_small_jpeg_looks_as_it_did_in_full(project: Project, tmp_path: Path) -> None:
    """Only its brightness is decoded, at half its size: the fingerprint stays almost the same."""
    path = tmp_path / "p" / "a.jpg"
    path.parent.mkdir()
    picture = noise_image(5, (10, 8)).resize((500, 400), Image.Resampling.BICUBIC)
    picture.save(path, quality=90)
    import_paths(project, [path.parent])
    image = image_at(project, path)
    assert (image.width, image.height) == (500, 400)
    assert (image.fingerprint or 0) ^ difference_hash(picture) in {
        0,
        *(1 << bit for bit in range(64)),
    }


@pytest.mark.parametrize("kind", ["turned", "cmyk"])
def test_a_small_jpeg_that_browsers_show_otherwise_is_coded_anew(
    project: Project, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "p" / "a.jpg"
    path.parent.mkdir()
    image = noise_image(1, (300, 200))
    if kind == "turned":
        image.save(path, exif=with_orientation(6))
    else:
        image.convert("CMYK").save(path)
    import_paths(project, [path.parent])
    digest = image_at(project, path).content_hash or ""
    with Image.open(preview_of(project, digest, path)) as preview:
        size = (200, 300) if kind == "turned" else (300, 200)
        assert (preview.mode, preview.size) == ("RGB", size)
        assert preview.getexif().get(0x0112, 1) == 1


def test_a_small_jpeg_that_breaks_off_is_noticed(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "p" / "cut.jpg"
    path.parent.mkdir()
    path.write_bytes(jpeg_bytes(size=(500, 500))[:-2000])
    assert len(import_paths(project, [path.parent]).unreadable) == 1
    assert not list(project.previews.rglob("*.jpg"))


def test_a_batch_of_new_known_and_repeated_files(project: Project, tmp_path: Path) -> None:
    first, *_ = make_collection(tmp_path / "p", 3)
    import_paths(project, [first])
    shutil.copy(first, tmp_path / "p" / "again.jpg")
    shutil.copy(tmp_path / "p" / "001.jpg", tmp_path / "p" / "twice.jpg")
    make_jpeg(first, 77)
    summary = import_paths(project, [tmp_path / "p"])
    assert brief(summary) == {"found": 5, "new": 2, "duplicates": 1, "moved": 1, "changed": 1}
    for name in ("000", "001", "002", "again", "twice"):
        path = tmp_path / "p" / f"{name}.jpg"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (image_at(project, path).content_hash, image_at(project, path).state) == (
            digest,
            "fine",
        )


def test_what_is_lost_is_made_again(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "p" / "a.jpg", 1, (1500, 1000))
    import_paths(project, [path.parent])
    digest = image_at(project, path).content_hash or ""
    preview, thumbnail = preview_path(project, digest), thumbnail_path(project, digest)
    thumbnail.unlink()
    preview.write_bytes(b"")
    assert thumbnail_of(project, digest, path) == thumbnail and thumbnail.stat().st_size > 0
    assert preview_of(project, digest, path) == preview and preview.stat().st_size > 0
    assert not list(project.folder.rglob("*.part"))


def test_a_thumbnail_is_made_of_the_preview_when_the_picture_is_gone(
    project: Project, tmp_path: Path
) -> None:
    path = make_jpeg(tmp_path / "p" / "a.jpg", 1, (1500, 1000))
    import_paths(project, [path.parent])
    digest = image_at(project, path).content_hash or ""
    thumbnail_path(project, digest).unlink()
    path.unlink()
    with Image.open(thumbnail_of(project, digest, path)) as thumbnail:
        assert thumbnail.size == (256, 171)
    assert thumbnail_path(project, digest).is_file()


def test_a_lost_preview_is_not_made_of_another_picture(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "p" / "a.jpg", 1)
    import_paths(project, [path.parent])
    digest = image_at(project, path).content_hash or ""
    make_jpeg(path, 2)
    with pytest.raises(UnreadableImage, match="changed since it was imported"):
        preview_of(project, digest, path)
    assert not preview_path(project, digest).exists()


def test_an_empty_thumbnail_is_made_again(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "p" / "a.jpg", 1, (1500, 1000))
    import_paths(project, [path.parent])
    digest = image_at(project, path).content_hash or ""
    thumbnail_path(project, digest).write_bytes(b"")  # as a crash may leave it
    assert thumbnail_of(project, digest, path).stat().st_size > 0


@pytest.mark.parametrize("folder", ["previews", "thumbnails"])
def test_a_preview_that_cannot_be_written_stops_with_a_sentence(
    project: Project, tmp_path: Path, folder: str
) -> None:
    shutil.rmtree(project.folder / folder)
    (project.folder / folder).write_text("in the way")
    make_jpeg(tmp_path / "p" / "a.jpg", 1, (600, 400))
    with pytest.raises(LabelerError, match="previews"):
        import_paths(project, [tmp_path / "p"])


def test_a_disk_that_is_full_leaves_no_half_of_a_preview(project: Project, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.png"
    noise_image(1, (300, 300)).save(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("rb") as file:
        header = read_header(file, path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        try:
            with pytest.raises(LabelerError, match="make room"):
                make_previews(project, "ab" * 32, header)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in project.previews.rglob("*") if path.is_file()]


def record(path: str) -> ImportedFile:
    return ImportedFile(path=path, source_id=1, mtime_ns=0, size_bytes=1)


def test_the_first_batch_is_small_and_the_next_ones_are_large() -> None:
    batches = Batches(clock=lambda: 0.0)
    sizes = [len(batches.add(record(f"{n}.jpg"))) for n in range(FIRST_BATCH + BATCH)]
    complete = {number: size for number, size in enumerate(sizes, start=1) if size}
    assert complete == {FIRST_BATCH: FIRST_BATCH, FIRST_BATCH + BATCH: BATCH}
    assert batches.rest() == []


def test_on_a_slow_machine_a_batch_does_not_wait_until_it_is_full() -> None:
    seconds = 0.0
    batches = Batches(clock=lambda: seconds)
    sizes = []
    for n in range(6):
        seconds += BATCH_SECONDS / 2
        sizes.append(len(batches.add(record(f"{n}.jpg"))))
    assert sizes == [0, 2, 0, 2, 0, 2]


def test_the_first_files_are_handed_out_one_by_one() -> None:
    waiting = [(FoundFile(f"{n}.jpg", mtime_ns=0, size_bytes=1), 1) for n in range(50)]
    assert [len(group) for group in _groups(waiting)] == [1, 2, 4, 8, 16, 16, 3]


def test_the_first_pictures_are_there_while_the_rest_is_imported(
    project: Project, tmp_path: Path
) -> None:
    make_collection(tmp_path / "p", FIRST_BATCH + 4)
    fine: dict[int, int] = {}

    def look(done: int, total: int, what: str) -> None:
        fine[done] = db.images.counts.by_state(project.store)["fine"]

    import_paths(project, [tmp_path / "p"], progress=look)
    assert fine[0] == 0
    assert fine[FIRST_BATCH] > 0  # all of them, unless a slow machine recorded some before


@pytest.mark.parametrize("stop", [Stopped, KeyboardInterrupt])
def test_stopping_keeps_what_was_done_and_goes_on(
    project: Project, tmp_path: Path, stop: type[BaseException]
) -> None:
    make_collection(tmp_path / "p", BATCH + 30)
    calls: list[int] = []

    def stop_late(done: int, total: int, what: str) -> None:
        calls.append(done)
        if done == BATCH + 10:
            raise stop

    with pytest.raises(stop):
        import_paths(project, [tmp_path / "p"], progress=stop_late)
    assert calls == list(range(BATCH + 11))
    assert db.images.counts.by_state(project.store)["fine"] == BATCH + 10
    again = import_paths(project, [tmp_path / "p"])
    assert (again.known, again.new) == (BATCH + 10, 20)


def test_progress_counts_the_files_to_read(project: Project, tmp_path: Path) -> None:
    make_collection(tmp_path / "p", 3)
    calls: list[tuple[int, int, str]] = []
    import_paths(project, [tmp_path / "p"], progress=lambda *call: calls.append(call), workers=1)
    assert calls == [(done, 3, "importing") for done in range(4)]


def test_sources_are_named_after_folders(project: Project, tmp_path: Path) -> None:
    for seed, folder in enumerate(("a/photos", "b/photos", "a/photos/sub", "c/one")):
        make_jpeg(tmp_path / folder / "x.jpg", seed)
    import_paths(project, [tmp_path / "a/photos", tmp_path / "b/photos"])
    make_jpeg(tmp_path / "a/photos/sub/y.jpg", 20)
    import_paths(project, [tmp_path / "a/photos/sub"])
    import_paths(project, [tmp_path / "c/one/x.jpg"], source="camera", expect=(0, 1))
    found = [
        (s.name, s.root, s.expect_low, s.expect_high)
        for s in db.images.sources.sources(project.store)
    ]
    assert found == [
        ("photos", str(tmp_path / "a/photos"), None, None),
        ("photos-2", str(tmp_path / "b/photos"), None, None),
        ("camera", str(tmp_path / "c/one"), 0.0, 1.0),
    ]


def test_a_source_can_be_named_or_given_a_band_later(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "photos" / "a.jpg")
    import_paths(project, [path.parent])
    import_paths(project, [path.parent], expect=(0, 1))
    assert [s.expect_high for s in db.images.sources.sources(project.store)] == [1.0]
    assert brief(import_paths(project, [path.parent], source="camera")) == {"found": 1, "known": 1}
    assert image_at(project, path).source == "camera"
    import_paths(project, [path.parent])
    assert image_at(project, path).source == "camera"


def test_a_named_file_is_always_taken(project: Project, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    summary = import_paths(project, [tmp_path / "notes.txt"])
    assert brief(summary) == {"found": 1, "unreadable": 1}


def test_paths_given_twice_count_once(project: Project, tmp_path: Path) -> None:
    path = make_jpeg(tmp_path / "p" / "a.jpg")
    assert brief(import_paths(project, [path.parent, path, path.parent])) == {"found": 1, "new": 1}


def test_the_projects_own_folders_are_left_out(project: Project, tmp_path: Path) -> None:
    make_jpeg(project.folder / "collection" / "a.jpg")
    assert import_paths(project, [project.folder]).new == 1
    assert brief(import_paths(project, [tmp_path])) == {"found": 1, "known": 1, "other_files": 3}
    with pytest.raises(BadInput, match="own copies"):
        import_paths(project, [project.previews])


def test_wrong_input_is_refused_before_anything_happens(project: Project, tmp_path: Path) -> None:
    make_jpeg(tmp_path / "p" / "a.jpg")
    with pytest.raises(BadInput, match=r"nowhere is not there"):
        import_paths(project, [tmp_path / "p", tmp_path / "nowhere"])
    for band in ((3, 2), (-1, 2), (0, 11)):
        with pytest.raises(BadInput, match="--expect 0:1"):
            import_paths(project, [tmp_path / "p"], expect=band)
    assert db.images.sources.sources(project.store) == []


@pytest.mark.parametrize("name", ["a.7z", "b.RAR", "c.cbr", "d.cb7"])
def test_archives_that_are_not_read_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"packed")
    found = find_images(tmp_path)
    [(path, reason)] = found.passed_over
    assert (Path(path).name, found.other_files) == (name, 1)
    assert "zip or tar" in reason
